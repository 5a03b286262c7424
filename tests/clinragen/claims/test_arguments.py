"""How sentences are read that argue for diseases, or say that nothing does."""

from __future__ import annotations

from pathlib import Path

import pytest
from claim_cases import VOCABULARY
from hypothesis import given, settings
from hypothesis import strategies as st

from clinragen.claims.argument_words import ARGUMENTS, load_argument_words
from clinragen.claims.arguments import SentenceArguments, read_arguments
from clinragen.claims.consistency import find_disagreements
from clinragen.claims.lexer import tokenize
from clinragen.claims.lexicon import load_lexicon
from clinragen.claims.parser import parse
from dataset_builder.storage.files import read_yaml
from modeling_clinragen.errors import InputDataError
from modeling_clinragen.sentences_clinragen import sentence_spans

LEXICON = load_lexicon(VOCABULARY)
NAMES = VOCABULARY.name_of_disease
PNEUMONIA, SEPSIS, HEART = NAMES["pneumonia"], NAMES["septicemia"], NAMES["congestive_heart_failure"]
ALL = tuple(NAMES)


def read(text: str) -> list[SentenceArguments]:
    return read_arguments(text, parse(tokenize(text, LEXICON)), LEXICON)


def argued(text: str) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    """Sign, source, diseases and evidence (words of quotations, keys of variables) of every argument."""
    result = []
    for sentence in read(text):
        for one in sentence.arguments:
            evidence = [quoted.words for quoted in one.quotations]
            evidence += dict.fromkeys(statement.subject.variables[0] for statement in one.statements)
            result.append(("-" if one.negated else "+", one.source, one.diseases, tuple(evidence)))
    return result


FOR = [
    (f'"fever" fits {PNEUMONIA} and Shock.', [("+", "note", ("pneumonia", "shock"), ("fever",))]),
    ('Shock was considered, and "cold hands" suggest it.', [("+", "note", ("shock",), ("cold hands",))]),
    (f'{PNEUMONIA} is supported by "a cough" and "chills".', [("+", "note", ("pneumonia",), ("a cough", "chills"))]),
    ("The heart rate is high, in keeping with Shock.", [("+", "series", ("shock",), ("heart_rate",))]),
    ("The heart rate is high in Shock.", [("+", "series", ("shock",), ("heart_rate",))]),
    (
        'Shock ("clammy skin", heart rate is high).',
        [("+", "note", ("shock",), ("clammy skin",)), ("+", "series", ("shock",), ("heart_rate",))],
    ),
    (
        f'"orthopnea" points to {HEART}, while temperature is high, which fits {SEPSIS}.',
        [
            ("+", "note", ("congestive_heart_failure",), ("orthopnea",)),
            ("+", "series", ("septicemia",), ("temperature",)),
        ],
    ),
    (f'Because of "orthopnea", {HEART} is likely.', [("+", "note", ("congestive_heart_failure",), ("orthopnea",))]),
    (f'"chills" are noted. They speak for {SEPSIS}.', [("+", "note", ("septicemia",), ("chills",))]),
    (f'"chills" fit {SEPSIS} in a patient with {HEART}.', [("+", "note", ("septicemia",), ("chills",))]),
    ("The vital signs suggest Shock.", [("+", "series", ("shock",), ())]),
    (f"The course fits {PNEUMONIA} better than Shock.", [("+", "", ("pneumonia",), ())]),
    ('"chills" support an infection.', []),
    ("The patient has Shock, and the heart rate is high.", []),
    ('"chills" do not exclude Shock.', []),
]
AGAINST = [
    (
        f'"chills" fit {SEPSIS} but not Shock.',
        [("+", "note", ("septicemia",), ("chills",)), ("-", "note", ("shock",), ("chills",))],
    ),
    ('"chills" are not specific enough and do not support Shock.', [("-", "note", ("shock",), ("chills",))]),
    (
        "Neither the chart nor the vitals point to Shock.",
        [("-", "note", ("shock",), ()), ("-", "series", ("shock",), ())],
    ),
    ("Nothing in the documentation hints at or supports Shock.", [("-", "note", ("shock",), ())]),
    (f"None of the readings argues for Shock or {SEPSIS}.", [("-", "series", ("shock", "septicemia"), ())]),
    ("For Shock, the chart offers no supporting evidence.", [("-", "note", ("shock",), ())]),
    ("No bedside measurement is specific for Shock.", [("-", "series", ("shock",), ())]),
    ("Shock is not mentioned.", [("-", "note", ("shock",), ())]),
    ("There is no sign of Shock in the vital signs.", [("-", "series", ("shock",), ())]),
    ("The chart contains no evidence of Shock.", [("-", "note", ("shock",), ())]),
    ("The chart contains nothing that points to Shock.", [("-", "note", ("shock",), ())]),
    ("The temperature is normal, which makes Shock unlikely.", [("-", "series", ("shock",), ("temperature",))]),
    ("The chart is silent about Shock.", [("-", "note", ("shock",), ())]),
    ("The measurements do not suggest any of the diseases.", [("-", "series", ALL, ())]),
    ("There is no fever to support Shock.", [("-", "series", ("shock",), ("temperature",))]),
    ("The gait does not fit Shock.", []),
]


@pytest.mark.parametrize(("text", "arguments"), FOR + AGAINST, ids=lambda value: str(value)[:60])
def test_who_is_argued_for_and_by_what(text: str, arguments: list[object]) -> None:
    assert argued(text) == arguments


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("There is no note.", ["note"]),
        ("No clinical note was provided, and nothing was measured.", ["note", "series"]),
        ("The note is empty.", ["note"]),
        ("No vital signs were recorded.", ["series"]),
        ("There are no measurements.", ["series"]),
        ("Without any readings available, little can be said.", ["series"]),
        ("With no note to go by, little can be said.", ["note"]),
        ("There is neither a note nor any measurement.", ["note", "series"]),
        ("Neither a note nor measurements point to Shock.", []),
        ("There is no note of a fever.", []),
        ("No note finding supports Shock.", []),
        ("There are no measurements that point to Shock.", []),
        ('"no note" is a quotation.', []),
    ],
)
def test_what_says_that_a_source_is_missing(text: str, sources: list[str]) -> None:
    (sentence,) = read(text)
    assert [source for source, _ in sentence.missing] == sources
    for _, (start, end) in sentence.missing:
        assert 0 <= start < end <= len(text)


PIECES = st.sampled_from(
    [
        *(
            '"chills"',
            "Shock",
            SEPSIS,
            "the heart rate is high",
            "no fever",
            "the note",
            "the vital signs",
            "and",
            ",",
            ";",
            "but",
        ),
        *(
            "supports",
            "do not support",
            "nothing",
            "neither",
            "nor",
            "which",
            "this",
            "in",
            "(",
            ":",
            "any of the diseases",
            "not",
        ),
        *(
            "unlikely",
            "does not mention",
            "argues against",
            ".",
            "\n",
            "there is no note",
            "as does",
            "better than",
            "in a patient with",
        ),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=24))
def test_any_order_of_words_is_read(pieces: list[str]) -> None:
    text = " ".join(pieces)
    sentences = read(text)
    assert [sentence.span for sentence in sentences] == sentence_spans(text)
    for sentence in sentences:
        start, end = sentence.span
        for one in sentence.arguments:
            assert start <= one.span[0] < one.span[1] <= end
            named = LEXICON.diseases_in(text[slice(*one.span)])
            assert one.diseases
            assert one.every or set(one.diseases) <= named
            assert one.source in ("note", "series", "")
            assert {bool(one.quotations) and "note", bool(one.statements) and "series"} <= {one.source, False}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([text for text, _ in FOR + AGAINST if ". They" not in text]), min_size=2, max_size=5))
def test_sentences_are_read_alone_unless_a_pronoun_joins_them(texts: list[str]) -> None:
    assert argued(" ".join(texts)) == [one for text in texts for one in argued(text)]


def test_a_broken_file_is_refused_by_name(tmp_path: Path) -> None:
    content = ARGUMENTS.read_text(encoding="utf-8")
    for name in read_yaml(ARGUMENTS):
        broken = tmp_path / f"{name}.yaml"
        broken.write_text(content.replace(f"\n{name}:", f"\nno_{name}x:"), encoding="utf-8")
        with pytest.raises(InputDataError, match=f"{name}.yaml"):
            load_argument_words(broken)


BOTH_WAYS = f'"chills" support {SEPSIS}. The note does not point to {SEPSIS}.'


@pytest.mark.parametrize(
    ("text", "listed", "faults"),
    [
        (BOTH_WAYS, None, [0, 1]),
        (f'The note does not point to {SEPSIS}. "chills" support {SEPSIS}.', None, [0, 1]),
        (f'"chills" support {SEPSIS}. No measurement points to {SEPSIS}.', None, [0, 0]),
        (f'"chills" support {SEPSIS}. "a cough" does not support {SEPSIS}.', None, [0, 0]),
        ("Heart rate is high in Shock. The vital signs do not suggest any of the diseases.", None, [0, 1]),
        ("Heart rate is high in Shock. Nothing supports Shock.", None, [0, 1]),
        (f'"chills" support {SEPSIS} and Shock.', ["septicemia"], [1]),
        (f'"chills" support {SEPSIS} and Shock.', ["septicemia", "shock"], [0]),
        (f"The course fits {SEPSIS}. The note does not point to Shock.", [], [1, 0]),
        ("Heart rate is high.", [], [0]),
    ],
)
def test_where_sentences_disagree(text: str, listed: list[str] | None, faults: list[int]) -> None:
    found = find_disagreements(read(text), NAMES, listed)
    assert [len(one) for one in found] == faults
    assert all("note" in fault or "series" in fault or "diagnoses" in fault for one in found for fault in one)
