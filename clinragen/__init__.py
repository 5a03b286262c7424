"""ClinRaGen: diagnoses with rationales from a clinical note plus lab and vital series.

Importing it makes transformers' Auto classes know the model, and loads neither torch nor transformers. Where the
environment variable CLINRAGEN_AIR_GAP is 1, the process reaches no other machine from then on.

- `load_cohort(source, root, ...)`: tables of a source to the splits of a cohort.
- `Explainer.from_pretrained(folder)`: a trained model that explains single patients.
- `shipped_patient()`: note and series of a synthetic patient to try it with.
- `check_rationale(text, series, note)`: the claims of a rationale and whether the data support them.
- `check_sentences(text, patient, checking)`: the same by sentence, with contradictions between sentences.
- `generate_verified(model, processor, patients, checking)`: diagnoses and rationales in which every sentence holds.
- `register()`: registers the model's classes in the Auto classes at once instead of at their first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from clinragen.auto_registration import install
from dataset_builder.storage.air_gap import close_air_gap
from modeling_clinragen.loading_clinragen import air_gapped

if TYPE_CHECKING:
    from clinragen.claims.check import check_rationale
    from clinragen.claims.sentences import check_sentences
    from clinragen.inference import Explainer
    from clinragen.shipped_model.patients import shipped_patient
    from clinragen.verification.generate import generate_verified
    from dataset_builder.cohort.hf_builder import load_cohort
    from modeling_clinragen.registration import register_auto_classes as register

    __version__: str

__all__ = [
    "Explainer",
    "check_rationale",
    "check_sentences",
    "generate_verified",
    "load_cohort",
    "register",
    "shipped_patient",
]

_HOMES = {
    "Explainer": ("clinragen.inference", "Explainer"),
    "check_rationale": ("clinragen.claims.check", "check_rationale"),
    "check_sentences": ("clinragen.claims.sentences", "check_sentences"),
    "generate_verified": ("clinragen.verification.generate", "generate_verified"),
    "load_cohort": ("dataset_builder.cohort.hf_builder", "load_cohort"),
    "register": ("modeling_clinragen.registration", "register_auto_classes"),
    "shipped_patient": ("clinragen.shipped_model.patients", "shipped_patient"),
}

install()
if air_gapped():
    close_air_gap()


def __getattr__(name: str) -> Any:
    # Lazy, so that a program pays only for what it uses. The version is stated in pyproject.toml alone.
    if name == "__version__":
        from importlib.metadata import version

        return version("clinragen")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*globals(), "__version__", *__all__])
