"""Who may use the page, on a real server: every route refuses forged hosts and origins, and whoever has no token."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from demo_server import PATIENT, Served, multipart, request, served
from hypothesis import given
from hypothesis import strategies as st

from clinragen.demo.access import Access
from clinragen.demo.guard import WORDS, route
from clinragen.demo.limits import LARGEST_BODY, LARGEST_FILE
from clinragen.demo.page import build_page
from clinragen.demo.serve import asgi_app
from clinragen.demo.tab import Tab

NOTE = "Zebulon Quackenbush has dyspnea."
NOBODY = 65534


@pytest.fixture(scope="module")
def page(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(["demo", str(small_run / "model"), "--port", "0"], tmp_path_factory.mktemp("page")) as one:
        yield one


def all_routes() -> list[tuple[str, str]]:
    """Method and path of every route of the page, parameters filled in."""
    found = []

    def walk(app: Any) -> None:
        for one in app.routes:
            # A mounted application, or, in newer versions of FastAPI, an included router.
            for inner in (getattr(one, "app", None), getattr(one, "original_router", None)):
                if hasattr(inner, "routes"):
                    walk(inner)
            for method in sorted(getattr(one, "methods", None) or ()):
                found.append((method, re.sub(r"\{[^}]*\}", "x", one.path)))

    walk(asgi_app(build_page(None, [Tab("Nothing", lambda gr, page, state: None)]), Path("/nowhere")))
    return sorted(set(found))


def join(page: Served, data: list[Any], **headers: str) -> http.client.HTTPResponse:
    """Ask for an explanation as the browser does."""
    config = json.loads(request(page, "/config").content)
    (event,) = (one for one in config["dependencies"] if one["api_name"] == "explain")
    body = json.dumps({"data": data, "fn_index": event["id"], "session_hash": "s", "trigger_id": None}).encode()
    return request(
        page, "/gradio_api/queue/join", method="POST", body=body, Content_Type="application/json", **headers
    )


def test_every_route_asks_who_it_is(page: Served) -> None:
    routes = all_routes()
    paths = {path for _, path in routes}
    assert {"/", "/config", "/assets/x", "/static/x", "/gradio_api/queue/join", "/gradio_api/upload"} <= paths
    assert {"/gradio_api/file=x", "/gradio_api/queue/data", "/gradio_api/heartbeat/x"} <= paths
    own = f"127.0.0.1:{page.port}"
    forged = [
        {"token": False},
        {"token": False, "Authorization": "Bearer wrong"},
        {"token": False, "Cookie": f"clinragen-{page.port}=wrong"},
        {"Host": f"evil.example:{page.port}", "Origin": f"http://evil.example:{page.port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": f"127.0.0.1.evil.example:{page.port}"},
        {"Origin": f"http://evil.example:{page.port}"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": f"http://localhost:{page.port}"},
        {"Origin": f"https://{own}"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"},
    ]
    for method, path in routes:
        for one in forged if method != "HEAD" else forged[:4]:
            given_token: Any = one.get("token", True)
            answer = request(
                page, path, method=method, token=given_token, **{k: v for k, v in one.items() if k != "token"}
            )
            assert answer.status == 403, (method, path, one)
            assert not [name for name in answer.headers if name.lower().startswith("access-control-")], (path, one)
            assert "made-up" not in answer.content.decode()
    # As a browser asks for itself, with either name.
    for name in ("127.0.0.1", "localhost"):
        host = f"{name}:{page.port}"
        assert request(page, "/config", Host=host, Origin=f"http://{host}").status == 200


def test_two_hosts_are_none(page: Served) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", page.port), 10) as line:
        hosts = f"Host: 127.0.0.1:{page.port}\r\nHost: evil.example\r\n"
        line.sendall(f"GET /config?token={page.token} HTTP/1.1\r\n{hosts}\r\n".encode())
        assert re.match(rb"HTTP/1.1 40[03] ", line.recv(100))


def test_the_token_opens_the_page_by_address_cookie_or_header(page: Served) -> None:
    opened = request(page, f"/?token={page.token}", token=False)
    assert opened.status == 200
    cookie = opened.headers["Set-Cookie"]
    assert set(cookie.split("; ")[1:]) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    # The token stands in no part of the page, and no address that it was in goes anywhere.
    assert page.token not in opened.content.decode()
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    assert opened.headers["Cache-Control"] == "no-store"
    assert "default-src 'self'" in opened.headers["Content-Security-Policy"]
    foreign = 'other="a b; c'
    for headers in (
        {"Cookie": cookie.split(";")[0]},
        {"Cookie": f"{foreign}; {cookie.split(';')[0]}"},
        {"Authorization": f"Bearer {page.token}"},
        {"X_HF_Authorization": f"Bearer {page.token}"},
    ):
        assert request(page, "/config", token=False, **headers).status == 200, headers
    # A link in a mail is followed by a navigation from another site.
    followed = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert request(page, f"/?token={page.token}", token=False, **followed).status == 200
    assert request(page, "/gradio_api/queue/join", method="POST", body=b"{}", **followed).status == 403


def test_an_upload_from_another_page_is_refused_before_it_is_stored(page: Served) -> None:
    body, kind = multipart("Quackenbush.csv", b"hours\n" * 1000)
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    connection.putrequest("POST", "/gradio_api/upload", skip_host=True)
    sent = {"Host": f"127.0.0.1:{page.port}", "Origin": "http://evil.example", "Content-Length": str(len(body))}
    cookie = f"clinragen-{page.port}={page.token}"
    for name, value in {**sent, "Cookie": cookie, "Content-Type": kind["Content_Type"]}.items():
        connection.putheader(name, value)
    connection.endheaders()
    # Of the body, only the beginning was sent.
    connection.send(body[:200])
    assert connection.getresponse().status == 403
    connection.close()
    assert page.uploads() == []


def test_what_is_too_much_is_refused(page: Served) -> None:
    body, kind = multipart("Quackenbush.csv", b"x" * (LARGEST_FILE + 1))
    assert request(page, "/gradio_api/upload", method="POST", body=body, **kind).status == 413
    json_kind = {"Content_Type": "application/json"}
    join_path = "/gradio_api/queue/join"
    announced = {"Content_Length": str(200 * 2**20)}
    assert request(page, join_path, method="POST", body=b"", **json_kind, **announced).status == 413
    # Where the length is not announced, the bytes are counted.
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    chunked = chunk * (LARGEST_BODY // 0x10000 + 1) + b"0\r\n\r\n"
    for path in (join_path, "/gradio_api/cancel"):
        answer = request(page, path, method="POST", body=chunked, **json_kind, Transfer_Encoding="chunked")
        assert answer.status == 413, path
        assert b"more than" in answer.content


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may act as another account")
def test_another_account_reads_nothing(page: Served) -> None:
    body, kind = multipart("Quackenbush.csv", b"hours,heart rate (bpm)\n0,118\n")
    assert request(page, "/gradio_api/upload", method="POST", body=body, **kind).status == 200
    (upload,) = page.uploads()
    code = f"""
import os, urllib.request, urllib.error
def ask(path):
    try:
        urllib.request.urlopen("{page.address}" + path, timeout=10)
    except urllib.error.HTTPError as error:
        return error.code, "made-up" in error.read().decode()
# Another account may have no right to read this interpreter's modules: it changes when all of them are loaded.
ask("/")
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
for path in ("/", "/config", "/gradio_api/info", "/gradio_api/file={upload}"):
    print(*ask(path))
try:
    print(os.listdir("{page.folders()[0]}"))
except PermissionError:
    print("no rights")
with open("/proc/{page.process.pid}/cmdline", "rb") as stream:
    print(b"{page.token}" in stream.read())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["403 False"] * 4 + ["no rights", "False"]
    # A file for which nobody asks goes as well, but later.
    upload.unlink()


def test_gradio_client_gets_an_answer_about_one_patient(page: Served, tmp_path: Path) -> None:
    from gradio_client import Client, handle_file
    from gradio_client.exceptions import AppError

    from clinragen.demo.patient import OWN

    with pytest.raises(ValueError, match="Could not fetch config"):
        Client(page.address, verbose=False, analytics_enabled=False)
    labs = tmp_path / "Quackenbush_MRN123.csv"
    labs.write_text("hours,heart rate (bpm)\n0,50\n4,45\n")
    bearer: dict[str, Any] = {"headers": {"Authorization": f"Bearer {page.token}"}}
    cookie = {"httpx_kwargs": {"cookies": {f"clinragen-{page.port}": page.token}}}
    for way in (bearer, cookie, {"token": page.token}, {"httpx_kwargs": {"params": {"token": page.token}}}):
        client = Client(page.address, verbose=False, analytics_enabled=False, **way)
        measured = client.predict(OWN, "Dyspnea.", handle_file(labs), api_name="/explain")[3]
        assert measured == "heart rate is lower than normal two times."
        assert page.uploads() == []
    measured = client.predict(PATIENT, api_name="/explain")[3]
    assert measured == "heart rate is higher than normal two times."
    for mixed in ({"note": "Ankle sprain."}, {"table": handle_file(labs)}, {"measurements": labs.read_text()}):
        with pytest.raises(AppError, match="explained as recorded"):
            client.predict(PATIENT, **mixed, api_name="/explain")
        assert page.uploads() == []
    with pytest.raises(AppError, match="no such patient") as unknown:
        client.predict("Patient 2", api_name="/explain")
    assert "made-up-1" not in str(unknown.value)
    labs.write_text("hours,heart rate (bpm)\n0,fast\n")
    with pytest.raises(AppError) as malformed:
        client.predict(OWN, "", handle_file(labs), api_name="/explain")
    assert str(malformed.value).startswith("Quackenbush_MRN123.csv: row 2, heart rate")


def test_the_documented_program_gets_an_answer(page: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = (Path(__file__).parents[3] / "docs" / "demo.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    assert "http://127.0.0.1:7860" in block
    assert "Bearer TOKEN" in block
    monkeypatch.chdir(tmp_path)
    Path("labs.csv").write_text("hours,heart rate (bpm)\n0,50\n4,45\n")
    names: dict[str, Any] = {}
    exec(block.replace("http://127.0.0.1:7860", page.address).replace("TOKEN", page.token), names)
    assert names["measured"] == "heart rate is lower than normal two times."
    assert "Answer for: <strong>My own note and measurements</strong>" in names["rationale"]
    # A model without a disease head, on a page that was not asked for probabilities.
    assert not names["probabilities"]
    assert page.uploads() == []


def test_nothing_inside_is_told_and_nothing_of_a_patient_is_logged(page: Served) -> None:
    wrong: list[Any] = [
        [PATIENT, None, None, None],
        [["Quackenbush"], {"a": NOTE}, NOTE, 3],
        [NOTE],
        [PATIENT, NOTE, {"path": "/etc/Quackenbush", "meta": {"_type": "gradio.FileData"}}, ""],
        [PATIENT, NOTE, {"path": f"{page.folders()[0]}/Quackenbush.csv", "meta": {"_type": "gradio.FileData"}}, ""],
    ]
    for data in wrong:
        assert join(page, data).status == 200
    heard = request(page, f"/gradio_api/queue/data?session_hash=s&note={NOTE.replace(' ', '%20')}", token=True)
    assert heard.status == 200
    request(page, f"/Quackenbush/{NOTE.split()[0]}?token={page.token}")
    request(page, "/gradio_api/file=/tmp/Quackenbush.csv")
    body, kind = multipart("Quackenbush.csv", b"x" * (LARGEST_FILE + 1))
    request(page, "/gradio_api/upload", method="POST", body=body, **kind)
    # More than the line holds: the page has answered, and closed, long before all of it is sent.
    large = {"method": "POST", "body": body * 16, **kind}
    forged = request(page, "/gradio_api/upload", **large, Origin="http://evil.example")
    assert forged.status == 403
    request(page, "/config?token=Quackenbush", token=False)
    logged = page.errors.read_text()
    assert "POST /gradio_api/queue/join 200" in logged
    assert "GET /config 403 token" in logged
    assert "POST /gradio_api/upload 403 origin" in logged
    assert "POST /gradio_api/upload 413" in logged
    for secret in (page.token, "Quackenbush", "Zebulon", "made-up", "dyspnea", "Dyspnea"):
        assert secret not in logged, secret


def test_an_event_that_fails_says_nothing_of_its_inside(page: Served) -> None:
    from gradio_client import Client
    from gradio_client.exceptions import AppError

    client = Client(page.address, token=page.token, verbose=False, analytics_enabled=False)
    for wrong in (["Quackenbush"], {"a": 1}, 3):
        with pytest.raises(AppError) as told:
            client.predict(PATIENT, wrong, api_name="/explain")
        assert str(told.value) in ("the note: is not text; send text, or nothing",)
    # No note is no note, not an attribute that None lacks.
    assert client.predict(PATIENT, None, api_name="/explain")[3]


TOKENS = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=50)


@given(TOKENS, st.sampled_from(["query", "cookie", "header"]))
def test_no_other_token_opens_it(guess: str, way: str) -> None:
    access = Access.of_this_machine(7860)
    sent = {"query": (b"", b""), "cookie": (b"cookie", f"clinragen-7860={guess}".encode("latin-1"))}
    header = sent.get(way, (b"authorization", f"Bearer {guess}".encode("latin-1")))
    scope = {
        "method": "GET",
        "query_string": f"token={guess}".encode("latin-1") if way == "query" else b"",
        "headers": [(b"host", b"127.0.0.1:7860"), *([header] if header[0] else [])],
    }
    refusal = access.refusal(scope)
    assert refusal is not None
    assert refusal.reason == "token"


@given(st.text())
def test_the_log_has_only_words_of_the_page(path: str) -> None:
    assert set(route(f"/{path}").split("/")) <= {"", "*", *WORDS}


def test_a_public_page_knows_its_names_alone() -> None:
    access = Access.of_everybody(["user-name.hf.space", "own.example"])
    for host in ("user-name.hf.space", "own.example"):
        scope = {"method": "POST", "headers": [(b"host", host.encode()), (b"origin", f"https://{host}".encode())]}
        assert access.refusal(scope) is None
    for host, origin in (("evil.example", "https://evil.example"), ("own.example", "https://user-name.hf.space")):
        scope = {"method": "POST", "headers": [(b"host", host.encode()), (b"origin", origin.encode())]}
        assert access.refusal(scope) is not None
