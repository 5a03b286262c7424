"""The sentences of the note that the rationale cites removed, and as many uncited ones of the same size."""

from __future__ import annotations

from clinragen.interventions.changes.cited_pair import cited_pair
from clinragen.interventions.patient import SENTENCE

CITED_SENTENCES = cited_pair(SENTENCE, "sentences", "the note")
