"""Domain knowledge K (paper, section 3.2): from passages to one versioned file, and how good that is.

What is needed to read knowledge stands here; what builds and checks it is in the modules.
"""

from clinragen.knowledge.base import TERM_KINDS, DiseaseKnowledge, KnowledgeBase, Sign, Term, ValueRule
from clinragen.knowledge.coverage import coverage
from clinragen.knowledge.reader import load_knowledge
from clinragen.knowledge.writer import write_knowledge

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
