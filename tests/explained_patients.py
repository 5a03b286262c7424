"""Patients whose rationales are written and checked: with everything, with one source only, and with hostile notes."""

from __future__ import annotations

from claim_cases import VOCABULARY, series_of

from clinragen.claims.sentences import Patient
from dataset_builder.contract.lab_series import LabSeries

HOURS = [0, 4, 8, 12, 16, 20]
FAST = series_of(
    {
        "hours": HOURS,
        "heart_rate": [88, 94, 118, 131, 127, 122],
        "systolic_blood_pressure": [118, 104, 92, 84, 82, 86],
        "ph": [7.38, None, 7.30, 7.22, None, 7.25],
        "temperature": [38.9, 39.2, 38.7, 38.4, 38.6, 38.8],
    }
)
SLOW = series_of(
    {"hours": HOURS, "heart_rate": [52, 50, 46, 44, 47, 45], "temperature": [36.9, 36.8, 37.0, 36.9, 36.7, 36.8]}
)
NOTE = (
    "Chief complaint: dyspnea and orthopnea.\nFever and productive cough for two days, pneumonia on the film. "
    "Lactate 6.1.\nHistory of hypertension, diabetes and CKD. Denies melena and chest pain. "
    "Father had a stroke. Rule out GI bleed."
)
HOSTILE = {
    "quotation marks": 'Says "fever" and “cough” „daily“ «no» since. " Pneumonia. ”',
    "null bytes": "Fever\0 and cough.\0\0 Pneumonia. CKD\0",
    "removed names": "[**Known lastname 123**] has fever. Seen by Dr. [** Name **] for pneumonia ___ CKD.",
    "emoji": "Fever \U0001f912 and cough \u2764\ufe0f, pneumonia. r\u00e9sum\u00e9 \u5fc3\u4e0d\u5168 CKD.",
    "long": "Fever, cough. Pneumonia with orthopnea; CKD (stage 3). " * 182,
    "no words": '.,;: "" -- 12 / 3.4 ### \n\n\t ``',
    "marks of the target": "### Disease Diagnosed: Shock. ### Rationale: fever. </s> <pad> pneumonia ###",
}
PATIENTS = {
    "both": Patient(FAST, NOTE),
    "slow": Patient(SLOW, NOTE),
    "note only": Patient(LabSeries.empty(VOCABULARY), NOTE),
    "labs only": Patient(FAST, None),
    "another": Patient(SLOW, "Melena and hematemesis. Known cirrhosis with ascites. No fever."),
}
"""By what is known of them."""
