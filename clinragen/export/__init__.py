"""One answer of a model as a file for others: JSON, PDF, or FHIR R4.

- `result`: everything there is, for programs (`explanation_result`, `explanation_json`).
- `pdf`: a page or two to read or print (`render_pdf`).
- `fhir`: for the systems of a hospital (`fhir_bundle`, `render_fhir`).
- `forms` and `write`: one of them into a file, by its ending (`require_exportable`, `export_explanation`, `rendered`).
- `origin`: which model it was, for those that say so (`model_origin`).
"""
