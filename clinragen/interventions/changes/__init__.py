"""The interventions on the input, one in each file, in the order of the report."""

from __future__ import annotations

from clinragen.interventions.changes.cited_sentences import CITED_SENTENCES
from clinragen.interventions.changes.cited_variables import CITED_VARIABLES
from clinragen.interventions.changes.labs_removed import LABS_REMOVED
from clinragen.interventions.changes.labs_shuffled import LABS_SHUFFLED
from clinragen.interventions.changes.labs_swapped import LABS_SWAPPED
from clinragen.interventions.changes.note_removed import NOTE_REMOVED
from clinragen.interventions.changes.person_rewritten import AS_MAN, AS_OLD, AS_WOMAN, AS_YOUNG, OTHER_RACE
from clinragen.interventions.changes.time_reversed import TIME_REVERSED
from clinragen.interventions.changes.variable_removed import remove_each_variable

INPUTS = (LABS_REMOVED, LABS_SHUFFLED, LABS_SWAPPED, TIME_REVERSED, NOTE_REMOVED)
PERSONS = (AS_MAN, AS_WOMAN, OTHER_RACE, AS_YOUNG, AS_OLD)
PAIRS = (CITED_SENTENCES, CITED_VARIABLES)

__all__ = ["INPUTS", "PAIRS", "PERSONS", "remove_each_variable"]
