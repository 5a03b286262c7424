"""The demo page, served for real on the loopback address and used in a real Chromium."""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from demo_server import COMMAND, Served, served, wait_until

from clinragen.demo.patient import OWN
from dataset_builder.contract.schema import load_examples

SLOWNESS = 2.0
"""Seconds between two parts of an answer: there must be some to change something meanwhile."""
SLOWLY = f"""
import time
from clinragen.inference import Explainer
at_once = Explainer.explain_stream
def explain(*given):
    for part in at_once(*given):
        yield part
        time.sleep({SLOWNESS})
Explainer.explain_stream = explain
{COMMAND}
"""
BLINK = 2
"""Seconds in which a loaded machine's browser, which asks nobody, has emptied an answer; usually none."""
# Notes, for every picture that the browser paints, when, and whose answer stands beside which patient.
WATCH = """
const seen = window.seen = [];
const value = name => document.querySelector(`#${name} textarea, #${name} input`)?.value ?? "";
const look = () => {
    const whose = document.querySelector(".whose strong")?.textContent;
    const note = document.querySelector("#view .cr-note")?.cloneNode(true);
    note?.querySelectorAll("sup").forEach(one => one.remove());
    const truth = !!document.querySelector("#view .cr-truth");
    seen.push([performance.now(), whose ?? null, value("patient"), note?.textContent ?? value("note"), truth]);
    requestAnimationFrame(look);
};
look();
"""


@pytest.fixture(scope="module")
def page(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(
        ["demo", str(tiny_run / "model"), "--port", "0", "--probabilities"], tmp_path_factory.mktemp("page")
    ) as one:
        yield one


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    with chromium(tmp_path, "1400,1100") as opened:
        yield opened


def value(browser: Any, name: str) -> str | None:
    """What an element holds; None where the page does not show it."""
    return browser.execute_script(
        "return document.querySelector(`#${arguments[0]} textarea, #${arguments[0]} input`)?.value ?? null", name
    )


def text(browser: Any, name: str) -> str:
    """What an element shows, or would show if it were opened; not what gradio lays over it."""
    return browser.execute_script(
        "const own = document.getElementById(arguments[0]);"
        "return (own?.querySelector('.html-container') ?? own)?.textContent.trim() ?? ''", name
    )  # fmt: skip


def note_of(browser: Any) -> str:
    """The note that stands beside an answer, without the numbers of sentences."""
    return browser.execute_script(
        "const note = document.querySelector('#view .cr-note')?.cloneNode(true);"
        "note?.querySelectorAll('sup').forEach(one => one.remove()); return note?.textContent ?? ''"
    )


def answered(browser: Any) -> bool:
    """Whether an answer is there that is no longer being written."""
    return browser.execute_script("return !!document.querySelector('.cr-status:not(.cr-busy)')")


def choose(browser: Any, name: str) -> None:
    """Choose a patient as a person does."""
    from selenium.webdriver.common.keys import Keys

    box = browser.find_element("css selector", "#patient input")
    box.click()
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(name, Keys.ENTER)


def whose(browser: Any) -> str | None:
    """Whose answer the page shows, if any."""
    return browser.execute_script("return document.querySelector('.whose strong')?.textContent ?? null")


def test_it_listens_on_loopback_only_and_phones_nobody(page: Served) -> None:
    with urllib.request.urlopen(f"{page.address}/config?token={page.token}") as answer:
        config = json.load(answer)
    assert config["analytics_enabled"] is False
    with Path("/proc/net/tcp").open() as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    bound = [address for address in listening if int(address.partition(":")[2], 16) == page.port]
    assert bound
    assert all(address.startswith("0100007F") for address in bound)


def test_a_patient_is_explained_in_chromium(page: Served, browser: Any, tiny_run: Path, tmp_path: Path) -> None:
    browser.get(page.opened)
    first = load_examples(tiny_run / "rationales")["test"][0]
    start = first["note"].split("\n")[0]
    wait_until(lambda: start in note_of(browser), 60)
    # The token does not stay in the address bar.
    assert browser.current_url == f"{page.address}/"
    browser.find_element("id", "explain").click()
    wait_until(lambda: answered(browser), 60)
    assert whose(browser) == f"Patient 1: {first['example_id']}"
    answer = text(browser, "answer")
    if "malformed" in answer:
        assert "No disease is diagnosed" not in answer
    else:
        # Every disease has its probability; evidence, withheld sentences and coded diagnoses are closed.
        diseases = load_examples(tiny_run / "rationales").vocabulary.disease_names
        assert len(browser.find_elements("css selector", "#answer .cr-number")) == len(diseases)
        assert not browser.execute_script("return document.querySelectorAll('#answer [open], #view [open]').length")
    assert first["lab_summary"] in text(browser, "view")
    picture = tmp_path / "page.png"
    browser.save_screenshot(str(picture))
    assert picture.stat().st_size > 10_000
    if keep := os.environ.get("CLINRAGEN_KEEP_SCREENSHOT"):
        shutil.copy(picture, keep)
    # No run history: what a patient's page held must not stay in the browser.
    kept = browser.execute_script("return JSON.stringify(Object.assign({}, localStorage))")
    assert first["note"][:40] not in kept
    severe = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # The page's manifest, for installing it, is asked for without the cookie.
    assert [one for one in severe if page.address in one and "404" not in one and "manifest" not in one.lower()] == []
    asked = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [one["params"]["request"]["url"] for one in asked if one["method"] == "Network.requestWillBeSent"]
    assert urls
    assert [url for url in urls if not url.startswith((page.address, "data:", "blob:", "chrome"))] == []


def test_the_page_never_shows_two_patients(browser: Any, tiny_run: Path, tmp_path: Path) -> None:
    rows = [load_examples(tiny_run / "rationales")["test"][number] for number in (0, 1)]
    first, second = (f"Patient {number}: {row['example_id']}" for number, row in enumerate(rows, start=1))
    recorded = {first: rows[0]["note"].split(), second: rows[1]["note"].split(), OWN: []}
    button: Callable[[], Any] = lambda: browser.find_element("id", "explain")  # noqa: E731
    labs = tmp_path / "Smith_MRN12.csv"
    labs.write_text("hours,heart rate (bpm)\n0,50\n4,45\n")
    with served(["demo", str(tiny_run / "model"), "--port", "0"], tmp_path / "page", code=SLOWLY) as page:
        browser.get(page.opened)
        wait_until(lambda: note_of(browser).split() == recorded[first], 60)
        browser.execute_script(WATCH)
        # The note of a chosen patient cannot be changed, and there is no place for other measurements.
        assert [value(browser, name) for name in ("note", "measurements", "table")] == [None, None, None]

        # Another patient while the answer is under way: no further part of it arrives.
        button().click()
        wait_until(lambda: whose(browser) == first)
        choose(browser, second)
        wait_until(lambda: note_of(browser).split() == recorded[second])
        time.sleep(2 * SLOWNESS)
        assert whose(browser) is None
        # And after it has arrived: it goes at once.
        button().click()
        wait_until(lambda: whose(browser) == second and answered(browser), 60)
        choose(browser, OWN)
        wait_until(lambda: whose(browser) is None, BLINK)
        wait_until(lambda: value(browser, "measurements") == "")
        assert (value(browser, "note"), text(browser, "view"), text(browser, "compared")) == ("", "", "")

        # One's own patient: a file becomes text that can be seen, and the file is gone.
        browser.find_element("css selector", "#note textarea").send_keys("History of hypertension.")
        upload = "#table input[type=file]"
        browser.find_element("css selector", upload).send_keys(str(labs))
        wait_until(lambda: value(browser, "measurements") == labs.read_text())
        assert page.uploads() == []
        button().click()
        wait_until(lambda: whose(browser) == OWN, 60)
        assert "heart rate is lower than normal two times." in text(browser, "view")
        # Any change empties the answer, or drops the one under way.
        for name, words in (("note", " Ankle sprain."), ("measurements", "\n6,44")):
            browser.find_element("css selector", f"#{name} textarea").send_keys(words)
            wait_until(lambda: whose(browser) is None, BLINK)
            assert text(browser, "view") == ""
            button().click()
            wait_until(lambda: whose(browser) == OWN, 60)
            browser.find_element("css selector", f"#{name} textarea").send_keys(" ")
            time.sleep(2 * SLOWNESS)
            assert (whose(browser), text(browser, "view")) == (None, "")
            # An answer that was dropped is no error.
            assert "Error" not in browser.find_element("tag name", "body").text
            button().click()
            wait_until(lambda: whose(browser) == OWN, 60)

        # An error: nothing of the answer before stays, and the file has its own name.
        labs.write_text("hours,heart rate (bpm)\n0,fast\n")
        browser.find_element("css selector", upload).send_keys(str(labs))
        wait_until(lambda: text(browser, "message").strip().startswith("Smith_MRN12.csv: row 2, heart rate"))
        assert (whose(browser), value(browser, "measurements"), text(browser, "view")) == (None, "", "")
        browser.find_element("css selector", "#measurements textarea").send_keys("hours")
        button().click()
        wait_until(lambda: "the measurements: " in browser.find_element("tag name", "body").text)
        wait_until(lambda: "Explain puts the answer here" in text(browser, "answer"), BLINK)
        assert whose(browser) is None

        # Throughout, an answer stood beside its own patient only: but for the blink in which the browser empties it.
        # (While a name is typed, nobody is chosen yet.)
        seen = browser.execute_script("return window.seen")
        assert {one[1] for one in seen} == {None, first, second, OWN}
        mixed_since = None
        for at, answer, label, note, truth in seen:
            chosen = label.partition(" · ")[0]
            mixed = answer is not None and (
                (chosen in recorded and chosen != answer)
                or recorded[answer] not in ([], note.split())
                or truth == (answer == OWN)
            )
            mixed_since = (at if mixed_since is None else mixed_since) if mixed else None
            assert mixed_since is None or at - mixed_since < BLINK * 1000, (answer, chosen)
