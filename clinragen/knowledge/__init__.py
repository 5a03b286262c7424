"""Domain knowledge K (paper, section 3.2): from passages to one versioned file, and how relevant that is.

The types and functions for reading a knowledge base are listed here; building and checking is in the modules.
"""

from clinragen.knowledge.base import TERM_KINDS, DiseaseKnowledge, KnowledgeBase, Sign, Term, ValueRule
from clinragen.knowledge.coverage import coverage
from clinragen.knowledge.reader import load_knowledge, parse_knowledge
from clinragen.knowledge.writer import fill_knowledge

__all__ = [
    "TERM_KINDS",
    "DiseaseKnowledge",
    "KnowledgeBase",
    "Sign",
    "Term",
    "ValueRule",
    "coverage",
    "fill_knowledge",
    "load_knowledge",
    "parse_knowledge",
]
