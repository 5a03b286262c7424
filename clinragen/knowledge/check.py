"""The paper's first question: are the extracted terms relevant to the target disease?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from clinragen.knowledge.base import KnowledgeBase, topic_names
from clinragen.knowledge.check_passages import check_passages
from modeling_clinragen.vocabulary_clinragen import Vocabulary


def check_knowledge(
    base: KnowledgeBase, vocabulary: Vocabulary, encoder: str | Path | None = None, k: int = 5
) -> dict[str, Any]:
    """Measure relevance in two ways.

    Args:
        base: The knowledge base.
        vocabulary: The vocabulary of the base, for the topics' names.
        encoder: Folder of a sentence-transformers model, or `hf://owner/name`; None leaves out `names`.
        k: Recall is measured among the best `k` passages.

    Returns:
        `names`, cosines with the topics' names (`check_names`); `passages`, retrieval of held-out passages
        (`check_passages`); and `not_above_chance`, the topics with an AUC of at most 0.5 in either.

    Raises:
        SettingsError: The encoder cannot be loaded.
    """
    names = None
    if encoder is not None:
        from clinragen.knowledge.check_names import check_names
        from clinragen.retrieval.encoder import SentenceEncoder

        names = {
            "encoder": Path(encoder).name,
            **check_names(base, topic_names(vocabulary), SentenceEncoder(encoder)),
        }
    passages = check_passages(base, k)
    measured = [part["topics"] for part in (names, passages) if part is not None]
    doubtful = [key for key in passages["topics"] if any(topics[key].get("auc", 1.0) <= 0.5 for topics in measured)]
    return {
        "terms": len(base.all_terms()),
        "made_by": base.made_by,
        "names": names,
        "passages": passages,
        "not_above_chance": doubtful,
    }
