"""Domain knowledge K (paper, section 3.2): from passages to one versioned file, and how relevant that is.

The types and functions for reading a knowledge base are listed here; building, writing and checking one is in the
modules, with the libraries that only these need.
"""

from clinragen.knowledge.base import TERM_KINDS, DiseaseKnowledge, KnowledgeBase, Sign, Term, ValueRule
from clinragen.knowledge.reader import load_knowledge, parse_knowledge

__all__ = [
    "TERM_KINDS",
    "DiseaseKnowledge",
    "KnowledgeBase",
    "Sign",
    "Term",
    "ValueRule",
    "load_knowledge",
    "parse_knowledge",
]
