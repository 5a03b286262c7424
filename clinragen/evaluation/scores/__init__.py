"""All scores, in the order of the report. To add one, write a file beside these and put it into a list."""

from clinragen.evaluation.score_types import DiagnosisScore, RankingScore, RationaleScore
from clinragen.evaluation.scores.bert import BERT
from clinragen.evaluation.scores.bleu import BLEU
from clinragen.evaluation.scores.claims import CLAIMS
from clinragen.evaluation.scores.consistency import CONSISTENCY
from clinragen.evaluation.scores.evidence import EVIDENCE
from clinragen.evaluation.scores.exact_match import EXACT_MATCH
from clinragen.evaluation.scores.findings import FINDINGS
from clinragen.evaluation.scores.length import LENGTH
from clinragen.evaluation.scores.macro import MACRO
from clinragen.evaluation.scores.micro import MICRO
from clinragen.evaluation.scores.ranking import RANKING
from clinragen.evaluation.scores.rouge import ROUGE
from clinragen.evaluation.scores.weighted import WEIGHTED
from clinragen.evaluation.scores.well_formed import WELL_FORMED
from clinragen.evaluation.scores.withheld import WITHHELD

DIAGNOSIS_SCORES: tuple[DiagnosisScore, ...] = (*MICRO, *MACRO, *WEIGHTED, EXACT_MATCH)
RANKING_SCORES: tuple[RankingScore, ...] = RANKING
RATIONALE_SCORES: tuple[RationaleScore, ...] = (
    *(BLEU, ROUGE, LENGTH, WELL_FORMED),
    *(CLAIMS, WITHHELD, CONSISTENCY, EVIDENCE, FINDINGS, BERT),
)

__all__ = ["DIAGNOSIS_SCORES", "RANKING_SCORES", "RATIONALE_SCORES"]
