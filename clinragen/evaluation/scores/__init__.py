"""All scores, in the order of the report. To add one, write a file beside these and put it into a list."""

from clinragen.evaluation.score_types import DiagnosisScore, RationaleScore
from clinragen.evaluation.scores.bleu import BLEU
from clinragen.evaluation.scores.claims import CLAIMS
from clinragen.evaluation.scores.macro import MACRO
from clinragen.evaluation.scores.micro import MICRO
from clinragen.evaluation.scores.well_formed import WELL_FORMED

DIAGNOSIS_SCORES: tuple[DiagnosisScore, ...] = (*MICRO, *MACRO)
RATIONALE_SCORES: tuple[RationaleScore, ...] = (BLEU, WELL_FORMED, CLAIMS)

__all__ = ["DIAGNOSIS_SCORES", "RATIONALE_SCORES"]
