"""The page as people use it: with eyes, keyboard or screen reader, at any width, with good and bad files."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_core_python
import pytest
from chromium import chromium
from demo_server import COMMAND, PATIENT, Served, served, wait_until

from clinragen.demo.patient import OWN

TESTS = Path(__file__).parents[2]
FIRST = '"hypertension" supports Essential hypertension.'
SECOND = "Heart rate is high."
REFUSED = "Heart rate is low."
# A model whose draft is given, and which takes its time between two parts of an answer.
SCRIPTED = f"""
import sys
import time
import pytest
from clinragen.inference import Explainer
from modeling_clinragen import ClinRaGenProcessor
sys.path.append({str(TESTS)!r})  # behind the rooms, which have the same names there
from scripted_model import drafted, let_write
tokenizer = ClinRaGenProcessor.from_pretrained(sys.argv[2]).tokenizer
let_write(pytest.MonkeyPatch(), tokenizer, drafted(["Essential hypertension"], {f"{FIRST} {SECOND} {REFUSED}"!r}))
at_once = Explainer.explain_stream
def explain(*given):
    for part in at_once(*given):
        yield part
        time.sleep(0.3)
Explainer.explain_stream = explain
{COMMAND}
"""
AXE = (Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN_AXE = """
const [tags, done] = arguments;
axe.run(document, {runOnly: tags}).then(found => done(found.violations.map(
    one => [one.id, one.nodes.map(node => node.html.slice(0, 200) + node.failureSummary)])));
"""
# What is shown of a rationale, in every picture that the browser paints.
WATCH = """
const seen = window.parts = [];
const look = () => {
    const texts = [...document.querySelectorAll("#answer .cr-rationale > ol .cr-text")].map(one => one.textContent);
    const busy = !!document.querySelector("#answer .cr-busy");
    const last = seen.at(-1);
    if (!last || last[0] !== busy || last[1].length !== texts.length) seen.push([busy, texts]);
    requestAnimationFrame(look);
};
look();
"""
BAD_FILES = {
    "words": b"hours,heart rate (bpm)\n0,fast\n",
    "unknown column": b"hours,bilirubin (mg/dL)\n0,1\n",
    "no unit": b"hours,heart rate\n0,80\n",
    "no time": b"heart rate (bpm)\n80\n",
    "no variable": b"hours\n0\n",
    "twice the same time": b"hours,heart rate (bpm)\n0,80\n0,81\n",
    "too few cells": b"hours,heart rate (bpm),temperature (\xc2\xb0C)\n0,80\n",
    "nothing": b"",
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4,
    "markup": b"hours,<img src=x onerror=alert(1)>\n0,1\n",
}


@pytest.fixture(scope="module")
def page(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    words = ["demo", str(small_run / "model"), "--port", "0"]
    with served(words, tmp_path_factory.mktemp("page"), code=SCRIPTED) as one:
        yield one


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("browser")
    with chromium(folder, "1280,1000") as opened:
        opened.downloads = folder / "downloads"
        yield opened


@pytest.fixture
def browser(shared_browser: Any, page: Served) -> Any:
    """The browser, with the page as it is opened."""
    seen_as(shared_browser, 1280)
    opened(shared_browser, page)
    return shared_browser


def seen_as(browser: Any, width: int, *, dark: bool = False) -> None:
    """Give the browser a width and a colour scheme."""
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})


def opened(browser: Any, page: Served) -> None:
    browser.get(page.opened)
    wait_until(lambda: count(browser, "#view .cr-note"))


def count(browser: Any, selector: str) -> int:
    return browser.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def text(browser: Any, selector: str) -> str:
    return browser.execute_script("return document.querySelector(arguments[0])?.textContent.trim() ?? ''", selector)


def explained(browser: Any) -> None:
    """Ask, and wait for the whole answer."""
    browser.find_element("id", "explain").click()
    wait_until(lambda: count(browser, "#answer .cr-whole"))


def choose(browser: Any, selector: str, name: str) -> None:
    """Choose of a list by typing."""
    from selenium.webdriver.common.keys import Keys

    wait_until(lambda: count(browser, f"{selector} input"))
    box = browser.find_element("css selector", f"{selector} input")
    box.click()
    box.send_keys(Keys.CONTROL, "a")
    box.send_keys(name, Keys.ENTER)


def own(browser: Any) -> None:
    """Choose the reader's own patient."""
    choose(browser, "#patient", OWN)
    wait_until(lambda: count(browser, "#measurements textarea"))


def violations(browser: Any) -> list[Any]:
    browser.execute_script(AXE)
    return browser.execute_async_script(RUN_AXE, STANDARD)


def open_all(browser: Any) -> None:
    """Open everything that is closed."""
    browser.execute_script(
        "document.querySelectorAll('details').forEach(one => one.open = true);"
        "document.querySelectorAll('.cr-after button.label-wrap, #values button.label-wrap')"
        ".forEach(one => one.click())"
    )
    time.sleep(0.3)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_everybody_can_read_it(shared_browser: Any, page: Served, width: int, dark: bool) -> None:
    browser = shared_browser
    seen_as(browser, width, dark=dark)
    opened(browser, page)
    assert bool(count(browser, "body.dark")) == dark
    explained(browser)
    open_all(browser)
    choose(browser, "#off", "All measurements")
    wait_until(lambda: count(browser, "#compared .clinragen-what-if"))
    assert violations(browser) == []
    # Nothing has to be scrolled sideways.
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    columns = browser.execute_script(
        "const at = name => document.getElementById(name).getBoundingClientRect();"
        "return [at('given').left, at('said').left, at('said').top, at('shown').left, at('shown').top]"
    )
    given, said, said_top, shown, shown_top = columns
    assert shown == given
    assert (said > given) if width == 1280 else (said == given and said_top < shown_top)
    own(browser)
    open_all(browser)
    assert violations(browser) == []
    for tab in browser.find_elements("css selector", "button[role=tab]"):
        if tab.is_displayed() and tab.text != "Explain":
            tab.click()
            time.sleep(0.3)
            assert violations(browser) == [], tab.text


def test_sentences_come_one_after_the_other_and_stay(browser: Any) -> None:
    browser.execute_script(WATCH)
    explained(browser)
    time.sleep(0.2)
    parts = browser.execute_script("return window.parts")
    shown = [texts for _, texts in parts]
    assert shown[-1] == [FIRST, SECOND]
    assert [True, [FIRST, SECOND]] in parts
    for before, after in itertools.pairwise(shown):
        assert after[: len(before)] == before
    assert all(REFUSED not in texts for texts in shown)
    # It is there, for who wants to see it.
    assert REFUSED in text(browser, "#answer .cr-withheld")


def test_words_note_and_charts_point_at_one_another(browser: Any) -> None:
    from selenium.webdriver import ActionChains

    explained(browser)
    sentences = browser.find_elements("css selector", "#answer .cr-rationale > ol > li")
    mark, readings = (
        browser.find_element("css selector", f"#view {what}") for what in ("mark[data-of~=s1]", "g[data-of~=s2]")
    )

    def lit() -> list[str]:
        return browser.execute_script(
            "return [...document.querySelectorAll('.cr-lit')].map(one => one.tagName.toLowerCase())"
        )

    def pointed(element: Any, at: Any = None) -> list[str]:
        ActionChains(browser).move_to_element(at or element).perform()
        hovered = lit()
        ActionChains(browser).move_to_element(browser.find_element("tag name", "h1")).perform()
        assert lit() == []
        browser.execute_script("arguments[0].focus()", element)
        assert lit() == hovered
        browser.execute_script("arguments[0].blur()", element)
        assert lit() == []
        return sorted(hovered)

    # The same words are evidence of a disease that is not listed, which is found and not mentioned.
    assert pointed(sentences[0]) == ["li", "mark"]
    assert pointed(mark) == ["li", "li", "mark"]
    rings = readings.find_elements("tag name", "circle")
    assert len(rings) == 2
    assert pointed(sentences[1]) == pointed(readings, rings[0]) == ["g", "li"]


def test_the_keyboard_is_enough(browser: Any) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(key: str) -> None:
        ActionChains(browser).send_keys(key).perform()

    def tab_to(selector: str) -> None:
        for _ in range(40):
            press(Keys.TAB)
            if browser.execute_script("return document.activeElement.matches(arguments[0])", selector):
                return
        pytest.fail(f"{selector} is not reached")

    def outlined() -> bool:
        style = "const style = getComputedStyle(document.activeElement); return style.outlineStyle + style.boxShadow"
        return browser.execute_script(style) != "nonenone"

    tab_to("#explain")
    assert outlined()
    press(Keys.ENTER)
    wait_until(lambda: count(browser, "#answer .cr-whole"))
    tab_to("#answer .cr-sentence")
    assert outlined()
    tab_to("#answer .cr-sentence summary")
    press(Keys.ENTER)
    assert count(browser, "#answer .cr-sentence details[open]") == 1
    tab_to("#view .cr-note")
    assert outlined()
    tab_to("#view mark")
    tab_to("#view g")


def test_an_answer_is_saved_by_the_browser_alone(browser: Any, page: Served) -> None:
    explained(browser)
    endings = ["pdf", "json", "fhir.json"]
    for ending, button in zip(endings, browser.find_elements("css selector", "#saves button"), strict=True):
        button.click()
        wait_until((browser.downloads / f"explanation.{ending}").is_file)
    assert (browser.downloads / "explanation.pdf").read_bytes().startswith(b"%PDF")
    told = json.loads((browser.downloads / "explanation.json").read_text())
    assert told["rationale"] == f"{FIRST} {SECOND}"
    assert json.loads((browser.downloads / "explanation.fhir.json").read_text())["resourceType"] == "Bundle"
    assert page.uploads() == []


def test_what_if_goes_with_the_answer(browser: Any) -> None:
    assert not browser.find_element("id", "what-if").is_displayed()
    explained(browser)
    browser.find_element("css selector", "#what-if button").click()
    choose(browser, "#off", "Sentence 2")
    wait_until(lambda: "History of hypertension" in text(browser, "#compared"))
    own(browser)
    wait_until(lambda: text(browser, "#compared") == "")
    assert not browser.find_element("id", "what-if").is_displayed()
    assert text(browser, "#view") == ""


def test_bad_files_are_refused_calmly_and_a_good_one_is_read(browser: Any, page: Served, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    own(browser)
    upload = "#table input[type=file]"
    assert len(BAD_FILES) == 10
    for number, (name, content) in enumerate(BAD_FILES.items()):
        file = tmp_path / f"bad {number}.csv"
        file.write_bytes(content)
        wait_until(lambda: count(browser, upload))
        browser.find_element("css selector", upload).send_keys(str(file))
        wait_until(lambda file=file: file.name in text(browser, "#message .cr-error") or count(browser, ".toast-body"))
        told = text(browser, "#message .cr-error") or text(browser, ".toast-body")
        assert "could not do this" not in told, name
        assert count(browser, "#message img") == 0
        assert browser.execute_script("return document.querySelector('#measurements textarea').value") == ""
        wait_until(lambda: page.uploads() == [])
        browser.execute_script("document.querySelectorAll('.toast-close').forEach(one => one.click())")
    good = tmp_path / "good.csv"
    good.write_text("hours,heart rate (bpm),temperature (°C)\n0,118,\n4,121,38.9\n")
    browser.find_element("css selector", upload).send_keys(str(good))
    area = "return document.querySelector('#measurements textarea').value"
    wait_until(lambda: browser.execute_script(area) == good.read_text())
    assert text(browser, "#message .cr-error") == ""
    assert page.uploads() == []
    # The table has the same, and what is typed into it is the CSV text.
    open_all(browser)
    row = '.cr-values tr[data-title="temperature (°C)"] input'
    cells = "return [...document.querySelectorAll(arguments[0])].map(one => one.value)"
    wait_until(lambda: browser.execute_script(cells, row) == ["", "38.9", ""])
    browser.find_elements("css selector", row)[0].send_keys("37,5")
    assert browser.execute_script(area) == 'hours,heart rate (bpm),temperature (°C)\n0,118,"37,5"\n4,121,38.9\n'
    explained_or_told = browser.find_element("id", "explain")
    browser.find_elements("css selector", row)[0].send_keys(*[Keys.BACKSPACE] * 4)
    browser.find_element("css selector", ".cr-more").click()
    assert browser.execute_script("return document.querySelectorAll('.cr-values tr')[0].cells.length") == 5
    explained_or_told.click()
    wait_until(lambda: count(browser, "#answer .cr-whole"))
    assert text(browser, ".whose strong") == OWN
    assert "2 readings, 118 to 121" in text(browser, "#view")


def test_two_users_see_their_own_patient_and_reload_and_back_begin_anew(
    browser: Any, page: Served, tmp_path: Path
) -> None:
    with chromium(tmp_path, "1280,1000") as other:
        opened(other, page)
        own(other)
        other.find_element("css selector", "#note textarea").send_keys("History of hypertension.")
        browser.find_element("id", "explain").click()
        other.find_element("id", "explain").click()
        for one, whose in ((browser, PATIENT), (other, OWN)):
            wait_until(lambda one=one: count(one, "#answer .cr-whole"))
            assert text(one, ".whose strong") == whose
    browser.refresh()
    wait_until(lambda: count(browser, "#view .cr-note"))
    assert (count(browser, ".whose"), count(browser, "#view mark")) == (0, 0)
    explained(browser)
    browser.get("data:text/html,elsewhere")
    browser.back()
    wait_until(lambda: count(browser, "#view .cr-note"))
    assert (text(browser, ".whose strong") == PATIENT) == bool(count(browser, "#view mark"))
    explained(browser)
    assert text(browser, ".whose strong") == PATIENT
