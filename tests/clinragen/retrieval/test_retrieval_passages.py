"""Passages and their files, topics, and what PubMed's XML is read as."""

from __future__ import annotations

import dataclasses
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from dataset_builder.contract.vocabulary import RESOURCES, load_diseases, load_variables, vocabulary_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from knowledge_site import DATA, article, article_set

from clinragen.retrieval.passages import Passage, read_passages, write_passages
from clinragen.retrieval.pubmed_xml import BrokenXMLError, passage_of, pmids_of, read_records
from clinragen.retrieval.topics import TOPICS, load_topics
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
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "must be an object"),
        ('{"id": "1", "text": "x"}', "'source' is missing"),
        ('{"source": "s", "id": 1, "text": "x"}', "'id' must be a text"),
        ('{"source": "s", "id": "1", "text": " "}', "'text' must not be empty"),
        ('{"source": "s", "id": "1", "text": "x", "abstract": "y"}', "no field 'abstract'"),
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


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
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
    topics = load_topics()
    expected = [("disease", one.key) for one in load_diseases()] + [("variable", one.key) for one in load_variables()]
    assert [(topic.kind, topic.key) for topic in topics] == expected
    written = yaml.safe_load((RESOURCES / TOPICS).read_text(encoding="utf-8"))
    assert set(written["diseases"]) | set(written["variables"]) == {key for _, key in expected}
    assert all(set(entry) == {"pubmed", "wikipedia", "words"} for part in written.values() for entry in part.values())
    assert len({topic.words for topic in topics}) == len({topic.pubmed for topic in topics}) == 36
    for topic in topics:
        assert topic.pubmed.count("(") == topic.pubmed.count(")")
        assert topic.pubmed.count('"') % 2 == 0


def test_a_disease_of_the_users_own_is_asked_for_by_its_name(tmp_path: Path) -> None:
    own = tmp_path / "vocabulary" / "phenotypes.yaml"
    own.parent.mkdir()
    own.write_text('- {key: gout, name: Gout, ccs: 54, kind: chronic, codes: {9: ["274.9"]}}\n')
    with vocabulary_of(tmp_path):
        gout, *variables = load_topics()
        assert (gout.name, gout.pubmed, gout.wikipedia, gout.words) == ("Gout", "Gout", ("Gout",), "Gout")
        assert len(variables) == 11
        own.write_text(own.read_text().replace("key: gout", "key: glucose"))
        with pytest.raises(InputDataError, match="'glucose' is the key of a disease and of a variable"):
            load_topics()


@pytest.mark.parametrize(
    "content",
    [
        "a: [",
        "[]",
        "{diseases: {}, variables: {}, more: {}}",
        "{diseases: [], variables: {}}",
        "{diseases: {shock: x}, variables: {}}",
        "{diseases: {shock: {query: x}}, variables: {}}",
        "{diseases: {shock: {wikipedia: Shock}}, variables: {}}",
        "{diseases: {shock: {wikipedia: []}}, variables: {}}",
        "{diseases: {shock: {words: 3}}, variables: {}}",
        "{diseases: {shock: {pubmed: ' '}}, variables: {}}",
    ],
)
def test_a_faulty_file_of_topics_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "own_topics.yaml"
    path.write_text(content)
    with pytest.raises(InputDataError, match=r"own_topics\.yaml"):
        load_topics(path)


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
