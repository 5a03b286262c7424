"""One model on three real hospital databases: the public demos of MIMIC-III, MIMIC-IV and eICU."""

from __future__ import annotations

from pathlib import Path

from command_line import in_process

from dataset_builder.storage.files import read_json

DEMOS = {"mimic-iii": "mimic-iii-demo", "mimic-iv": "mimic-iv-demo", "eicu": "eicu-demo"}


def test_the_table_of_three_demos(shared: Path, tiny_run: Path, tmp_path: Path) -> None:
    words: list[object] = ["transfer", "--train", tiny_run, "--output", tmp_path / "out", "--texts", 2, "--test"]
    for source, folder in DEMOS.items():
        built = ["build", source, "--root", shared / "data" / folder, "--output", tmp_path / source]
        few = ("--split-fractions", 0.8, 0.1, 0.1)
        done = in_process(*built, "--note-policy", "structured", "--max-steps", 40, *few)
        assert done.returncode == 0, done.stderr
        words.append(tmp_path / source)
    done = in_process(*words)
    assert done.returncode == 0, done.stderr
    home, *others = read_json(tmp_path / "out" / "transfer.json")["places"]
    assert home["truth"]
    assert [place["name"] for place in others] == list(DEMOS)
    for place in others:
        counts = read_json(tmp_path / str(place["name"]) / "provenance.json")["examples"]
        assert place["examples"] == counts["test"]
        assert not place["truth"]
        assert place["coverage"]["notes"] == 1
        assert {"micro_f1", "macro_f1", "contradicted"} <= set(place["difference"])
        for score in ("micro_f1", "macro_f1"):
            found = place["scores"][score]
            assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
        # Unpaired: the difference of the values themselves.
        gap = place["scores"]["micro_f1"]["value"] - home["scores"]["micro_f1"]["value"]
        assert abs(place["difference"]["micro_f1"]["value"] - gap) < 1e-5
    report = (tmp_path / "out" / "transfer.md").read_text(encoding="utf-8")
    assert all(f"| {source} |" in report for source in DEMOS)
