"""`clinragen knowledge` from sources to the folder, on a machine without internet."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from knowledge_site import EMAIL, KnowledgeSite, article
from tiny_corpus import TEXTS, VOCABULARY_FILES, passages, write_corpus, write_vocabulary
from tiny_mimic import HR, VOCABULARY, TinyMimic, make_cohort
from typer.testing import CliRunner, Result

from clinragen.cli.main import app
from clinragen.knowledge import KnowledgeBase, load_knowledge
from clinragen.llm.providers import LLMConfig
from clinragen.pipeline.knowledge import KnowledgeConfig
from clinragen.retrieval.passages import write_passages
from dataset_builder.contract.definitions import read_vocabulary
from dataset_builder.storage.config_fields import make_config
from dataset_builder.storage.governance import PROVENANCE, read_provenance, write_provenance
from modeling_clinragen.errors import ClinRaGenError, GovernanceError, InputDataError, SettingsError

RESOURCES = files("clinragen.knowledge") / "resources"
CORPUS = Path(str(RESOURCES / "corpus"))
NOTE = "Chief Complaint:\nPodagra and wheezing"


def hospital() -> TinyMimic:
    made = TinyMimic()
    for number in range(1, 9):
        made.stay(number, codes=[("5849", 9)], note=NOTE)
        made.chart(number, 1, HR, 60 + number)
    return made


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    make_cohort("mimic-iv", hospital().write(folder / "tables"), folder / "cohort", note_policy="full")
    # As if the tables were public.
    write_provenance(folder / "cohort", {**read_provenance(folder / "cohort"), "credentialed": False, "origins": []})
    return folder / "cohort"


@pytest.fixture(scope="module")
def own_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the tiny vocabulary."""
    folder = tmp_path_factory.mktemp("own")
    gout = VOCABULARY_FILES["diseases/gout.yaml"].replace("M10.9", "N17.9")
    vocabulary = write_vocabulary(folder / "vocabulary", gout=gout)
    tables = hospital().write(folder / "tables")
    make_cohort("mimic-iv", tables, folder / "cohort", note_policy="full", vocabulary=str(vocabulary))
    return folder / "cohort"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Run the command with an output folder; what fails is raised."""

    def call(cohort: Path, *words: object) -> Result:
        options = ["--cohort", cohort, "--output", tmp_path / "out", *words]
        done = CliRunner().invoke(app, ["knowledge", *map(str, options)])
        if isinstance(done.exception, ClinRaGenError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done

    return call


Run = Callable[..., Result]


def base_in(folder: Path) -> KnowledgeBase:
    """The knowledge base in a folder, in the vocabulary that came with it."""
    return load_knowledge(folder / "knowledge.json", read_vocabulary(folder))


def test_without_a_source_it_is_the_shipped_base(run: Run, cohort: Path, tmp_path: Path) -> None:
    output = run(cohort).output
    assert (tmp_path / "out" / "knowledge.json").read_bytes() == (RESOURCES / "knowledge.json").read_bytes()
    assert "513 terms of 36 topics" in output
    assert read_provenance(tmp_path / "out")["steps"][-1]["step"] == "knowledge"


def test_a_local_corpus_adds_extracted_terms_and_changes_no_judged_one(
    run: Run, cohort: Path, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    tiny_tokenizer.save_pretrained(tmp_path / "tokenizer")
    run(cohort, "--source", CORPUS, "--per-topic", 4, "--tokenizer", tmp_path / "tokenizer")
    base, shipped = base_in(tmp_path / "out"), load_knowledge(None, VOCABULARY)
    for made, known in zip(base.topics, shipped.topics, strict=True):
        assert [term.surfaces for term in made.terms] == [term.surfaces for term in known.terms]
        assert not any(term.cited for term in made.extracted)
        assert 1 <= len(made.passages) <= 4
        # At most as much support as the more passages give.
        assert set(known.passages) <= set(made.passages)
    assert "fluid and electrolyte" not in " ".join(base.all_terms())
    assert sum(len(topic.extracted) for topic in base.topics) > 100
    coverage = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert coverage["vocabulary"]["tokens"] > 100
    steps = read_provenance(tmp_path / "out")["steps"]
    assert steps[-1]["sources"][0]["folder"] == "corpus"
    assert steps[-1]["extract"] == ["curated", "statistical"]
    assert steps[-1]["versions"]["bm25s"]
    assert base.made_by["sources"] == [{"source": "corpus", "per_topic": 4}]


def test_terms_of_two_sources_are_counted_as_such(run: Run, own_cohort: Path, tmp_path: Path) -> None:
    sources = [word for name in ("books", "papers") for word in ("--source", write_corpus(tmp_path / name))]
    run(own_cohort, *sources, "--per-topic", 2)
    measured = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert measured["diseases"]["gout"]["two_sources"] == 1.0
    assert measured["diseases"]["gout"]["passages"] == 4
    assert measured["diseases"]["gout"]["judged"] == 0
    assert measured["diseases"]["gout"]["found"] >= 1  # podagra
    base = base_in(tmp_path / "out")
    assert [entry.key for entry in base.diseases] == ["gout", "asthma"]
    assert any(term.term.lower() == "tachycardia" for term in base.variables[0].all_terms)  # curated, and read


def test_pubmed_and_wikipedia_are_asked_once(
    run: Run, own_cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NCBI_EMAIL", EMAIL)
    names = {"gout": "Gout", "asthma": "Asthma", "heart_rate": "heart rate"}
    with KnowledgeSite() as site:
        page = site.wiki["pages"]["Sepsis"]
        for place, (key, name) in enumerate(names.items()):
            site.articles[name] = [article(10 * place + number, text) for number, text in enumerate(TEXTS[key])]
            site.wiki["pages"][name] = {**page, "pageid": 1 + place, "title": name, "extract": " ".join(TEXTS[key])}
        words = ("--source", "pubmed", "--source", "wikipedia", "--pubmed-address", site.url)
        run(own_cohort, *words, "--wikipedia-address", site.url)
        asked = len(site.requests)
        # Another choice of extractors asks nobody again.
        run(own_cohort, *words, "--wikipedia-address", site.url, "--extract", "statistical")
        assert len(site.requests) == asked > 0
        site.shutdown()
    base = base_in(tmp_path / "out")
    assert {passage.source for passage in base.passages.values()} == {"pubmed", "wikipedia"}
    measured = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert measured["diseases"]["gout"]["two_sources"] > 0


def test_a_finished_stage_is_not_run_again_and_another_corpus_is_noticed(
    run: Run, own_cohort: Path, tmp_path: Path
) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    run(own_cohort, "--source", corpus)
    stamp = (tmp_path / "out" / "knowledge.json").stat().st_mtime_ns
    run(own_cohort, "--source", corpus)
    assert (tmp_path / "out" / "knowledge.json").stat().st_mtime_ns == stamp
    (tmp_path / "elsewhere").mkdir()
    corpus = corpus.rename(tmp_path / "elsewhere" / "corpus")
    run(own_cohort, "--source", corpus)
    assert (tmp_path / "out" / "knowledge.json").stat().st_mtime_ns == stamp
    with pytest.raises(InputDataError, match="overlaps with the input"):
        run(own_cohort, "--source", corpus, "--output", corpus / "out")
    write_passages(corpus / "more.jsonl", passages("more")["gout"])
    run(own_cohort, "--source", corpus)
    assert len(base_in(tmp_path / "out").disease("gout").passages) == 4


def test_a_random_model_in_process_reads_every_passage_and_adds_nothing(
    run: Run, own_cohort: Path, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    import torch
    from conftest import TEXT_CONFIGS
    from transformers import AutoConfig, AutoModelForCausalLM

    own = {"vocab_size": len(tiny_tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    torch.manual_seed(0)
    config = AutoConfig.for_model(**{**TEXT_CONFIGS["llama"], **own, "max_position_embeddings": 4096})
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    corpus = ("--source", write_corpus(tmp_path / "corpus"), "--per-topic", 2)
    model = ("--provider", "transformers", "--model-name", tmp_path / "model", "--max-tokens", 4)
    run(own_cohort, *corpus, "--extract", "statistical", "--extract", "llm", *model)
    content = json.loads((tmp_path / "out" / "knowledge.json").read_text())
    sources = {term["source"] for entry in content["diseases"].values() for term in entry["extracted"]}
    assert sources == {"extracted: statistical"}
    counts = content["made_by"]["extractors"][-1]["counts"]
    assert (counts["passages"], counts["asked_again"], counts["failed"], counts["terms"]) == (6, 6, 6, 0)
    assert read_provenance(tmp_path / "out")["steps"][-1]["services"][0]["local"] is True
    assert len((tmp_path / "out.journal" / "answers.jsonl").read_text().splitlines()) == 12


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--source", "nowhere"], SettingsError, "unknown source 'nowhere'"),
        (["--source", CORPUS, "--extract", "magic"], SettingsError, "--extract: expected one of .*, got 'magic'"),
        (["--extract", "statistical"], SettingsError, "give a source, or leave extract out"),
        (["--source", CORPUS, "--model-name", "x", "--base-url", "u"], SettingsError, "without --extract llm no"),
        (["--source", CORPUS, "--extract", "llm"], SettingsError, "go together"),
        (
            ["--source", CORPUS, "--extract", "llm", "--model-name", "x"],
            SettingsError,
            "needs a base_url; give --base-url",
        ),
        (["--source", CORPUS, "--extract", "llm"], SettingsError, "--model-name"),
        (["--source", CORPUS, "--tokenizer", "nowhere"], SettingsError, "tokenizer 'nowhere' cannot be loaded"),
        (["--source", "pubmed"], SettingsError, "NCBI_EMAIL"),
    ],
)
def test_choices_that_cannot_work(
    run: Run, cohort: Path, monkeypatch: pytest.MonkeyPatch, words: list[object], error: type[Exception], message: str
) -> None:
    monkeypatch.delenv("NCBI_EMAIL", raising=False)
    with pytest.raises(error, match=message):
        run(cohort, *words)


def test_cohort_and_output_are_needed() -> None:
    done = CliRunner().invoke(app, ["knowledge"])
    assert isinstance(done.exception, SettingsError)
    assert "--cohort DIR and --output DIR" in str(done.exception)


def test_a_corpus_without_terms_for_a_topic_is_refused(run: Run, own_cohort: Path, tmp_path: Path) -> None:
    found = passages()
    write_passages(tmp_path / "corpus" / "some.jsonl", found["gout"] + found["heart_rate"])
    with pytest.raises(InputDataError, match=r"asthma: no terms; .* retrieve more"):
        run(own_cohort, "--source", tmp_path / "corpus", "--extract", "statistical")
    assert not (tmp_path / "out").exists()


REMOTE = ("--extract", "llm", "--model-name", "x", "--base-url", "https://models.example.org/v1")


def test_a_corpus_made_of_patients_goes_nowhere(run: Run, cohort: Path, tmp_path: Path) -> None:
    write_provenance(write_corpus(tmp_path / "corpus"), {"source": "mimic-iv", "credentialed": True})
    with pytest.raises(GovernanceError, match=r"models\.example\.org"):
        run(cohort, "--source", tmp_path / "corpus", "--extract", "curated", *REMOTE)
    run(cohort, "--source", tmp_path / "corpus", "--extract", "curated")
    assert read_provenance(tmp_path / "out")["credentialed"] is True
    assert (tmp_path / "out" / PROVENANCE).stat().st_mode & 0o077 == 0


def test_a_recipe_says_what_the_knowledge_is_made_of() -> None:
    content = {
        "sources": ["pubmed"],
        "extract": ["llm"],
        "per_topic": 5,
        "llm": {"provider": "transformers", "model_name": "m"},
    }
    chosen = make_config(KnowledgeConfig, content, "knowledge")
    assert (chosen.sources, chosen.extract, chosen.per_topic) == (("pubmed",), ("llm",), 5)
    assert chosen.llm == LLMConfig(provider="transformers", model_name="m")
    assert make_config(KnowledgeConfig, {}, "knowledge") == KnowledgeConfig()
    for wrong, named in (
        ({"sources": "pubmed"}, "knowledge: sources: expected a list"),
        ({"depth": 3}, "knowledge: unknown setting 'depth'"),
        ({**content, "extract": ["curated"]}, "knowledge: extract 'llm' and a language model go together"),
        ({**content, "sources": []}, "give a source as well"),
        ({**content, "llm": {**content["llm"], "prices": 3}}, "knowledge: llm: prices: expected a list"),
    ):
        with pytest.raises(SettingsError, match=named):
            make_config(KnowledgeConfig, wrong, "knowledge")
