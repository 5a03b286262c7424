"""The variables of the series that the rationale cites removed, and as many uncited ones of the same size."""

from __future__ import annotations

from clinragen.interventions.changes.cited_pair import cited_pair
from clinragen.interventions.patient import VARIABLE

CITED_VARIABLES = cited_pair(VARIABLE, "variables", "the series")
