"""What the tests of the download share: a login, quick retries, and how a refusal is checked."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
from physionet_site import PASSWORD, USER, Site

from dataset_builder.download import Credentials, Downloaded, download
from dataset_builder.storage.http import RetryPolicy
from modeling_clinragen.errors import ClinRaGenError

LOGIN = Credentials(USER, PASSWORD)
QUICK = RetryPolicy(connect_s=2, read_s=0.5, attempts=3, first_pause_s=0.01)
CHART = "icu/chartevents.csv.gz"
SECRETS = (PASSWORD, "hunter2", base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


def get(site: Site, folder: Path, dataset: str = "mimic-iv", **settings: Any) -> Downloaded:
    given = {"credentials": LOGIN, "retry": QUICK, "base_url": site.url, **settings}
    return download(dataset, folder, **given)


def refused(site: Site, folder: Path, *parts: str, dataset: str = "mimic-iv", **settings: Any) -> str:
    with pytest.raises(ClinRaGenError) as caught:
        get(site, folder, dataset, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    chain: BaseException | None = caught.value
    while chain is not None:
        assert not any(secret in f"{chain} {chain!r} {chain.args}" for secret in SECRETS)
        chain = chain.__cause__
    return message


def state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


BIG = "mimiciv/3.1/hosp/prescriptions.csv.gz"
