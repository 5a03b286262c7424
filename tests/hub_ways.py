"""Every way to write to the Hub, tried in a process of its own against a server on this machine that records it.

Run as `python -m hub_ways COHORT MODEL`: loads the two folders, tries each way, and prints as JSON what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from http_content import content_of

REPO = "someone/something"
# Goes through native code, which a server that only records would keep waiting.
NATIVE = ("HfApi.batch_bucket_files",)


class RecordingHub(ThreadingHTTPServer):
    """Says yes to everything, takes every file whole, and keeps what was asked: method, path, bytes of content."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recorder)
        self.asked: list[tuple[str, str, int]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: RecordingHub

    def _answer(self) -> None:
        content = content_of(self)
        self.server.asked.append((self.command, self.path, len(content)))
        here = f"http://127.0.0.1:{self.server.server_port}/{REPO}"
        known: dict[str, Any] = {
            "id": REPO,
            "name": "someone",
            "url": here,
            "siblings": [],
            "commitUrl": f"{here}/commit/1",
            "commitOid": "1" * 40,
            "sha": "1" * 40,
        }
        if "/preupload/" in self.path:
            asked = json.loads(content)["files"]
            known = {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in asked]}
        body = json.dumps([] if "/tree/" in self.path or "/paths-info/" in self.path else known).encode()
        self.send_response(404 if "/resolve/" in self.path else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 (the server calls them so)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the test prints JSON."""


def ways(cohort_folder: Path, model_folder: Path, scratch: Path) -> dict[str, Callable[[], Any]]:
    """The ways by name, each to be called; loads what there is to push."""
    import datasets
    import huggingface_hub as hub
    import torch
    from datasets import DatasetDict
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForSeq2SeqLM, AutoProcessor, Seq2SeqTrainer, Seq2SeqTrainingArguments

    import clinragen  # noqa: F401 (the Auto classes know the model)
    from dataset_builder.contract.schema import load_examples

    cohort = load_examples(cohort_folder)
    test = cohort["test"]
    model = AutoModelForSeq2SeqLM.from_pretrained(model_folder)
    processor = AutoProcessor.from_pretrained(model_folder)
    api, files = hub.HfApi(), hub.HfFileSystem()
    here = os.environ["HF_ENDPOINT"]
    (scratch / "notes.txt").write_text("a note " * 100)
    pushing = Seq2SeqTrainingArguments(
        str(scratch / "trainer"), push_to_hub=True, hub_model_id=REPO, use_cpu=True, report_to="none"
    )
    message = [{"role": "user", "content": "a note"}]

    def addition() -> Any:
        return hub.CommitOperationAdd("notes.txt", b"a note " * 100)

    def peft() -> Any:
        return get_peft_model(torch.nn.Sequential(torch.nn.Linear(4, 4)), LoraConfig(target_modules=["0"]))

    def plain_dataset() -> Any:
        return datasets.load_dataset("parquet", data_dir=str(cohort_folder / "data"), cache_dir=str(scratch / "cache"))

    async def ask() -> Any:
        return await hub.AsyncInferenceClient(base_url=here).chat_completion(message)

    return {
        "cohort": lambda: cohort.push_to_hub(REPO),
        "split": lambda: test.push_to_hub(REPO),
        "map": lambda: test.map(lambda row: row).push_to_hub(REPO),
        "select_columns": lambda: cohort.select_columns(["note"]).push_to_hub(REPO),
        "DatasetDict": lambda: DatasetDict(dict(cohort)).push_to_hub(REPO),
        "load_dataset": lambda: plain_dataset().push_to_hub(REPO),
        "iterable": lambda: test.to_iterable_dataset().push_to_hub(REPO),
        "to_json": lambda: test.to_json(f"hf://datasets/{REPO}/test.json"),
        "pandas": lambda: test.to_pandas().to_csv(f"hf://datasets/{REPO}/test.csv"),
        "model": lambda: model.push_to_hub(REPO),
        "model.save_pretrained": lambda: model.save_pretrained(scratch / "m", push_to_hub=True, repo_id=REPO),
        "language model": lambda: model.language_model.push_to_hub(REPO),
        "encoder": lambda: model.get_encoder().push_to_hub(REPO),
        "config": lambda: model.config.push_to_hub(REPO),
        "generation config": lambda: model.generation_config.push_to_hub(REPO),
        "peft": lambda: peft().push_to_hub(REPO),
        "processor": lambda: processor.push_to_hub(REPO),
        "processor.save_pretrained": lambda: processor.save_pretrained(scratch / "p", push_to_hub=True, repo_id=REPO),
        "tokenizer": lambda: processor.tokenizer.push_to_hub(REPO),
        "feature extractor": lambda: processor.feature_extractor.push_to_hub(REPO),
        "plain Trainer": lambda: Seq2SeqTrainer(model, pushing, processing_class=processor).push_to_hub(),
        "HfApi.create_repo": lambda: api.create_repo(REPO),
        "HfApi.create_commit": lambda: api.create_commit(REPO, [addition()], commit_message="m"),
        "HfApi.preupload_lfs_files": lambda: api.preupload_lfs_files(REPO, [addition()]),
        "HfApi.upload_file": lambda: api.upload_file(
            path_or_fileobj=b"a note", path_in_repo="notes.txt", repo_id=REPO
        ),
        "HfApi.upload_folder": lambda: api.upload_folder(folder_path=scratch, repo_id=REPO, allow_patterns="*.txt"),
        "HfApi.batch_bucket_files": lambda: api.batch_bucket_files(REPO, add=[(b"a note", "notes.txt")]),
        "HfApi.create_discussion": lambda: api.create_discussion(REPO, "a", description="a note"),
        "HfApi.run_job": lambda: api.run_job(image="python", command=["echo", "a note"]),
        "upload_folder": lambda: hub.upload_folder(folder_path=scratch, repo_id=REPO, allow_patterns="*.txt"),
        "CommitScheduler": lambda: hub.CommitScheduler(repo_id=REPO, folder_path=scratch).trigger().result(),
        "HfFileSystem": lambda: files.pipe_file(f"datasets/{REPO}/notes.txt", b"a note"),
        "card": lambda: hub.ModelCard("a note").push_to_hub(REPO),
        "InferenceClient": lambda: hub.InferenceClient(base_url=here).chat_completion(message),
        "AsyncInferenceClient": lambda: asyncio.run(ask()),
    }


def main(cohort_folder: str, model_folder: str, *without: str) -> None:
    """Try every way but those in `without`; print by name the error's class and bytes of content that arrived."""
    server = RecordingHub()
    os.environ |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_TOKEN": "hf_recorded",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, way in ways(Path(cohort_folder), Path(model_folder), Path(scratch)).items():
            if name in without:
                continue
            server.asked.clear()
            error = ""
            try:
                way()
            except Exception as raised:  # noqa: BLE001 (whatever a library says is the result)
                error = type(raised).__name__
            sent = sum(size for _, _, size in server.asked)
            wrote = [method for method, _, _ in server.asked if method not in ("GET", "HEAD")]
            found[name] = {"error": error, "bytes": sent, "wrote": wrote}
        print(json.dumps(found), flush=True)  # noqa: T201
        # The scheduler's thread, where it was let through, would go on for ever.
        os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
