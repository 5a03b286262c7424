"""The service as its users meet it: a process, a port, a token, JSON in and out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from command_line import SCRIPT, children_of, fails_with_one_line, in_process
from demo_server import wait_until

from clinragen.checking.render_json import schema
from clinragen.export.result import explanation_result
from clinragen.inference import Explainer
from clinragen.knowledge.json_schema import first_problem
from clinragen.service.config import TOKEN_VARIABLE
from clinragen.service.serve import find_token
from dataset_builder.contract.lab_series import LabSeries
from modeling_clinragen.errors import SettingsError

NOTE = "Chief Complaint:\nfever and dyspnea\nPast Medical History:\n- hypertension on Lisinopril\n"
LABS = {"hours": [0, 4, 9], "heart rate (bpm)": [118, 124, None], "temperature (°F)": [101.3, None, 102.2]}
TOKEN = "a-token-of-the-tests"


@dataclass
class Running:
    """A running service."""

    process: subprocess.Popen[str]
    port: int
    errors: Path

    def call(self, method: str, path: str, content: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON or text, and headers of an answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = None if content is None else content if isinstance(content, bytes) else json.dumps(content)
        sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        connection.request(method, path, body, {name: value for name, value in sent.items() if value})
        answer = connection.getresponse()
        text = answer.read().decode()
        found = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        return answer.status, json.loads(text) if "json" in found.get("content-type", "") else text, found


def start(model: Path, folder: Path, *words: str) -> Running:
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "token").chmod(0o600)
    errors = folder / "errors.txt"
    process = subprocess.Popen(
        [str(SCRIPT), "serve", str(model), "--port", "0", "--token-file", str(folder / "token"), *words],
        stdout=subprocess.PIPE,
        stderr=errors.open("w"),
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"Serving http://[\d.]+:(\d+) ", line)
    assert found, (line, errors.read_text())
    return Running(process, int(found[1]), errors)


@pytest.fixture(scope="module")
def served(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = start(small_model, tmp_path_factory.mktemp("served"))
    yield running
    running.process.kill()
    running.process.wait()


def test_a_patient_is_explained_as_predict_does(served: Running, small_model: Path) -> None:
    patients = [{"note": NOTE, "labs": LABS}, {"note": NOTE}, {"labs": {"heart_rate": [[0, 140], [5, 150]]}}]
    status, found, _ = served.call("POST", "/explain", {"patients": patients})
    assert status == 200
    explainer = Explainer.from_pretrained(small_model)
    keys = explainer.vocabulary.variable_keys
    rows = [[None] * len(keys) for _ in range(3)]
    for row, rate, warmth in zip(rows, (118, 124, None), (38.5, None, 39.0), strict=True):
        row[keys.index("heart_rate")], row[keys.index("temperature")] = rate, warmth  # type: ignore[call-overload]
    series = LabSeries.from_values(explainer.vocabulary, [0, 4, 9], rows)  # type: ignore[arg-type]
    expected = [explainer.explain(NOTE, series), explainer.explain(NOTE, None)]
    assert found["explanations"][:2] == [json.loads(json.dumps(explanation_result(one))) for one in expected]
    assert len(found["explanations"]) == 3


def test_many_at_once_get_what_each_gets_alone(served: Running) -> None:
    patients = [{"note": f"{NOTE}- item {number}\n"} for number in range(6)]
    alone = [served.call("POST", "/explain", {"patients": [one]})[1]["explanations"][0] for one in patients]
    found: dict[int, Any] = {}

    def ask(number: int) -> None:
        found[number] = served.call("POST", "/explain", {"patients": [patients[number]]})[1]["explanations"][0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[number] for number in range(6)] == alone


def test_a_text_is_checked(served: Running) -> None:
    text = "Heart rate is high in all readings. Temperature is normal throughout."
    content = {"text": text, "patient": {"note": NOTE, "labs": LABS}, "diagnoses": []}
    status, found, _ = served.call("POST", "/check", content)
    assert status == 200
    assert first_problem(found, schema()) is None
    assert [sentence["verdict"] for sentence in found["sentences"]] == ["supported", "contradicted"]


@pytest.mark.parametrize(
    ("path", "content", "status", "part"),
    [
        ("/explain", {"patients": [{}]}, 400, "patients[0]: nothing to go on"),
        ("/explain", {"patients": [{"note": NOTE}, {"labs": {"hart": [[0, 1]]}}]}, 400, "patients[1]: "),
        ("/explain", {"patients": [{"labs": {"hours": [1, 1], "glucose": [90, 91]}}]}, 400, "patients[0]: labs: "),
        ("/explain", {"patients": []}, 422, "patients"),
        ("/explain", {"patients": [{"note": NOTE, "lab": {}}]}, 422, "patients.0.lab"),
        ("/explain", {"patients": [{"note": 7}]}, 422, "patients.0.note"),
        ("/explain", b'{"patients": [{"note": "half', 422, "JSON"),
        ("/check", {"text": "Pale.", "patient": {"note": NOTE}, "diagnoses": ["Plague"]}, 400, "unknown disease"),
        ("/check", {"text": "", "patient": {"note": NOTE}}, 422, "text"),
    ],
)
def test_a_bad_request_is_told_in_one_line(served: Running, path: str, content: Any, status: int, part: str) -> None:
    found, answer, _ = served.call("POST", path, content)
    said = answer["error"] if isinstance(answer, dict) else answer
    assert found == status, said
    assert part in said
    assert len(said.strip().splitlines()) == 1


def test_too_large_a_request_is_refused_before_it_is_read(served: Running) -> None:
    status, said, _ = served.call("POST", "/explain", b"{", **{"Content-Length": "5000000"})
    assert (status, "bytes" in said["error"]) == (413, True)


def test_nothing_of_a_patient_is_told_back_or_logged(served: Running) -> None:
    secret = "Zebediah"
    for content in (
        {"patients": [{"note": secret, "lab": {}}]},
        {"patients": [{"note": [secret]}]},
        {"patients": [{"labs": {"hours": [secret], "glucose": [90]}}]},
        {"patients": [{"note": f"{secret} has fever."}]},
    ):
        status, answer, _ = served.call("POST", "/explain", content)
        if status != 200:
            assert secret not in json.dumps(answer)
    served.call("POST", f"/{secret}", {})
    assert secret not in served.errors.read_text()
    assert "POST /explain 200" in served.errors.read_text()


def test_who_has_no_token_is_refused_but_may_ask_for_health(served: Running) -> None:
    assert served.call("POST", "/explain", {"patients": [{"note": NOTE}]}, Authorization="")[0] == 403
    assert served.call("GET", "/openapi.json", Authorization="Bearer another-token-here")[0] == 403
    assert served.call("GET", "/healthz", Authorization="")[:2] == (200, {"status": "ok", "waiting": 0})
    assert served.call("GET", "/healthz", Host="somewhere.example")[0] == 403
    assert served.call("GET", "/healthz", Origin="http://somewhere.example")[0] == 403


def test_it_describes_itself(served: Running) -> None:
    status, found, _ = served.call("GET", "/openapi.json")
    assert status == 200
    assert {"/explain", "/check", "/healthz"} <= found["paths"].keys()
    assert found["components"]["schemas"]["PatientData"]["additionalProperties"] is False


def test_what_is_under_way_is_answered_before_the_end(small_model: Path, tmp_path: Path) -> None:
    running = start(small_model, tmp_path, "--batch-size", "1")
    answers: list[Any] = []
    patients = [{"note": f"{NOTE}- item {number}\n"} for number in range(4)]
    thread = threading.Thread(target=lambda: answers.append(running.call("POST", "/explain", {"patients": patients})))
    thread.start()
    while running.call("GET", "/healthz")[1]["waiting"] == 0 and thread.is_alive():
        pass
    running.process.send_signal(signal.SIGTERM)
    thread.join()
    assert answers[0][0] == 200
    assert len(answers[0][1]["explanations"]) == 4
    assert running.process.wait(timeout=20) == -signal.SIGTERM


def test_several_processes_answer_as_one_does_and_end_together(
    served: Running, small_model: Path, tmp_path: Path
) -> None:
    patients = [{"note": f"{NOTE}- item {number}\n"} for number in range(5)]
    running = start(small_model, tmp_path, "--processes", "2")
    others = children_of(running.process.pid)
    assert others
    found = running.call("POST", "/explain", {"patients": patients})
    assert found[:2] == served.call("POST", "/explain", {"patients": patients})[:2]
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=20) == -signal.SIGTERM
    wait_until(lambda: not any(Path(f"/proc/{other}").exists() for other in others), 20)
    assert running.errors.read_text().count("\n") == 1


@pytest.mark.parametrize(
    ("content", "mode", "part"),
    [("short", 0o600, "at least 16"), (f"{TOKEN} {TOKEN}", 0o600, "letters, digits"), (TOKEN, 0o644, "chmod 600")],
)
def test_a_token_that_protects_nothing_is_refused(content: str, mode: int, part: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    fails_with_one_line(in_process("serve", tmp_path, "--token-file", file), part)


def test_a_port_that_is_taken_and_a_folder_without_a_model(served: Running, tmp_path: Path) -> None:
    fails_with_one_line(in_process("serve", tmp_path, "--port", served.port), f"port {served.port}", "--port")
    fails_with_one_line(in_process("serve", tmp_path, "--port", 0), str(tmp_path), "no model could be loaded")


def test_a_token_may_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("another-token-of-the-tests\n")
    file.chmod(0o600)
    environment = {TOKEN_VARIABLE: f"{TOKEN}\n"}
    assert find_token(None, environment) == TOKEN
    assert find_token(file, environment) == "another-token-of-the-tests"
    assert find_token(None, {}) is None
    for wrong in ("", "short", f"{TOKEN} and more"):
        with pytest.raises(SettingsError, match=f"^{TOKEN_VARIABLE}: expected at least 16"):
            find_token(None, {TOKEN_VARIABLE: wrong})


def test_a_container_listens_on_its_own_address(small_model: Path, tmp_path: Path) -> None:
    running = start(small_model, tmp_path, "--bind", "0.0.0.0")
    try:
        # Published on the same port of the machine, it is addressed as there.
        assert running.call("GET", "/healthz")[0] == 200
        assert running.call("GET", "/healthz", Host=f"0.0.0.0:{running.port}")[0] == 403
    finally:
        running.process.kill()
        running.process.wait()
