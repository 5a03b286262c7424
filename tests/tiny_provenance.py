"""The provenance of an open and of a credentialed source."""

from __future__ import annotations

OPEN = {
    "source": "mimic-iv",
    "release": "synthetic",
    "title": "Synthetic hospital",
    "version": "unknown",
    "licence": {"id": "cc0-1.0", "name": "Creative Commons Zero v1.0"},
    "credentialed": False,
}
CLOSED = {
    **OPEN,
    "release": "mimic-iv",
    "title": "MIMIC-IV",
    "version": "3.1",
    "licence": {"id": "other", "name": "PhysioNet Credentialed Health Data License 1.5.0"},
    "credentialed": True,
}
