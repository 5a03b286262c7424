"""Rationales that hold: written within the data, checked sentence by sentence, and asked for what is missing.

- `generate_verified(model, processor, patients, checking)`: diagnoses and checked rationales of a batch of patients.
"""

from clinragen.verification.config import VerifyConfig
from clinragen.verification.generate import Verifier, generate_verified
from clinragen.verification.result import VerifiedRationale

__all__ = ["VerifiedRationale", "Verifier", "VerifyConfig", "generate_verified"]
