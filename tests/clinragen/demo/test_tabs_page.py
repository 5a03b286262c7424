"""The tabs beside Explain in a real Chromium: used by a person, and looked over by axe in both schemes and widths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium
from demo_server import Served, served, wait_until

from clinragen.demo.tabs.about import LIMITS
from clinragen.demo.tabs.quality import NOTHING

TEXT = '"HTN" supports Essential hypertension. Heart rate is low. Glucose is low.'
NOTE = "Chief Complaint:\nlethargy\nPast Medical History:\n- HTN\n"
LABS = "hours,heart rate (bpm)\n0,118\n3,121\n"
VERDICTS = ["supported", "contradicted", "unverifiable"]


@pytest.fixture(scope="module")
def page(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(["demo", str(small_run / "model"), "--port", "0"], tmp_path_factory.mktemp("page")) as one:
        yield one


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("browser"), "1280,1000") as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> Callable[[Any], Any]:
    found = pytest.importorskip("axe_core_python.selenium", reason="needs the PyPI package axe-core-python")
    return lambda browser: found.Axe().run(browser)


def open_tab(browser: Any, title: str) -> None:
    """Open a tab; on a narrow screen some are in a menu."""

    def named() -> list[Any]:
        return [one for one in browser.find_elements("css selector", "button") if one.text.strip() == title]

    wait_until(lambda: browser.find_elements("css selector", "button[role=tab]"))
    if not named():
        browser.find_element("css selector", ".overflow-menu button").click()
    wait_until(named)
    named()[0].click()


def type_into(browser: Any, name: str, text: str) -> None:
    box = browser.find_element("css selector", f"#{name} textarea")
    box.clear()
    box.send_keys(text)


def verdicts(browser: Any) -> list[str]:
    shown = browser.find_elements("css selector", "#check-answer .sentence")
    return [one.get_attribute("class").split()[-1] for one in shown]


def test_a_text_is_checked_and_a_change_takes_the_verdicts_away(page: Served, browser: Any, tmp_path: Path) -> None:
    browser.get(page.opened)
    open_tab(browser, "Check a text")
    wait_until(lambda: browser.find_element("id", "check-text").is_displayed())
    button = browser.find_element("id", "check")
    button.click()
    wait_until(lambda: "is empty; give the rationale" in browser.find_element("id", "check-answer").text)
    for name, text in (("check-text", TEXT), ("check-note", NOTE), ("check-measurements", LABS)):
        type_into(browser, name, text)
    assert verdicts(browser) == []
    button.click()
    wait_until(lambda: verdicts(browser) == VERDICTS)
    browser.find_element("css selector", "#check-note textarea").send_keys("- CHF\n")
    wait_until(lambda: verdicts(browser) == [], 2)
    # A file takes the place of what was typed, and of its verdicts.
    button.click()
    wait_until(lambda: verdicts(browser) == VERDICTS)
    file = tmp_path / "labs.csv"
    file.write_text("hours,heart rate (bpm)\n0,44\n3,41\n")
    browser.find_element("css selector", "#check-table input[type=file]").send_keys(str(file))
    box = browser.find_element("css selector", "#check-measurements textarea")
    wait_until(lambda: "44" in box.get_property("value"))
    assert verdicts(browser) == []
    button.click()
    wait_until(lambda: verdicts(browser) == ["supported", "supported", "unverifiable"])
    assert page.uploads() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(page: Served, browser: Any, axe: Callable[[Any], Any], scheme: str, width: int) -> None:
    browser.set_window_size(width, 1000)
    browser.get(f"{page.opened}&__theme={scheme}")
    for title, name, words in (
        ("Check a text", "check-about", "No model is asked."),
        ("How good is it", "quality", NOTHING),
        ("About", "about", LIMITS[1]),
    ):
        open_tab(browser, title)
        wait_until(lambda name=name, words=words: words in browser.find_element("id", name).text)
        if title == "Check a text" and width == 1280:
            type_into(browser, "check-text", TEXT)
            type_into(browser, "check-note", NOTE)
            browser.find_element("id", "check").click()
            wait_until(lambda: verdicts(browser))
        found = axe(browser)["violations"]
        assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == [], title
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth + 1"), title
