"""Domain knowledge K (paper, section 3.2): from passages to one versioned file, and how good that is.

What is needed to read knowledge stands here; what builds and checks it is in the modules.
"""

from dataset_builder.knowledge.base import TERM_KINDS, DiseaseKnowledge, KnowledgeBase, Sign, Term, ValueRule
from dataset_builder.knowledge.coverage import coverage
from dataset_builder.knowledge.reading import load_knowledge
from dataset_builder.knowledge.writing import write_knowledge

__all__ = [
    "TERM_KINDS",
    "DiseaseKnowledge",
    "KnowledgeBase",
    "Sign",
    "Term",
    "ValueRule",
    "coverage",
    "load_knowledge",
    "write_knowledge",
]
