"""The paper's first question: are the extracted terms relevant to the target disease?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dataset_builder.contract.vocabulary import load_diseases, load_variables

from clinragen.knowledge.base import KnowledgeBase
from clinragen.knowledge.check_passages import check_passages


def check_knowledge(base: KnowledgeBase, encoder: str | Path | None = None, k: int = 5) -> dict[str, Any]:
    """Both answers: `names`, cosines with the topics' names (`check_names`), and `passages` (`check_passages`).

    `encoder` is the folder or Hub id of a sentence-transformers model; without one, `names` is None. The topics of
    which one of the answers is no are listed as `not_above_chance`. Raises `SettingsError` for an encoder that cannot
    be loaded.
    """
    names = None
    if encoder is not None:
        from clinragen.knowledge.check_names import check_names
        from clinragen.retrieval.encoder import SentenceEncoder

        named = {disease.key: disease.name for disease in load_diseases()}
        named |= {variable.key: variable.name for variable in load_variables()}
        names = {"encoder": Path(encoder).name, **check_names(base, named, SentenceEncoder(encoder))}
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
