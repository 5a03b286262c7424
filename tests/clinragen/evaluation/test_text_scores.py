"""ROUGE, length, repetition and BERTScore against values of rouge-score and plain re-computation."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast, T5Config, T5Model
from written_rationales import written_by

from clinragen.claims.check import Checking
from clinragen.evaluation.bootstrap import Bootstrap
from clinragen.evaluation.score_types import Verified
from clinragen.evaluation.scores.bert import AT_ONCE, bert_score, bert_scores
from clinragen.evaluation.scores.length import length_scores, repeated_runs
from clinragen.evaluation.scores.rouge import longest_common_subsequence, rouge, rouge_scores
from clinragen.evaluation.token_encoder import TokenEncoder
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import SettingsError

VOCABULARY = shipped_definitions().vocabulary
CHECKING = Checking(VOCABULARY, VOCABULARY.range_set("clinical"), None)
ROW = {"lab_hours": [], "lab_values": [], "lab_observed": [], "note": ""}
WORDS = ["fever", "cough", "heart", "rate", "is", "high", "low", "and", "shock", "the"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join)

# By rouge-score 0.1.2, RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).
BY_ROUGE_SCORE = [
    (
        '"HTN" and "Lisinopril" fit Essential hypertension.',
        '"Lisinopril" fits Essential hypertension. Heart rate is high.',
        *(0.4285714286, 0.1666666667, 0.4285714286),
    ),
    (
        "Heart rate is high in most readings from hour 11, peaking near 130 bpm.",
        "Heart rate is high from hour 4, peaking near 128.5 bpm, which fits Shock.",
        *(0.6206896552, 0.3703703704, 0.6206896552),
    ),
    (
        "the cat sat on the mat the cat",
        "the the cat on mat sat the",
        *(0.9333333333, 0.1538461538, 0.6666666667),
    ),
    ("Fieber – hôpital", "", 0.0, 0.0, 0.0),
    ("", "a b", 0.0, 0.0, 0.0),
    ("A b c d", "d c b a", 1.0, 0.0, 0.25),
]


@pytest.mark.parametrize("case", BY_ROUGE_SCORE)
def test_rouge_is_that_of_rouge_score(case: tuple[str, str, float, float, float]) -> None:
    generated, reference, *expected = case
    assert list(rouge(generated, reference).values()) == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_rouge_is_that_of_plain_recursion(generated: str, reference: str) -> None:
    one, other = generated.split(), reference.split()

    @lru_cache
    def common(first: int, second: int) -> int:
        if not first or not second:
            return 0
        if one[first - 1] == other[second - 1]:
            return common(first - 1, second - 1) + 1
        return max(common(first - 1, second), common(first, second - 1))

    shared = common(len(one), len(other))
    assert longest_common_subsequence(one, other) == shared
    found = rouge(generated, reference)
    assert found["rougeL"] == pytest.approx(2 * shared / max(len(one) + len(other), 1))
    for name, length in (("rouge1", 1), ("rouge2", 2)):
        left = [" ".join(other[at : at + length]) for at in range(len(other) - length + 1)]
        total, hits = len(left), 0
        own = [" ".join(one[at : at + length]) for at in range(len(one) - length + 1)]
        for gram in own:
            if gram in left:
                left.remove(gram)
                hits += 1
        assert found[name] == pytest.approx(2 * hits / max(len(own) + total, 1))


def test_rouge_is_a_mean_over_the_examples_with_a_reference() -> None:
    texts = ["heart rate is high", None, "fever", "cough"]
    references = ["heart rate is low", "heart rate is low", "", "cough"]
    written = written_by(texts, [ROW] * 4, CHECKING, references=references)
    found = rouge_scores(written)
    assert found["rouge1"]["value"] == pytest.approx((0.75 + 0 + 1) / 3)
    assert found["rouge2"]["value"] == pytest.approx((2 / 3 + 0 + 0) / 3)
    assert found["rougeL"]["low"] <= found["rougeL"]["value"] <= found["rougeL"]["high"]
    nothing = rouge_scores(written_by(texts, [ROW] * 4, CHECKING, references=[""] * 4))
    assert nothing["rouge1"] == {"value": None, "low": None, "high": None}


def test_a_mean_over_some_examples_equals_explicit_resampling() -> None:
    rng = np.random.default_rng(0)
    values, counted = rng.random(30), rng.random(30) < 0.6
    subjects = rng.integers(0, 12, 30)
    bootstrap = Bootstrap(subjects, resamples=100)
    drawn = []
    for weights in bootstrap.weights[1:]:
        rows = np.repeat(np.arange(30), weights[bootstrap.membership].astype(int))
        drawn.append(values[rows][counted[rows]].mean())
    found = bootstrap.mean(values, counted)
    assert found["value"] == pytest.approx(values[counted].mean())
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))


def test_repetition_counts_what_stood_before() -> None:
    assert repeated_runs("a b c d e") == (0, 2)
    assert repeated_runs("a b c d. A b c d!") == (1, 5)
    assert repeated_runs("x x x x x x") == (2, 3)
    assert repeated_runs("a b c") == (0, 0)


@settings(deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=25))
def test_repeated_runs_are_those_of_plain_loops(words: list[str]) -> None:
    seen: set[str] = set()
    repeated = 0
    for at in range(len(words) - 3):
        run = " ".join(words[at : at + 4])
        repeated += run in seen
        seen.add(run)
    assert repeated_runs(" ".join(words)) == (repeated, max(len(words) - 3, 0))


def test_length_is_that_of_what_parses() -> None:
    answers = [
        Verified("One two three four. One two three four.", "One two three four."),
        Verified(None, None),
        Verified("Five words are in here.", ""),
    ]
    found = length_scores(written_by(answers, [ROW] * 3, CHECKING))
    assert found["raw"]["words"]["value"] == (8 + 5) / 2
    assert found["raw"]["sentences"]["value"] == 1.5
    assert (found["raw"]["repeated"]["count"], found["raw"]["repeated"]["of"]) == (1, 7)
    assert found["shown"]["words"]["value"] == 2.0
    assert found["shown"]["sentences"]["value"] == 0.5


# --- BERTScore


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    plain = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    plain.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words["[CLS]"]), ("[SEP]", words["[SEP]"])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return PreTrainedTokenizerFast(tokenizer_object=plain, model_max_length=12, **special)


@pytest.fixture(scope="module", params=["bert", "t5"])
def encoder_folder(
    request: pytest.FixtureRequest, tokenizer: PreTrainedTokenizerFast, tmp_path_factory: object
) -> Path:
    folder = tmp_path_factory.mktemp(request.param)  # type: ignore[attr-defined]
    torch.manual_seed(0)
    size = len(tokenizer)
    if request.param == "bert":
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        BertModel(BertConfig(vocab_size=size, max_position_embeddings=32, **sizes)).save_pretrained(folder)
    else:
        sizes = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2}
        T5Model(T5Config(vocab_size=size, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)


def naive(folder: Path, generated: str, reference: str) -> tuple[float, float, float]:
    """Text by text and token by token, with the cosine written out."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model

    def vectors(text: str) -> list[np.ndarray]:
        ids = tokenizer(text, truncation=True)["input_ids"]
        with torch.no_grad():
            states = encoder(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
        return [state for state, one in zip(states, ids, strict=True) if one not in tokenizer.all_special_ids]

    def cosine(one: np.ndarray, other: np.ndarray) -> float:
        return float(one @ other / np.sqrt((one @ one) * (other @ other)))

    own, wanted = vectors(generated), vectors(reference)
    if not own or not wanted:
        return 0.0, 0.0, 0.0
    precision = sum(max(cosine(one, other) for other in wanted) for one in own) / len(own)
    recall = sum(max(cosine(one, other) for one in own) for other in wanted) / len(wanted)
    return precision, recall, 2 * precision * recall / (precision + recall)


def test_bert_score_is_greedy_matching(encoder_folder: Path) -> None:
    pairs = [
        ("fever and cough", "cough and the fever is high"),
        ("heart rate is high", "heart rate is high"),
        ("low", "heart rate is low and the heart rate is high and the fever is high and the cough is low"),
        ("", "fever"),
    ]
    encoder = TokenEncoder(encoder_folder)
    vectors = [encoder.embed([pair[side] for pair in pairs]) for side in (0, 1)]
    # Twelve tokens at most, of which two mark begin and end.
    assert [len(one) for one in vectors[1]] == [6, 4, 10, 1]
    for generated, reference, pair in zip(*vectors, pairs, strict=True):
        assert bert_score(generated, reference) == pytest.approx(naive(encoder_folder, *pair), abs=1e-5)
    assert bert_score(vectors[0][1], vectors[1][1]) == pytest.approx((1, 1, 1))


def test_bert_scores_are_means_with_intervals_and_only_with_a_model(encoder_folder: Path) -> None:
    texts: list[str | None] = ["fever", None, "heart rate is high", *["low"] * AT_ONCE]
    references = ["fever and cough", "cough", "", *["high"] * AT_ONCE]
    rows = [ROW] * len(texts)
    assert bert_scores(written_by(texts, rows, CHECKING, references=references)) is None
    encoder = TokenEncoder(encoder_folder)
    found = bert_scores(written_by(texts, rows, CHECKING, references=references, token_encoder=encoder))
    assert found is not None
    assert found["model"] == encoder_folder.name
    each = [
        naive(encoder_folder, "fever", "fever and cough"),
        (0.0, 0.0, 0.0),
        *[naive(encoder_folder, "low", "high")] * AT_ONCE,
    ]
    for name, values in zip(("precision", "recall", "f1"), zip(*each, strict=True), strict=True):
        assert found[name]["value"] == pytest.approx(np.mean(values), abs=1e-4)
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"bert_score: .*none"):
        TokenEncoder(tmp_path / "none")
    with pytest.raises(SettingsError, match=r"bert_score: .* cannot be loaded"):
        TokenEncoder(tmp_path)
