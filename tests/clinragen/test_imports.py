"""`import clinragen` is light, and afterwards the Auto classes know the model, whatever was imported before it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import clinragen

LOAD = """
config = AutoConfig.from_pretrained(folder)
model = AutoModel.from_pretrained(folder)
assert type(model).__name__ == "ClinRaGenForConditionalGeneration", type(model)
assert type(model) is type(AutoModelForSeq2SeqLM.from_config(config))
assert type(AutoModelForTextEncoding.from_pretrained(folder)).__name__ == "ClinRaGenModel"
assert type(AutoProcessor.from_pretrained(folder)).__name__ == "ClinRaGenProcessor"
assert type(AutoFeatureExtractor.from_pretrained(folder)).__name__ == "ClinRaGenLabFeatureExtractor"
assert AutoModel._model_mapping[type(config)] is type(model)
"""
BUILD = """
import sys
from clinragen.cli.main import app
app(["synthesize", "--patients", "20", "--output", f"{sys.argv[1]}/hospital"], standalone_mode=False)
words = ["build", "mimic-iv", "--root", f"{sys.argv[1]}/hospital", "--output", f"{sys.argv[1]}/cohort"]
app([*words, "--note-policy", "admission"], standalone_mode=False)
print("loaded:", *{"torch", "transformers", "peft"} & set(sys.modules))
"""
QUIET = """
from clinragen.cli.display import quiet_libraries
quiet_libraries()
from huggingface_hub.utils import are_progress_bars_disabled
from transformers.utils import logging
print(logging.get_verbosity() == logging.ERROR, logging.is_progress_bar_enabled(), are_progress_bars_disabled())
"""
FIRST = "import sys\nfolder = sys.argv[1]\n"
AUTO = (
    "from transformers import (AutoConfig, AutoFeatureExtractor, AutoModel, AutoModelForSeq2SeqLM, "
    "AutoModelForTextEncoding, AutoProcessor)\n"
)


def run(code: str, *arguments: object, program: Path | None = None) -> str:
    words = [str(program)] if program is not None else ["-c", code]
    if program is not None:
        program.write_text(code)
    done = subprocess.run([sys.executable, *words, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(make_model: Any, make_processor: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    make_model("t5").save_pretrained(path)
    make_processor().save_pretrained(path)
    return path


def test_importing_the_package_loads_no_heavy_library() -> None:
    heavy = "{'torch', 'transformers', 'numpy', 'datasets', 'pyarrow', 'ibis'}"
    assert run(f"import sys, clinragen; print({heavy} & set(sys.modules))") == "set()\n"


@pytest.mark.parametrize("program", [None, "clinragen"])
@pytest.mark.parametrize("before", ["import clinragen\n" + AUTO, AUTO + "import clinragen\n"])
def test_the_auto_classes_know_the_model(before: str, program: str | None, folder: Path, tmp_path: Path) -> None:
    run(FIRST + before + LOAD, folder, program=None if program is None else tmp_path / program)


@pytest.mark.parametrize(
    "order",
    [
        # Each of these loads an auto module in the middle of something that the model itself needs.
        "import clinragen, peft\n",
        "import clinragen\nfrom transformers import GenerationMixin\n",
        "import clinragen\nimport modeling_clinragen.modeling_clinragen\n",
        "import clinragen\nfrom modeling_clinragen.configuration_clinragen import ClinRaGenConfig\n",
        "import clinragen, sentence_transformers\n",
        "import modeling_clinragen.processing_clinragen, clinragen\n",
        "import clinragen\nclinragen.register()\n",
    ],
)
def test_no_order_of_imports_breaks_one(order: str, folder: Path) -> None:
    run(FIRST + order + AUTO + LOAD, folder)


def test_building_a_cohort_loads_no_library_of_models(tmp_path: Path) -> None:
    assert run(BUILD, tmp_path).splitlines()[-1] == "loaded:"


@pytest.mark.parametrize("before", ["", "import transformers"])
def test_the_command_line_silences_the_libraries_before_and_after_their_import(before: str) -> None:
    assert run(before + QUIET).split() == ["True", "False", "True"]


def test_the_public_names_are_listed_and_found() -> None:
    names = [
        "Explainer",
        "check_rationale",
        "check_sentences",
        "generate_verified",
        "load_cohort",
        "register",
        "shipped_patient",
    ]
    assert clinragen.__all__ == names
    assert {*clinragen.__all__, "__version__"} <= set(dir(clinragen))
    for name in clinragen.__all__:
        assert callable(getattr(clinragen, name))
    assert clinragen.__version__ == version("clinragen")
    with pytest.raises(AttributeError, match="has no attribute 'explain'"):
        clinragen.explain  # noqa: B018
