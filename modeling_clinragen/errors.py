"""The one family of errors a user can cause.

Every package of the project raises errors of this family, so that the command line can print a single line and a
notebook user can catch one class. A message names the fault and the cure, and never contains patient data: no note
text, no measured value, no identifier of a person.
"""


class ClinRaGenError(Exception):
    """Base of every error that a user can cause and cure."""


class InputDataError(ClinRaGenError):
    """An input file, table or column is missing, damaged or of the wrong kind."""


class SettingsError(ClinRaGenError):
    """A setting, recipe or command-line option has a value that cannot work."""


class ModelInputError(ClinRaGenError, ValueError):
    """Tensors or texts for the model, the processor or the feature extractor do not fit together."""


class GovernanceError(ClinRaGenError):
    """An action would take patient data where it must not go."""


class StageError(ClinRaGenError):
    """A pipeline stage cannot run: its inputs are missing or belong to another run."""
