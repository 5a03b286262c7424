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
from clinragen.demo.tabs.explain import SHOWN_DISEASES
from dataset_builder.contract.schema import load_examples

# Explanations that take their time: there must be some to change something meanwhile.
SLOWLY = f"""
import time
from clinragen.inference import Explainer
at_once = Explainer.explain
def explain(*given):
    time.sleep(4)
    return at_once(*given)
Explainer.explain = explain
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
    seen.push([performance.now(), whose ?? null, value("patient"), value("note"), value("truth")]);
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
    """What an element shows."""
    return browser.execute_script(
        "const shown = document.querySelector(`#${arguments[0]} .prose, #${arguments[0]} .html-container`) "
        "?? document.getElementById(arguments[0]); return shown?.innerText ?? ''", name
    )  # fmt: skip


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
    wait_until(lambda: start in (value(browser, "note") or ""), 60)
    # The token does not stay in the address bar.
    assert browser.current_url == f"{page.address}/"
    browser.find_element("id", "explain").click()
    wait_until(lambda: whose(browser) and text(browser, "diagnoses").strip(), 60)
    assert whose(browser) == f"Patient 1: {first['example_id']}"
    rationale = browser.find_element("id", "rationale")
    if "malformed" in rationale.text:
        assert "No disease is diagnosed" not in text(browser, "diagnoses")
    else:
        # The note stands beside the rationale, and what is withheld is closed.
        assert start in rationale.text
        assert not any(one.get_attribute("open") for one in rationale.find_elements("tag name", "details"))
    assert browser.find_element("id", "probabilities").text.count("%") == SHOWN_DISEASES
    assert value(browser, "anomalies") == first["lab_summary"]
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
    note_of = {first: rows[0]["note"].split(), second: rows[1]["note"].split(), OWN: []}
    button: Callable[[], Any] = lambda: browser.find_element("id", "explain")  # noqa: E731
    labs = tmp_path / "Smith_MRN12.csv"
    labs.write_text("hours,heart rate (bpm)\n0,50\n4,45\n")
    with served(["demo", str(tiny_run / "model"), "--port", "0"], tmp_path / "page", code=SLOWLY) as page:
        browser.get(page.opened)
        wait_until(lambda: (value(browser, "note") or "").split() == note_of[first], 60)
        browser.execute_script(WATCH)
        # The note of a chosen patient cannot be changed, and there is no place for other measurements.
        assert not browser.find_element("css selector", "#note textarea").is_enabled()
        assert value(browser, "measurements") is None
        assert value(browser, "table") is None

        # Another patient while the answer is under way: it never arrives.
        button().click()
        time.sleep(1)
        choose(browser, second)
        wait_until(lambda: (value(browser, "note") or "").split() == note_of[second])
        time.sleep(6)
        assert whose(browser) is None
        # And after it has arrived: it goes at once.
        button().click()
        wait_until(lambda: whose(browser) == second, 60)
        choose(browser, OWN)
        wait_until(lambda: whose(browser) is None, BLINK)
        wait_until(lambda: value(browser, "measurements") == "")
        assert (value(browser, "note"), value(browser, "anomalies"), value(browser, "truth")) == ("", "", "")

        # One's own patient: a file becomes text that can be seen, and the file is gone.
        browser.find_element("css selector", "#note textarea").send_keys("History of hypertension.")
        upload = "#table input[type=file]"
        browser.find_element("css selector", upload).send_keys(str(labs))
        wait_until(lambda: value(browser, "measurements") == labs.read_text())
        assert page.uploads() == []
        button().click()
        wait_until(lambda: whose(browser) == OWN, 60)
        assert value(browser, "anomalies") == "heart rate is lower than normal two times."
        # Any change empties the answer, or drops the one under way.
        for name, words in (("note", " Ankle sprain."), ("measurements", "\n6,44")):
            browser.find_element("css selector", f"#{name} textarea").send_keys(words)
            wait_until(lambda: whose(browser) is None, BLINK)
            assert (value(browser, "anomalies"), text(browser, "diagnoses").strip()) == ("", "")
            button().click()
            time.sleep(1)
            browser.find_element("css selector", f"#{name} textarea").send_keys(" ")
            time.sleep(6)
            assert whose(browser) is None
            button().click()
            wait_until(lambda: whose(browser) == OWN, 60)

        # An error: nothing of the answer before stays, and the file has its own name.
        labs.write_text("hours,heart rate (bpm)\n0,fast\n")
        browser.find_element("css selector", upload).send_keys(str(labs))
        wait_until(lambda: text(browser, "warnings").strip().startswith("Smith_MRN12.csv: row 2, heart rate"))
        assert (whose(browser), value(browser, "measurements"), value(browser, "anomalies")) == (None, "", "")
        browser.find_element("css selector", "#measurements textarea").send_keys("hours")
        button().click()
        wait_until(lambda: "the measurements: " in browser.find_element("tag name", "body").text)
        assert whose(browser) is None

        # Throughout, an answer stood beside its own patient only: but for the blink in which the browser empties it.
        # (While a name is typed, nobody is chosen yet.)
        seen = browser.execute_script("return window.seen")
        assert {one[1] for one in seen} == {None, second, OWN}
        mixed_since = None
        for at, answered, chosen, note, truth in seen:
            mixed = answered is not None and (
                (chosen in note_of and chosen != answered)
                or note_of[answered] not in ([], note.split())
                or bool(truth) == (answered == OWN)
            )
            mixed_since = (at if mixed_since is None else mixed_since) if mixed else None
            assert mixed_since is None or at - mixed_since < BLINK * 1000, (answered, chosen)
