"""All scores, in the order of the report. To add one, write a file beside these and put it into a list."""

from clinragen.evaluation.score_types import DiagnosisScore, RankingScore, RationaleScore
from clinragen.evaluation.scores.bleu import BLEU
from clinragen.evaluation.scores.claims import CLAIMS
from clinragen.evaluation.scores.consistency import CONSISTENCY
from clinragen.evaluation.scores.evidence import EVIDENCE
from clinragen.evaluation.scores.findings import FINDINGS
from clinragen.evaluation.scores.macro import MACRO
from clinragen.evaluation.scores.micro import MICRO
from clinragen.evaluation.scores.ranking import RANKING
from clinragen.evaluation.scores.well_formed import WELL_FORMED
from clinragen.evaluation.scores.withheld import WITHHELD

DIAGNOSIS_SCORES: tuple[DiagnosisScore, ...] = (*MICRO, *MACRO)
RANKING_SCORES: tuple[RankingScore, ...] = RANKING
RATIONALE_SCORES: tuple[RationaleScore, ...] = (BLEU, WELL_FORMED, CLAIMS, WITHHELD, CONSISTENCY, EVIDENCE, FINDINGS)

__all__ = ["DIAGNOSIS_SCORES", "RANKING_SCORES", "RATIONALE_SCORES"]
