"""The raters' pages, served for real: who may use them, what is kept, and a rater in a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from command_line import fails_with_one_line, in_process
from demo_server import request, wait_until
from study_folder import SECRET, plain_answer
from study_server import served_study

from clinragen.study.answers import read_answers
from clinragen.study.folder import Study
from clinragen.study.server import AnswerFile
from modeling_clinragen.errors import InputDataError

FIRST, SECOND = "rater-1", "rater-2"
POST = {"method": "POST", "Content_Type": "application/json"}


def body(item: str, answer: Any) -> bytes:
    return json.dumps({"item": item, "answer": answer}).encode()


def answers(study: Study, rater: str = FIRST) -> dict[str, Any]:
    return json.loads((study.answers / f"{rater}.json").read_text())["answers"]


def test_only_the_rater_and_only_from_this_page(small: Study, tmp_path: Path) -> None:
    item = next(iter(small.rationales))
    good = body(item, plain_answer(small).content())
    with served_study(small.folder, tmp_path / "served", FIRST, SECOND) as pages:
        page, other = pages[FIRST], pages[SECOND]
        path = f"/{FIRST}/answers"
        assert request(page, f"/{FIRST}/").status == 200
        assert request(page, f"/{FIRST}/", token=False).status == 403
        assert request(page, path, **POST, body=good, token=False).status == 403
        # Another rater's token opens nothing of this one's, and nothing is at any other place.
        assert request(other, path, **POST, body=good).status == 403
        assert request(other, f"/{FIRST}/").status == 403
        for elsewhere in ("/", "/answers", "/rater-9/", "/../key.json", f"/{FIRST}/../../key.json", "//"):
            assert request(page, elsewhere).status in (403, 404), elsewhere
        assert request(page, f"/{FIRST}/key.json").status == 404
        assert request(page, path, **POST, body=good, Host="evil.example").status == 403
        assert request(page, path, **POST, body=good, Origin="http://evil.example").status == 403
        assert request(page, path, **POST, body=good, Sec_Fetch_Site="cross-site").status == 403
        assert request(page, path, method="POST", Content_Type="text/plain", body=good).status == 415
        assert not (small.answers / f"{FIRST}.json").exists()

        headers = request(page, f"/{FIRST}/?token={page.token}", token=False).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "HttpOnly; SameSite=Strict" in headers["set-cookie"]
        assert request(page, path, **POST, body=good).status == 200
        assert answers(small) == {item: plain_answer(small).content()}
        assert stat.S_IMODE((small.answers / f"{FIRST}.json").stat().st_mode) == 0o600
        assert stat.S_IMODE(small.answers.stat().st_mode) == 0o700
        with Path("/proc/net/tcp").open() as table:
            listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
        bound = [address for address in listening if int(address.partition(":")[2], 16) == page.port]
        assert bound
        assert all(address.startswith("0100007F") for address in bound)

        # What cannot be is refused and changes nothing; neither log nor answer repeats it.
        for content, status in (
            (b"{", 400),
            (b"[" * 50_000, 400),
            (b"[]", 400),
            (body("rffffffffff", {}), 400),
            (body(item, {"overall": SECRET}), 400),
            (body(item, {"comment": SECRET * 100}), 400),
            (body(item, {"comment": "x" * 70_000}), 413),
        ):
            reply = request(page, path, **POST, body=content)
            assert reply.status == status
            assert SECRET.encode() not in reply.content
        assert answers(small) == {item: plain_answer(small).content()}
        found = json.loads(request(page, path).content)
        assert found == {"answers": answers(small)}
        assert json.loads(request(other, f"/{SECOND}/answers").content) == {"answers": {}}
        log = page.errors.read_text()
        assert "403 token" in log
        assert not [word for word in (SECRET, page.token, item, "Traceback") if word in log]
    assert page.process.returncode is not None


def test_answers_that_arrive_at_once_are_all_kept(small: Study) -> None:
    items = list(small.rationales)
    files = [AnswerFile(small, FIRST), AnswerFile(small, FIRST)]
    threads = [
        threading.Thread(target=files[place % 2].keep, args=(item, plain_answer(small, omissions=place).content()))
        for place, item in enumerate(items)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item: one["omissions"] for item, one in answers(small).items()} == {
        item: place for place, item in enumerate(items)
    }
    # The last one of a rationale counts; a rater may take an answer back.
    files[0].keep(items[0], {})
    assert answers(small)[items[0]]["checks"] == {}
    with pytest.raises(InputDataError, match="overall must be one of"):
        files[0].keep(items[1], {"overall": "fine"})
    (small.answers / f"{FIRST}.json").write_text("{")
    with pytest.raises(InputDataError, match="is not readable JSON"):
        files[0].keep(items[1], {})
    assert (small.answers / f"{FIRST}.json").read_text() == "{"


def test_what_cannot_be_served_is_one_line(small: Study) -> None:
    fails_with_one_line(in_process("study", "serve", small.folder, "--rater", "rater-7"), "is not a rater", FIRST)
    fails_with_one_line(in_process("study", "serve", small.folder, "--port", "99999"), "--port")
    (small.answers / f"{FIRST}.json").write_text('{"format": 1}')
    fails_with_one_line(in_process("study", "serve", small.folder), "is not a file of answers")


def click(browser: Any, selector: str) -> None:
    """Click everything that a selector finds, each in the middle of the window."""
    found = browser.find_elements("css selector", selector)
    assert found, selector
    for one in found:
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", one)
        one.click()


def fill_case(browser: Any, *, yes: bool = True) -> list[str]:
    """Fill the case that is shown as a person does; returns its rationales."""
    items = [
        one.get_attribute("id").removeprefix("rationale-") for one in browser.find_elements("tag name", "article")
    ]
    for item in items:
        within = f"#rationale-{item}"
        click(browser, f"{within} .statement input[value={'true' if yes else 'false'}]")
        click(browser, f"{within} input[value=partly]")
        click(browser, f"{within} .sentence:first-child input")
        browser.find_element("css selector", f"{within} input[type=number]").send_keys("2")
        browser.find_element("css selector", f"{within} textarea").send_keys("Late.")
        click(browser, f"{within} summary")
        click(browser, f"{within} .diseases label:first-child input")
    return items


def shown(browser: Any) -> str:
    return browser.find_element("id", "progress").text


def test_a_rater_fills_cases_reloads_and_goes_on(small: Study, browser: Any, tmp_path: Path) -> None:
    with served_study(small.folder, tmp_path / "served", FIRST) as pages:
        page = pages[FIRST]
        browser.get(f"{page.address}/{FIRST}/?token={page.token}")
        wait_until(lambda: browser.find_elements("id", "progress"))
        assert browser.current_url == f"{page.address}/{FIRST}/"
        assert shown(browser) == "Case 1 of 5 · 0 of 10 rationales done"
        assert "fever and chills" in browser.find_element("class name", "note").text
        keep_screenshots(browser, tmp_path)
        first = fill_case(browser)
        wait_until(lambda: "2 of 10" in shown(browser))
        click(browser, "#next")
        second = fill_case(browser, yes=False)
        wait_until(lambda: browser.find_element("id", "saved").text == "Saved")
        wait_until(lambda: len(answers(small)) == 4)
        # Reloaded, it goes on at the first case that is not finished, and what was answered is there.
        browser.refresh()
        wait_until(lambda: browser.find_elements("id", "progress"))
        assert shown(browser) == "Case 3 of 5 · 4 of 10 rationales done"
        click(browser, "#back")
        box = browser.find_element("css selector", f"#rationale-{second[0]} input[type=number]")
        assert box.get_attribute("value") == "2"
        assert (
            browser.find_element("css selector", f"#rationale-{second[0]} textarea").get_attribute("value") == "Late."
        )
    # The server is gone: the page says so.
    box.clear()
    box.send_keys("7")
    wait_until(lambda: "Not saved" in browser.find_element("id", "saved").text)
    found = read_answers(small.answers / f"{FIRST}.json", small.asked)
    assert set(found.answers) == {*first, *second}
    for item, one in found.answers.items():
        assert one.is_complete(small.criteria)
        assert set(one.checks.values()) == {item in first}
        assert (one.overall, one.omissions, one.wrong, len(one.omitted), one.comment) == (
            "partly",
            2,
            (0,),
            1,
            "Late.",
        )
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [one for one in severe if "Content Security Policy" in one] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith((page.address, "data:", "blob:", "chrome"))] == []
    # On another day, with another token, in the same browser.
    with served_study(small.folder, tmp_path / "again", FIRST) as pages:
        page = pages[FIRST]
        browser.get(f"{page.address}/{FIRST}/?token={page.token}")
        dismiss(browser)
        wait_until(lambda: browser.find_elements("id", "progress") and "4 of 10" in shown(browser))


def test_the_file_works_without_a_server(small: Study, browser: Any, tmp_path: Path) -> None:
    page = small.folder / "raters" / SECOND / "page.html"
    browser.get(page.as_uri())
    wait_until(lambda: browser.find_elements("id", "progress"))
    items = fill_case(browser)
    wait_until(lambda: browser.find_element("id", "saved").text.startswith("Kept in this browser"))
    browser.refresh()
    wait_until(lambda: browser.find_elements("id", "progress"))
    assert shown(browser) == "Case 2 of 5 · 2 of 10 rationales done"
    click(browser, "#download")
    sent = tmp_path / "downloads" / f"answers-{SECOND}.json"
    wait_until(sent.exists)
    found = read_answers(sent, small.asked)
    assert found.rater == SECOND
    assert {item for item, one in found.answers.items() if one.is_complete(small.criteria)} == set(items)
    done = in_process("study", "score", small.folder, "--answers", sent)
    assert done.returncode == 0, done.stderr
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert [url for url in urls if not url.startswith(("file:", "data:", "blob:", "chrome"))] == []


def test_a_note_with_a_script_runs_nothing(small: Study, browser: Any, tmp_path: Path) -> None:
    from clinragen.study.page import rater_page

    attack = "</script><script>window.taken = 1</script><img src=x onerror='window.taken = 1'><b>\u2028"
    form = json.loads((small.folder / "raters" / FIRST / "cases.json").read_text())
    for case in form["cases"]:
        case["note"] = attack
        case["rationales"][0]["sentences"] = [
            {"text": attack, "flag": {"verdict": "contradicted", "reasons": [attack]}}
        ]
    page = tmp_path / "attack.html"
    page.write_text(rater_page(form), encoding="utf-8")
    browser.get(page.as_uri())
    wait_until(lambda: browser.find_elements("id", "progress"))
    assert browser.find_element("class name", "note").text.startswith("</script><script>")
    assert browser.execute_script("return window.taken ?? null") is None


def keep_screenshots(browser: Any, tmp_path: Path) -> None:
    """The page in two widths: nothing is wider than the window."""
    for width in (1280, 390):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False},
        )
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        picture = tmp_path / f"page-{width}.png"
        whole = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        import base64

        picture.write_bytes(base64.b64decode(whole["data"]))
        if keep := os.environ.get("CLINRAGEN_KEEP_SCREENSHOT"):
            shutil.copy(picture, f"{keep}-{width}.png")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def dismiss(browser: Any) -> None:
    """Leave a page that has something unsaved."""
    from selenium.common.exceptions import NoAlertPresentException

    try:
        browser.switch_to.alert.accept()
    except NoAlertPresentException:
        return
