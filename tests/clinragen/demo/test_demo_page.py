"""The demo page, served for real on the loopback address and used in a real Chromium."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from clinragen.demo.tabs.explain import SHOWN_DISEASES
from dataset_builder.contract.schema import load_examples

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def page(tiny_run: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from clinragen.cli.main import main; main()",
            "demo",
            str(tiny_run / "model"),
            "--port",
            str(port),
            "--probabilities",
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            break
        except OSError:
            assert process.poll() is None, process.communicate()[0][-2000:]
            assert time.monotonic() < deadline, "the page never came up"
            time.sleep(0.2)
    yield address
    process.terminate()
    process.wait(30)


def test_it_listens_on_loopback_only_and_phones_nobody(page: str) -> None:
    import json

    with urllib.request.urlopen(f"{page}/config") as answer:
        config = json.load(answer)
    assert config["analytics_enabled"] is False
    port = int(page.rpartition(":")[2])
    with Path("/proc/net/tcp").open() as table:
        listening = [line.split()[1] for line in table if line.split()[3] == "0A"]
    bound = [address for address in listening if int(address.partition(":")[2], 16) == port]
    assert bound
    assert all(address.startswith("0100007F") for address in bound)


def test_a_patient_is_explained_in_chromium(page: str, tiny_run: Path, tmp_path: Path) -> None:
    driver_path, browser_path = shutil.which("chromedriver"), shutil.which("chromium")
    if driver_path is None or browser_path is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have chromium and chromedriver")
        pytest.skip("needs chromium and chromedriver (Debian: chromium, chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = browser_path
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    for flag in f"{flags} --disable-component-update --disable-sync --window-size=1400,1100".split():
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_path))
    try:
        browser.get(page)
        wait = WebDriverWait(browser, 60)
        first = load_examples(tiny_run / "rationales")["test"][0]
        start = first["note"].split("\n")[0]
        wait.until(
            lambda found: start in (found.find_element(By.CSS_SELECTOR, "#note textarea").get_attribute("value") or "")
        )
        browser.find_element(By.ID, "explain").click()

        def answered(found: webdriver.Chrome) -> bool:
            return all(found.find_element(By.ID, name).text.strip() for name in ("rationale", "diagnoses"))

        wait.until(answered)
        rationale = browser.find_element(By.ID, "rationale")
        if "malformed" in rationale.text:
            assert "No disease is diagnosed" not in browser.find_element(By.ID, "diagnoses").text
        else:
            # The note stands beside the rationale, and what is withheld is closed.
            assert start in rationale.text
            assert not any(one.get_attribute("open") for one in rationale.find_elements(By.TAG_NAME, "details"))
        assert browser.find_element(By.ID, "probabilities").text.count("%") == SHOWN_DISEASES
        anomalies = browser.find_element(By.CSS_SELECTOR, "#anomalies textarea").get_attribute("value")
        assert anomalies == first["lab_summary"]
        picture = tmp_path / "page.png"
        browser.save_screenshot(str(picture))
        assert picture.stat().st_size > 10_000
        if keep := os.environ.get("CLINRAGEN_KEEP_SCREENSHOT"):
            shutil.copy(picture, keep)
        # Another patient: nothing of the answer stays.
        box = browser.find_element(By.CSS_SELECTOR, "#patient input")
        box.click()
        box.send_keys(Keys.ARROW_UP, Keys.ENTER)
        wait.until(lambda found: not any(found.find_element(By.ID, name).text for name in ("rationale", "diagnoses")))
        # No run history: what a patient's page held must not stay in the browser.
        kept = browser.execute_script("return JSON.stringify(Object.assign({}, localStorage))")
        assert first["note"][:40] not in kept
        severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert [entry for entry in severe if page in entry["message"] and "404" not in entry["message"]] == []
    finally:
        browser.quit()
