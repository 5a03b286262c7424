"""Options of every command that asks a language model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clinragen.llm.providers import KINDS, ModelSettings

BaseUrl = Annotated[
    str | None, typer.Option(help="openai: where the server's protocol begins, e.g. http://127.0.0.1:8000/v1.")
]
ModelName = Annotated[
    str | None, typer.Option(help="openai: what the server calls its model. transformers: the model's folder.")
]
KeyVariable = Annotated[
    str | None, typer.Option(help="openai: environment variable with the key [default: OPENAI_API_KEY, if set].")
]
Concurrency = Annotated[int, typer.Option(min=1, help="Requests at a time.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="openai: seconds for one attempt.")]
MaxAttempts = Annotated[int, typer.Option(min=1, help="Attempts for one request before the run gives up.")]
BatchSize = Annotated[int, typer.Option(min=1, help="transformers: requests that one batch answers.")]
LimitField = Annotated[
    str, typer.Option(help="openai: the server's word for the longest answer, e.g. max_completion_tokens.")
]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer.")]
Temperature = Annotated[float, typer.Option(min=0.0, help="0 for the likeliest answer.")]
Prices = Annotated[
    tuple[float, float] | None, typer.Option(help="Cost of a million tokens of prompt, and of answer, to be added up.")
]
KeepsNothing = Annotated[
    bool, typer.Option("--service-keeps-nothing", help="You have it in writing: what is sent is not kept.")
]
TrainsOnNothing = Annotated[
    bool, typer.Option("--service-trains-on-nothing", help="You have it in writing: nothing is trained on it.")
]
NobodyReads = Annotated[
    bool, typer.Option("--service-nobody-reads", help="You have it in writing: nobody there reads it.")
]


def asked_model(
    kind: str,
    model_name: str | None,
    base_url: str | None,
    *,
    prices: tuple[float, float] | None,
    statements: tuple[bool, bool, bool],
    **settings: Any,
) -> ModelSettings | None:
    """The model that the options name, which is none where `kind` is no kind of model.

    Raises `SettingsError` where options name a model all the same.
    """
    from clinragen.llm.client import Prices as Cost
    from dataset_builder.storage.governance import ServiceAcknowledgement
    from modeling_clinragen.errors import SettingsError

    if kind not in KINDS:
        if model_name is not None or base_url is not None:
            raise SettingsError(f"'{kind}' asks no model; leave --model-name and --base-url out, or choose openai")
        return None
    return ModelSettings(
        kind,
        model_name,
        base_url,
        acknowledgement=ServiceAcknowledgement(*statements) if any(statements) else None,
        prices=None if prices is None else Cost(*prices),
        **settings,
    )
