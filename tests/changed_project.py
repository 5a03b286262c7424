"""Runs commands with a changed copy of the project, in a process of its own: `python -P changed_project.py JSON`.

The current folder is the copy, which PYTHONPATH puts before the installed project. The JSON has `commands`, and `page`
where the last one opens a page: the page is not served, but `called` (a function's name and arguments) is called, and
the page's tabs and the result are written to the file `page`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main(wanted: dict[str, Any]) -> None:
    """Run the commands."""
    import clinragen
    import trainers
    from clinragen.cli.main import main as command_line

    for package in (clinragen, trainers):
        assert package.__file__ is not None
        assert Path(package.__file__).is_relative_to(Path.cwd()), f"{package.__file__} is not the copy"
    if "page" in wanted:
        _do_not_serve(Path(wanted["page"]), *wanted["called"])
    for words in wanted["commands"]:
        sys.argv = ["clinragen", *words]
        command_line()


def _do_not_serve(file: Path, name: str, arguments: list[Any]) -> None:
    from clinragen.demo import serve

    def run_page(page: Any, *more: Any) -> None:
        config = page.get_config_file()
        tabs = [part["props"]["label"] for part in config["components"] if part["type"] == "tabitem"]
        (function,) = (one for one in page.fns.values() if one.name == name)
        file.write_text(json.dumps({"tabs": tabs, "result": function.fn(*arguments)}), encoding="utf-8")

    serve.run_page = run_page


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
