"""Read a world.yaml: every entry is checked, and an error names the entry and the expected value.

A user's own world is a folder with a world.yaml (what is true) and a phrases.yaml (how it is written).
"""

from __future__ import annotations

from dataclasses import fields
from importlib.resources import as_file, files
from pathlib import Path

from dataset_builder.contract.definitions import Definitions, shipped_definitions
from dataset_builder.synthetic.entries import Entry
from dataset_builder.synthetic.world import (
    Artifact,
    Charting,
    Condition,
    Confounder,
    Course,
    Effect,
    Item,
    NoteRules,
    Physiology,
    Rates,
    Schedule,
    Service,
    World,
    WorldDisease,
)

EVIDENCE = ("note", "labs", "both", "ambiguous")
KINDS = ("negated", "family", "historical", "differential")
PRESSURES = ("systolic_blood_pressure", "diastolic_blood_pressure")
# The variables that this hospital charts, whatever else a vocabulary has; systolic and diastolic pressure follow from
# the mean. Their order is that of the random draws.
CHARTED = (
    "fraction_inspired_oxygen",
    "glucose",
    "heart_rate",
    "mean_blood_pressure",
    "oxygen_saturation",
    "respiratory_rate",
    "temperature",
    "weight",
    "ph",
)
ALWAYS = (0.0, 0.0)
ITEMS = (
    "heart_rate abp_systolic abp_diastolic abp_mean nbp_systolic nbp_diastolic nbp_mean respiratory_rate spo2 "
    "serum_glucose temperature_f temperature_c arterial_ph fio2 daily_weight fingerstick admission_weight_kg "
    "admission_weight_lbs"
)
REGISTRATION = (
    "admission_type admission_location discharge_location insurance language marital_status race anchor_year_group"
)


def _effect(entry: Entry) -> Effect:
    entry.only("variable", "to", "by", "trend", "spread", "chance")
    variable = entry.get("variable").choice(CHARTED, "variable (pressures act through mean_blood_pressure)")
    kinds = [kind for kind in ("to", "by", "trend", "spread") if kind in entry.value]
    if len(kinds) != 1:
        entry.fail("needs exactly one of to, by, trend, spread")
    mild, severe = entry.get(kinds[0]).pair(rising=False)
    if kinds[0] == "to" and mild == severe:
        entry.get("to").fail("needs two different levels, mild and severe")
    return Effect(variable, kinds[0], mild, severe, entry.get("chance", 1.0).share())


def _course(entry: Entry) -> Course:
    entry.only("share", "chronic", "onset", "ramp", "plateau", "recovery", "effects")
    chronic = entry.get("chronic", False).value is True
    times = [ALWAYS if chronic else entry.get(name).pair() for name in ("onset", "ramp", "plateau", "recovery")]
    effects = tuple(_effect(item) for item in entry.get("effects").list())
    if not any(effect.chance == 1.0 for effect in effects):
        entry.get("effects").fail("needs one effect without a chance, or a patient may show nothing")
    share = entry.get("share").share()
    return Course(share, chronic, times[0], times[1], times[2], times[3], effects)


def _weights(entry: Entry, known: tuple[str, ...]) -> dict[str, float]:
    entry.only(*known)
    weights = {key: item.share() for key, item in entry.items()}
    if abs(sum(weights.values()) - 1.0) > 1e-9:
        entry.fail("must have weights that add up to 1")
    return weights


def _disease(
    key: str, entry: Entry, chronic: bool, factors: tuple[str, ...], groups: dict[str, tuple[str, ...]]
) -> WorldDisease:
    names = ("prevalence", "loadings", "evidence", "group", "courses", "codes", "drugs", "mortality", "service")
    entry.only(*names)
    loadings = {name: item.number(-1, 1) for name, item in entry.get("loadings").items()}
    entry.get("loadings").only(*factors)
    if sum(value**2 for value in loadings.values()) >= 1:
        entry.get("loadings").fail("must have squares that add up to less than 1")
    evidence = _weights(entry.get("evidence"), EVIDENCE)
    courses = tuple(_course(item) for item in entry.get("courses", []).list())
    if set(evidence) != {"note"} and abs(sum(course.share for course in courses) - 1.0) > 1e-9:
        entry.fail("has evidence in the series and needs courses whose shares add up to 1")
    group = entry.get("group", "").text()
    if ("ambiguous" in evidence) != bool(group):
        entry.fail("needs a group if, and only if, some of its evidence is ambiguous")
    if group and key not in groups.get(group, ()):
        entry.get("group").fail(f"'{group}' does not list this disease under groups")
    codes = {version: entry.get("codes").get(version).texts() for version in (9, 10)}
    return WorldDisease(
        key=key,
        chronic=chronic,
        prevalence=entry.get("prevalence").number(0.0, 0.95),
        loadings=loadings,
        evidence=evidence,
        group=group,
        courses=courses,
        codes=codes,
        drugs=entry.get("drugs", []).texts(),
        mortality=entry.get("mortality", 0.0).share(),
        service=entry.get("service", "").text(),
    )


def _diseases(
    root: Entry, kinds: dict[str, str], factors: tuple[str, ...], groups: dict[str, tuple[str, ...]]
) -> dict[str, WorldDisease]:
    entry = root.get("diseases")
    entry.only(*kinds)
    return {
        key: _disease(key, entry.get(key), kind == "chronic", factors, groups)
        for key, kind in kinds.items()
        if key in entry.value
    }


def _exclusive(root: Entry, diseases: dict[str, WorldDisease]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for entry in root.get("exclusive").list():
        names = [item.choice(diseases, "disease") for item in entry.list()]
        if len(names) != 2:
            entry.fail("must be a list of two diseases")
        if diseases[names[0]].loadings != diseases[names[1]].loadings:
            entry.fail("share one liability, so both need the same loadings")
        pairs.append((names[0], names[1]))
    return tuple(pairs)


def _physiology(root: Entry) -> dict[str, Physiology]:
    entry = root.get("variables")
    entry.only(*CHARTED)
    found = {}
    for key in CHARTED:
        item = entry.get(key)
        item.only("mean", "between", "drift", "reading", "limits", "decimals")
        found[key] = Physiology(
            item.get("mean").number(),
            item.get("between").number(0),
            item.get("drift").number(0),
            item.get("reading").number(0),
            item.get("limits").pair(),
            int(item.get("decimals").number(0, 6)),
        )
    return found


def _schedule(root: Entry) -> Schedule:
    entry = root.get("schedule")
    names = [field.name for field in fields(Schedule)]
    entry.only(*names)
    panels = {}
    for name in names[1:]:
        panel = entry.get(name)
        early, late = panel.get("early"), panel.get("late")
        for gaps in (early, late):
            if gaps.pair()[0] <= 0:
                gaps.fail("must be longer than 0 hours")
        panels[name] = Charting(early.pair(), late.pair(), panel.get("keep").share())
    return Schedule(early_hours=entry.get("early_hours").number(0), **panels)


def _items(entry: Entry, needed: tuple[str, ...]) -> dict[str, Item]:
    entry.only(*needed)
    found = {}
    for key in needed:
        item = entry.get(key)
        normal = item.get("range").pair() if "range" in item.value else None
        words = {name: item.get(name, "").text() for name in ("label", "abbreviation", "fluid", "category", "unit")}
        found[key] = Item(int(item.get("id").number(1)), normal=normal, **words)
    return found


def _services(root: Entry, diseases: dict[str, WorldDisease]) -> dict[str, Service]:
    entry = root.get("services")
    found = {}
    for name, item in entry.items():
        item.only("units", "ward", "note")
        found[name] = Service(item.get("units").texts(), item.get("ward").text(), item.get("note").text())
    for disease in diseases.values():
        if disease.service and disease.service not in found:
            entry.fail(f"lacks the service '{disease.service}' of the disease {disease.key}")
    return found


def _registration(root: Entry) -> dict[str, tuple[str, ...]]:
    entry = root.get("registration")
    entry.only(*REGISTRATION.split())
    return {name: entry.get(name).texts() for name in REGISTRATION.split()}


def _conditions(root: Entry) -> tuple[Condition, ...]:
    found = []
    for entry in root.get("conditions").list():
        entry.only("names", "drug", "codes", "sex", "surgical")
        found.append(
            Condition(
                names=entry.get("names").texts(),
                drug=entry.get("drug").text(),
                codes={version: entry.get("codes").get(version).text() for version in (9, 10)},
                sex=entry.get("sex", "").text(),
                surgical=entry.get("surgical", False).value is True,
            )
        )
    return tuple(found)


def _untidiness(root: Entry, variables: dict[str, Physiology], items: dict[str, Item]) -> dict[str, tuple]:
    confounders, artifacts = [], []
    for entry in root.get("confounders").list():
        entry.only("name", "variable", "by", "readings", "share")
        confounders.append(
            Confounder(
                entry.get("name").text(),
                entry.get("variable").choice(variables, "variable"),
                entry.get("by").pair(),
                int(entry.get("readings").number(1, 3)),
                entry.get("share").share(),
            )
        )
    for entry in root.get("artifacts").list():
        entry.only("item", "value", "share")
        item = entry.get("item").choice(items, "item")
        artifacts.append(Artifact(item, entry.get("value").number(), entry.get("share").share()))
    return {"confounders": tuple(confounders), "artifacts": tuple(artifacts)}


def _note_rules(root: Entry) -> NoteRules:
    entry = root.get("notes")
    entry.only(*(field.name for field in fields(NoteRules)))
    return NoteRules(
        mentions=entry.get("mentions").pair(),
        kinds=_weights(entry.get("kinds"), KINDS),
        second_phrase=entry.get("second_phrase").share(),
        history_in_opening=entry.get("history_in_opening").share(),
        conditions=entry.get("conditions").pair(),
        general_drugs=entry.get("general_drugs").pair(),
        organs=entry.get("organs").share(),
    )


def read_world(path: Path, definitions: Definitions) -> World:
    """Read and check a world.yaml. Raises `InputDataError` naming the entry and the expected value.

    Args:
        path: The file.
        definitions: Diseases that the world may have besides the shipped ones. It need not have all of them, and
            variables that it does not know are never measured.
    """
    root = Entry.read(path)
    vocabularies = (shipped_definitions().vocabulary, definitions.vocabulary)
    kinds = {disease.key: disease.kind for vocabulary in vocabularies for disease in vocabulary.diseases}
    factors = root.get("factors").texts()
    if "age" not in factors:
        root.get("factors").fail("must contain 'age', from which the patient's age is drawn")
    groups = {name: item.texts() for name, item in root.get("groups").items()}
    diseases = _diseases(root, kinds, factors, groups)
    for name, item in root.get("groups").items():
        for member in item.list():
            if diseases[member.choice(diseases, "disease")].group != name:
                member.fail(f"is listed here, but the disease does not name the group '{name}'")
    physiology = _physiology(root)
    items = _items(root.get("items"), tuple(ITEMS.split()))
    rates = root.get("rates")
    rates.only(*(field.name for field in fields(Rates)))
    stay, age, pulse = root.get("stay_days"), root.get("age"), root.get("pulse_ratio")
    return World(
        factors=factors,
        exclusive=_exclusive(root, diseases),
        groups=groups,
        diseases=diseases,
        physiology=physiology,
        pulse_ratio=(pulse.get("mean").number(0.1, 1.5), pulse.get("between").number(0)),
        memory=root.get("memory").number(0.0, 0.999),
        schedule=_schedule(root),
        rates=Rates(**{field.name: rates.get(field.name).share() for field in fields(Rates)}),
        stay_median_days=stay.get("median").number(0.1),
        stay_sigma=stay.get("sigma").number(0),
        stay_limits_days=stay.get("limits").pair(),
        age=(age.get("mean").number(), age.get("sd").number(0)),
        age_limits=age.get("limits").pair(),
        notes=_note_rules(root),
        services=_services(root, diseases),
        registration=_registration(root),
        items=items,
        lab_items=_items(root.get("lab_items"), ("blood_ph", "blood_glucose")),
        conditions=_conditions(root),
        ward_drugs=root.get("ward_drugs").texts(),
        home_drugs=root.get("home_drugs").texts(),
        **_untidiness(root, physiology, items),
    )


def load_world(folder: Path | None, definitions: Definitions) -> World:
    """The world of `folder` (its world.yaml), or the shipped one; see `read_world`."""
    if folder is not None:
        return read_world(Path(folder) / "world.yaml", definitions)
    with as_file(files("dataset_builder.synthetic") / "world.yaml") as path:
        return read_world(path, definitions)
