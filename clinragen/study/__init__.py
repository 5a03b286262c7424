"""A study of rationales: clinicians and language models as judges answer the same checklists, blinded."""
