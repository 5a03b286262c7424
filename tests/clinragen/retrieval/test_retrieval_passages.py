"""Passages and their files, topics, and PubMed's XML."""

from __future__ import annotations

import dataclasses
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from knowledge_site import DATA, article, article_set
from tiny_corpus import tiny_definitions

from clinragen.retrieval.passages import Passage, read_passages, write_passages
from clinragen.retrieval.pubmed_xml import BrokenXMLError, passage_of, pmids_of, read_records
from clinragen.retrieval.topics import load_topics
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import InputDataError

SAME_FOLDER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)

# st.text() never makes half a character (a lone surrogate).
FIELD = st.text(max_size=30)
FILLED = FIELD.filter(str.strip)
PASSAGES = st.builds(
    Passage,
    source=FILLED,
    id=FILLED,
    title=FIELD,
    text=FILLED,
    date=st.sampled_from(["", "2024", "2024-02", "2024-02-29"]),
    licence=FIELD,
    url=FIELD,
)
ONE = Passage("pubmed", "1", "A title", "A text.", "2024-05", "a licence", "https://x.org/1")


# --- files of passages


@SAME_FOLDER
@given(st.lists(PASSAGES, max_size=5))
def test_passages_come_back_from_their_file(tmp_path: Path, passages: list[Passage]) -> None:
    write_passages(tmp_path / "passages.jsonl", passages)
    assert list(read_passages(tmp_path / "passages.jsonl")) == passages


LINES = st.one_of(
    st.binary(max_size=40),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=5)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "text", "x"]), inner),
        max_leaves=6,
    ).map(lambda content: json.dumps(content).encode()),
)


@SAME_FOLDER
@given(st.lists(LINES, max_size=4))
def test_any_bytes_are_passages_or_an_error_that_names_the_file(tmp_path: Path, lines: list[bytes]) -> None:
    path = tmp_path / "passages.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        passages, message = list(read_passages(path)), ""
    except InputDataError as error:
        passages, message = [], str(error)
    assert not passages
    assert not message or (message.startswith(f"{path}: ") and "\n" not in message)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "must be an object"),
        ('{"id": "1", "text": "x"}', "'source' is missing"),
        ('{"source": "s", "id": 1, "text": "x"}', "'id' must be a text"),
        ('{"source": "s", "id": "1", "text": " "}', "'text' must not be empty"),
        ('{"source": "s", "id": "1", "text": "x", "abstract": "y"}', "unknown field 'abstract'"),
        ('{"source": "s", "id": "1", "text": "\\ud800"}', "half a character"),
        ('{"source": "s", "id": "1", "text": "x", "date": "5 May 2024"}', "'date' must be like"),
        ('{"source": "s", "id": "1", "text": "x", "date": "2024-13"}', "'date' must be like"),
    ],
)
def test_a_faulty_line_is_named_by_its_number_and_not_quoted(tmp_path: Path, line: str, problem: str) -> None:
    path = tmp_path / "passages.jsonl"
    path.write_text(json.dumps(ONE.to_dict()) + "\n\n" + line + "\n")
    reading = read_passages(path)
    assert next(reading) == ONE
    with pytest.raises(InputDataError, match="line 3: ") as caught:
        next(reading)
    assert problem in str(caught.value)
    assert "5 May" not in str(caught.value)


def test_a_missing_file_or_one_that_is_not_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.jsonl").write_bytes('{"source": "é"}'.encode("latin-1"))
    for name in ("absent.jsonl", "latin.jsonl"):
        with pytest.raises(InputDataError, match=name):
            list(read_passages(tmp_path / name))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "passages.jsonl"
    write_passages(path, [ONE])
    with pytest.raises(InputDataError):
        write_passages(path, read_passages(tmp_path / "absent.jsonl"))
    assert list(read_passages(path)) == [ONE]
    assert [entry.name for entry in tmp_path.iterdir()] == ["passages.jsonl"]


def test_fields_that_a_source_has_not_may_be_left_out() -> None:
    short = Passage.from_dict({"source": "s", "id": "1", "text": "x"})
    assert short == Passage("s", "1", "", "x", "", "", "")
    assert Passage.from_dict(ONE.to_dict()) == ONE


# --- topics


def test_every_disease_and_variable_has_an_entry_of_its_own() -> None:
    definitions = shipped_definitions()
    topics = load_topics(definitions)
    expected = [("disease", one.key) for one in definitions.vocabulary.diseases]
    expected += [("variable", one.key) for one in definitions.vocabulary.variables]
    assert [(topic.kind, topic.key) for topic in topics] == expected
    written = [*definitions.diseases.values(), *definitions.variables.values()]
    assert all(set(entry["queries"]) == {"pubmed", "wikipedia", "words"} for entry in written)
    assert len({topic.words for topic in topics}) == len({topic.pubmed for topic in topics}) == 36
    for topic in topics:
        assert topic.pubmed.count("(") == topic.pubmed.count(")")
        assert topic.pubmed.count('"') % 2 == 0


def test_a_disease_of_the_users_own_is_searched_for_by_its_name(tmp_path: Path) -> None:
    gout, _, heart_rate = load_topics(tiny_definitions(tmp_path / "bare"))
    assert (gout.name, gout.pubmed, gout.wikipedia, gout.words) == ("Gout", "Gout", ("Gout",), "Gout")
    assert (heart_rate.kind, heart_rate.words) == ("variable", "heart rate")
    asked = "queries: {pubmed: 'Gout[Majr]', wikipedia: [Gout, Podagra]}"
    gout, *_ = load_topics(
        tiny_definitions(tmp_path / "own", gout=f'{{name: Gout, kind: chronic, codes: {{9: ["274.9"]}}, {asked}}}')
    )
    assert (gout.pubmed, gout.wikipedia, gout.words) == ("Gout[Majr]", ("Gout", "Podagra"), "Gout")


def test_a_disease_and_a_variable_with_one_key_are_refused(tmp_path: Path) -> None:
    definitions = tiny_definitions(tmp_path)
    gout, asthma = definitions.vocabulary.diseases
    vocabulary = dataclasses.replace(
        definitions.vocabulary, diseases=(dataclasses.replace(gout, key="heart_rate"), asthma)
    )
    diseases = {"heart_rate": definitions.diseases["gout"], "asthma": definitions.diseases["asthma"]}
    with pytest.raises(InputDataError, match="'heart_rate' is the key of a disease and of a variable"):
        load_topics(dataclasses.replace(definitions, vocabulary=vocabulary, diseases=diseases))


@pytest.mark.parametrize(
    "queries", ["x", [], {"query": "x"}, {"wikipedia": "Shock"}, {"wikipedia": []}, {"words": 3}, {"pubmed": " "}]
)
def test_faulty_queries_are_named(queries: Any) -> None:
    shipped = shipped_definitions()
    diseases = {**shipped.diseases, "shock": {**shipped.diseases["shock"], "queries": queries}}
    with pytest.raises(InputDataError, match="disease 'shock': queries"):
        load_topics(dataclasses.replace(shipped, diseases=diseases))


# --- PubMed's XML


def records(content: bytes) -> list[tuple[list[str], Passage | None]]:
    return [(pmids_of(record), passage_of(record)) for record in read_records(BytesIO(content))]


def test_records_of_every_form_are_read() -> None:
    found = records((DATA / "articles.xml").read_bytes())
    assert [pmids for pmids, _ in found] == [
        ["900000001"],
        ["900000002"],
        ["900000003"],
        ["900000004"],
        ["900000005"],
        ["900000002", "900000077"],
    ]
    assert [passage is None for _, passage in found] == [False, False, True, True, False, True]
    assert found[0][1] == Passage(
        source="pubmed",
        id="900000001",
        title="Lactate in septic shock & what follows.",
        text="BACKGROUND: Lactate rises in septic shock.\nRESULTS: A lactate above 4 mmol/L1 went with vasopressors.",
        date="2021-03-09",
        licence="abstract: publisher's copyright, under NLM's terms (© 2021 Nobody.)",
        url="https://pubmed.ncbi.nlm.nih.gov/900000001/",
    )
    kidneys, chapter = found[1][1], found[4][1]
    assert kidneys is not None
    assert chapter is not None
    assert (kidneys.text, kidneys.date) == ("Acute kidney injury shows as oliguria and rising creatinine.", "1998")
    assert (chapter.title, chapter.date) == ("Pneumothorax", "2024-01")


@pytest.mark.parametrize(
    ("published", "date"),
    [
        ("<Year>2020</Year>", "2020"),
        ("<Year>2020</Year><Month>07</Month>", "2020-07"),
        ("<Year>2020</Year><Month>Sept</Month><Day>31</Day>", "2020-09-31"),
        ("<Year>2020</Year><Month>13</Month><Day>1</Day>", "2020"),
        ("<Year>2020</Year><Month>Jul</Month><Day>0</Day>", "2020-07"),
        ("<Year>in press</Year>", ""),
        ("<MedlineDate>Winter 1987</MedlineDate>", "1987"),
        ("<MedlineDate>12345</MedlineDate>", ""),
        ("", ""),
    ],
)
def test_a_date_is_as_exact_as_the_record(published: str, date: str) -> None:
    ((_, passage),) = records(article_set(article(1, "Text.").replace("<Year>2020</Year>", published)))
    assert passage is not None
    assert passage.date == date


@SAME_FOLDER
@given(st.data())
def test_a_cut_or_damaged_answer_never_passes_for_a_whole_one(data: Any) -> None:
    whole = article_set(article(1, "One."), article(2, "Two."))
    place = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BrokenXMLError):
        records(whole[:place])
    # A damage can be a letter of a text; whatever it is, there is a passage or the one error.
    damaged = whole[:place] + data.draw(st.binary(min_size=1, max_size=3)) + whole[place + 1 :]
    try:
        found = records(damaged)
    except BrokenXMLError:
        return
    assert len(found) <= 2


def test_recorded_records_are_read_as_an_independent_reading_has_them(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Entrez's own reader makes a folder in the user's home.
    monkeypatch.setenv("HOME", str(tmp_path))
    from Bio import Entrez

    compared = 0
    for path in sorted((shared / "fixtures" / "pubmed").glob("*.xml"))[::4]:
        ((pmids, passage),) = records(path.read_bytes())
        (expected,) = Entrez.read(path)["PubmedArticle"]
        citation = expected["MedlineCitation"]
        assert pmids == [citation["PMID"]]
        parts = [text for text in citation["Article"].get("Abstract", {}).get("AbstractText", []) if text.strip()]
        assert (passage is None) == (not parts)
        if passage is not None:
            labels = {part.attributes["Label"] for part in parts if "Label" in part.attributes} - {"UNLABELLED"}
            assert all(f"{label}: " in passage.text for label in labels)
            assert passage.text.count("\n") == len(parts) - 1
            assert passage.date[:4] in str(citation["Article"]["Journal"]["JournalIssue"]["PubDate"])
            compared += 1
    assert compared > 30


def test_a_passage_cannot_be_made_without_a_text() -> None:
    with pytest.raises(ValueError, match="'text' must not be empty"):
        dataclasses.replace(ONE, text="\n")
