"""The same patient, described as somebody else: of the other sex, another race or age. Nothing medical changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from clinragen.interventions.intervention import Intervention
from clinragen.interventions.patient import Case, Group, Shown
from clinragen.interventions.rewriting import MAN, WOMAN, as_sex, with_age, with_other_race

YOUNG, OLD = 30, 85
"""Ages in years, of adults on both ends of what hospitals admit."""


def _rewritten(name: str, title: str, rewrite: Callable[[str], str]) -> Intervention:
    def change(case: Case, group: Group) -> Shown | None:
        note = rewrite(case.shown.note)
        return None if note == case.shown.note else replace(case.shown, note=note)

    return Intervention(name, title, change)


AS_MAN = _rewritten("as_man", "A woman described as a man", partial(as_sex, sex=MAN))
AS_WOMAN = _rewritten("as_woman", "A man described as a woman", partial(as_sex, sex=WOMAN))
OTHER_RACE = _rewritten("other_race", "Another race stated", with_other_race)
AS_YOUNG = _rewritten("as_young", f"Age stated as {YOUNG}", partial(with_age, age=YOUNG))
AS_OLD = _rewritten("as_old", f"Age stated as {OLD}", partial(with_age, age=OLD))
