"""Terms without a language model: phrases that are far more frequent in a topic's passages than in the others'.

The score is the log-odds ratio with an informative prior of Monroe, Colaresi and Quinn (Political Analysis 2008), with
passages instead of words as units: how much larger the odds are that a passage of the topic contains the phrase, in
standard deviations. The prior is the phrase's share in all passages and weighs as much as all of them.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml

from clinragen.knowledge.extraction import Candidate, Extraction, Retrieved
from clinragen.retrieval.passages import Passage
from clinragen.retrieval.topics import Topic
from clinragen.text.normal_form import NormalForm, normal_word
from clinragen.text.term_index import split_words
from dataset_builder.storage.config_fields import check_values, setting

RESOURCES = files("clinragen.knowledge") / "resources"

_JOINED = re.compile(r"[ \n–-]")
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s|\n)$")


@dataclass(frozen=True, kw_only=True)
class StatisticalConfig:
    """Which phrases are terms. Raises `SettingsError` for a value out of its range."""

    max_words: int = setting(4, help="Longest phrase.", unit="words", at_least=1)
    min_passages: int = setting(
        2, help="Passages of the topic that must contain the phrase.", unit="passages", at_least=1
    )
    min_score: float = setting(
        1.28, help="Lowest score of a term; 1.28 has a probability of one in ten.", unit="standard deviations"
    )
    terms_per_topic: int = setting(30, help="Highest number of terms per topic.", unit="terms", at_least=1)
    nested_share: float = setting(
        0.75,
        help="A phrase is dropped when a longer one explains at least this share of its passages.",
        at_least=0,
        at_most=1,
    )

    def __post_init__(self) -> None:
        check_values(self)


class StatisticalExtractor:
    """Extracts terms without a model or a network. The kind of each term is "related"."""

    name = "statistical"

    def __init__(self, config: StatisticalConfig | None = None) -> None:
        self._config = config or StatisticalConfig()

    @property
    def settings(self) -> dict[str, Any]:
        """The settings and the version of the word lists."""
        return {**asdict(self._config), "word_lists": _word_lists()["version"]}

    async def extract(self, topics: Sequence[Topic], retrieved: Retrieved) -> Extraction:
        """See `Extractor.extract`."""
        read = {
            passage.key: _phrases(passage.text, self._config.max_words) for passage in _distinct_passages(retrieved)
        }
        everywhere = Counter(phrase for phrases in read.values() for phrase in phrases)
        found = {}
        for topic in topics:
            own = [read[passage.key] for passage in retrieved[topic.key]]
            counts = Counter(phrase for phrases in own for phrase in phrases)
            scores = self._scores(counts, len(own), everywhere, len(read))
            kept = self._without_nested(scores, counts)[: self._config.terms_per_topic]
            found[topic.key] = [_candidate(phrase, own) for phrase in kept]
        return Extraction(found, {"phrases": len(everywhere)})

    def _scores(
        self, counts: Mapping[NormalForm, int], passages: int, everywhere: Mapping[NormalForm, int], total: int
    ) -> dict[NormalForm, float]:
        scores = {}
        for phrase, count in counts.items():
            if count >= self._config.min_passages:
                score = log_odds_score(count, passages, everywhere[phrase], total)
                if score >= self._config.min_score:
                    scores[phrase] = score
        return scores

    def _without_nested(
        self, scores: Mapping[NormalForm, float], counts: Mapping[NormalForm, int]
    ) -> list[NormalForm]:
        """The phrases, best first, that also occur outside a longer one."""
        nested = set()
        for phrase in scores:
            for start in range(len(phrase)):
                for end in range(start + 1, len(phrase) + 1):
                    inner = phrase[start:end]
                    if inner != phrase and counts[phrase] >= self._config.nested_share * counts.get(inner, 0):
                        nested.add(inner)
        return sorted(set(scores) - nested, key=lambda phrase: (-scores[phrase], phrase))


def log_odds_score(count: int, passages: int, everywhere: int, total: int) -> float:
    """How much more frequent a phrase is in a topic's passages than in the others, in standard deviations.

    Args:
        count: Passages of the topic that contain the phrase.
        passages: Passages of the topic.
        everywhere: Passages of all topics that contain it, this topic's included.
        total: Passages of all topics.
    """
    # One more passage without the phrase keeps the odds finite.
    prior = total * everywhere / (total + 1)
    own, rest = count + prior, everywhere - count + prior
    odds = own / (passages + total - own), rest / (2 * total - passages - rest)
    return math.log(odds[0] / odds[1]) / math.sqrt(1 / own + 1 / rest)


def _distinct_passages(retrieved: Retrieved) -> Iterable[Passage]:
    """Each passage once, even if it was retrieved for several topics."""
    return {passage.key: passage for passages in retrieved.values() for passage in passages}.values()


@lru_cache(maxsize=1)
def _word_lists() -> Mapping[str, Any]:
    content = yaml.safe_load((RESOURCES / "term_extraction.yaml").read_text(encoding="utf-8"))
    return {
        "version": content["version"],
        "stop": frozenset(content["stop_words"].split()),
        "inner": frozenset(content["inner_words"].split()),
    }


def _phrases(text: str, max_words: int) -> dict[NormalForm, Counter[str]]:
    """The phrases of a text with the spellings of each.

    Punctuation and stop words end a phrase; it neither begins nor ends with a number; prepositions may occur inside.
    """
    lists = _word_lists()
    words = split_words(text)
    found: dict[NormalForm, Counter[str]] = defaultdict(Counter)
    for first, start in enumerate(words):
        for last in range(first, min(first + max_words, len(words))):
            word = words[last]
            inner = word.text.lower() in lists["inner"]
            if word.text.lower() in lists["stop"] or (first == last and (inner or not _can_end(word.text))):
                break
            if last > first and not _JOINED.fullmatch(text[words[last - 1].end : word.start]):
                break
            if not inner and _can_end(word.text):
                form = tuple(normal_word(word.text) for word in words[first : last + 1])
                found[form][_spelling(text, start.start, word.end)] += 1
    return found


def _can_end(word: str) -> bool:
    return len(word) > 1 and any(letter.isalpha() for letter in word)


def _spelling(text: str, start: int, end: int) -> str:
    """The spelling of a phrase, without a capital that only begins a sentence."""
    way = " ".join(text[start:end].split())
    begins = _SENTENCE_START.search(text, max(0, start - 2), start) is not None
    return way[0].lower() + way[1:] if begins and way[1:2].islower() else way


def _candidate(phrase: NormalForm, passages: Sequence[Mapping[NormalForm, Counter[str]]]) -> Candidate:
    """A phrase in its most frequent spelling; of equally frequent ones, in lower case."""
    ways: Counter[str] = Counter()
    for found in passages:
        ways.update(found.get(phrase, {}))
    term, *spellings = sorted(sorted(ways, reverse=True), key=lambda way: -ways[way])
    return Candidate(term, spellings=tuple(spellings))
