"""Four stays in the form of PhysioNet Challenge 2012, small enough to compute every expectation by hand."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

HEADER = "Time,Parameter,Value"
DEATH = {"name": "In-hospital death", "kind": "acute", "codes": {0: ["DIED"]}}
"""A disease that the outcomes define."""


def record(number: int, *lines: str, age: str = "64", gender: str = "1", unit: str = "3", weight: str = "80") -> str:
    """The text of a stay's file: its descriptors and further lines."""
    said = {"RecordID": number, "Age": age, "Gender": gender, "Height": "-1", "ICUType": unit, "Weight": weight}
    return "\n".join([HEADER, *(f"00:00,{name},{value}" for name, value in said.items()), *lines, ""])


def challenge_files() -> dict[str, str]:
    """The files of four stays: one with every variable, one with doubtful values, a child, and one that died."""
    every = ["00:07,HR,73", "01:30,HR,80", "01:30,NISysABP,147", "01:30,NIDiasABP,65", "01:30,NIMAP,92.33"]
    every += ["02:00,FiO2,0.5", "02:00,Glucose,130", "02:00,SaO2,97", "02:00,RespRate,19", "02:00,Temp,37.1"]
    every += ["48:00,pH,7.38", "03:00,GCS,15"]
    doubtful = ["00:10,HR,0", "00:20,HR,88", "00:30,pH,735", "00:40,Temp,98.6", "00:50,SysABP,none", "01:00,MAP,77"]
    return {
        "set-a/132539.txt": record(132539, *every),
        "set-a/132540.txt": record(132540, *doubtful, gender="0", weight="-1"),
        "set-a/132541.txt": record(132541, "00:05,HR,120", age="15"),
        "set-a/132543.txt": record(132543, "00:05,HR,130", "10:00,HR,44", age="90", unit="1", gender="-1"),
        "Outcomes-a.txt": "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
        "132539,6,1,5,-1,0\n132540,16,8,8,-1,0\n132541,21,11,19,-1,0\n132543,7,1,9,3,1\n",
    }


def write_archive(path: Path, files: Mapping[str, str] | None = None) -> Path:
    """A .tar.gz of the files."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in (challenge_files() if files is None else files).items():
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_folder(folder: Path, files: Mapping[str, str] | None = None) -> Path:
    """The files below a folder."""
    for name, text in (challenge_files() if files is None else files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder
