"""The settings of a language model and the table of providers: what decides, what fits, how a provider is added."""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from clinragen.llm import providers
from clinragen.llm.providers import PROVIDERS, LLMConfig, open_client
from clinragen.llm.types import Answer, Message, Request
from dataset_builder.storage.config_fields import deciding, make_config, setting_types
from dataset_builder.storage.progress import Progress
from modeling_clinragen.errors import GovernanceError, SettingsError

URL = "http://127.0.0.1:8000/v1"
ECHO = '''
class Echo:
    """Repeats the request, `times` over."""

    address = None

    def __init__(self, model_name, provenance, times):
        self.name, self.times = model_name, times
        self.settings = {"kind": "echo", "model": model_name}
        self.governance = {"local": True, "credentialed": provenance["credentialed"]}

    async def answer(self, request):
        return Answer(request.messages[-1].content * self.times, "stop", 1, 1, self.name)

    async def close(self):
        pass
'''


def test_every_setting_has_a_help_sentence_and_only_three_decide() -> None:
    config = LLMConfig(provider="openai", model_name="m", base_url=URL)
    assert deciding(config) == {"provider": "openai", "model_name": "m", "enforce_schema": True}
    for name, field in LLMConfig.__dataclass_fields__.items():
        assert field.metadata["help"].endswith((".", "]")), name
    for provider in PROVIDERS.values():
        assert set(provider.required) <= set(provider.fields) <= set(setting_types(LLMConfig))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"provider": "magic", "model_name": "m"}, "provider: expected one of openai, transformers, got 'magic'"),
        ({"provider": "transformers"}, "provider 'transformers' needs a model; give --model-name"),
        ({"provider": "openai", "model_name": "m"}, "provider 'openai' needs a base_url; give --base-url"),
        (
            {"provider": "transformers", "model_name": "m", "base_url": URL},
            "provider 'transformers' does not use base_url; leave it out",
        ),
        ({"provider": "openai", "model_name": "m", "base_url": URL, "batch_size": 2}, "does not use batch_size"),
        ({"provider": "transformers", "model_name": "m", "concurrency": 0}, "concurrency: expected .* at least 1"),
        ({"provider": "transformers", "model_name": "m", "max_attempts": 0}, "max_attempts: expected .* at least 1"),
        ({"provider": "openai", "model_name": "m", "base_url": URL, "prices": [1]}, "prices: expected a list"),
        ({"provider": "openai", "model_name": "m", "base_url": URL, "prices": 3}, "prices: expected a list"),
        ({"provider": "transformers", "model_name": "m", "service_nobody_reads": True}, "does not use service_nobody"),
        ({"provider": "openai", "model_name": "m", "depth": 3}, "unknown setting 'depth'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_config(LLMConfig, settings, "recipe.yaml")


def test_settings_of_a_recipe_are_read() -> None:
    written = {"model_name": "m", "base_url": URL, "max_attempts": 3, "prices": [1.5, 6]}
    config = make_config(LLMConfig, written, "recipe.yaml")
    assert (config.provider, config.prices) == ("openai", (1.5, 6))
    assert (config.retry.attempts, config.retry.first_pause_s, config.retry.max_retry_after_s) == (3, 0.5, 300)


def test_credentialed_data_reaches_a_remote_service_with_all_three_statements_only(tmp_path: Path) -> None:
    async def opened(**stated: bool) -> Any:
        config = LLMConfig(model_name="m", base_url="https://llm.hospital.org/v1", **stated)
        async with open_client(config, {"credentialed": True}, tmp_path / "journal") as client:
            return client.model.governance

    two = {"service_keeps_nothing": True, "service_nobody_reads": True}
    for stated, message in (({}, r"llm\.hospital\.org"), (two, "not acknowledged of the service: trains on nothing")):
        with pytest.raises(GovernanceError, match=message):
            asyncio.run(opened(**stated))
        assert not (tmp_path / "journal").exists()
    assert asyncio.run(opened(**two, service_trains_on_nothing=True)) == {
        "host": "llm.hospital.org",
        "local": False,
        "acknowledgement": {"keeps_nothing": True, "trains_on_nothing": True, "nobody_reads": True},
    }


def test_prices_give_the_cost(tmp_path: Path) -> None:
    async def priced() -> Any:
        config = LLMConfig(model_name="m", base_url=URL, prices=(2.0, 8.0))
        async with open_client(config, {"credentialed": True}, tmp_path) as client:
            return client.usage["cost"]

    assert asyncio.run(priced()) == 0.0


def test_a_row_and_a_field_more_are_a_provider_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Path(str(providers.__file__)).read_text(encoding="utf-8")
    row = '    "echo": Provider(Echo, fields=("times",), required=(), summary="repeats"),\n'
    source = source.replace('    "openai": Provider(', f'{row}    "openai": Provider(')
    source = source.replace(
        "@dataclass(frozen=True)\nclass Provider", f"{ECHO}\n\n@dataclass(frozen=True)\nclass Provider"
    )
    source = source.replace("import LanguageModel\n", "import Answer, LanguageModel\n")
    field = '    times: int = setting(1, help="echo: how often.", at_least=1)\n'
    source = source.replace("    base_url: str | None = setting(", f"{field}    base_url: str | None = setting(")
    (tmp_path / "own_providers.py").write_text(source, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("own_providers", tmp_path / "own_providers.py")
    assert spec is not None
    assert spec.loader is not None
    own = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own_providers", own)
    spec.loader.exec_module(own)
    reported: list[Progress] = []

    async def ask() -> Answer:
        config = own.LLMConfig(provider="echo", model_name="e", times=2)
        journal = tmp_path / "journal"
        async with own.open_client(config, {"credentialed": True}, journal, report=reported.append) as client:
            return await client.complete(Request((Message("user", "hello"),), 5))

    answer = asyncio.run(ask())
    assert (answer.text, answer.service) == ("hellohello", {"local": True, "credentialed": True})
    assert [(progress.done, progress.unit) for progress in reported] == [(1, "answers")]
    with pytest.raises(SettingsError, match="'transformers' does not use times"):
        own.LLMConfig(provider="transformers", model_name="m", times=2)


def test_the_settings_need_neither_torch_nor_the_client_library() -> None:
    code = (
        "import sys\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "from clinragen.llm.providers import LLMConfig\n"
        "from clinragen.retrieval.config import RetrievalConfig\n"
        "print([name for name in ('torch', 'transformers', 'openai', 'Bio', 'bm25s', 'ibis') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
