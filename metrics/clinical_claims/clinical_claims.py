"""`evaluate.load("metrics/clinical_claims")`: a folder as the library wants it; the metric is in the package."""

from clinragen.checking.claims_metric import ClaimsMetric

__all__ = ["ClaimsMetric"]
