"""The forms in which a series may be given are one series to the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_inputs import NOTES

from modeling_clinragen.errors import ModelInputError
from modeling_clinragen.feature_extraction_clinragen import ClinRaGenLabFeatureExtractor
from modeling_clinragen.knowledge_map_clinragen import map_knowledge
from modeling_clinragen.processing_clinragen import ClinRaGenProcessor

HOURS = [0.5, 2.0, 2.0, 7.25]


def same(one: Any, other: Any) -> None:
    """Both are the same hours and values, with gaps at the same places."""
    np.testing.assert_array_equal(one["hours"], other["hours"])
    np.testing.assert_array_equal(one["values"], other["values"])


@settings(max_examples=60)
@given(data=st.data())
def test_columns_and_tables_are_the_series_that_they_were_made_of(data: st.DataObject, make_processor: Any) -> None:
    processor = make_processor()
    variables = processor.vocabulary.variables
    hours = np.array(sorted(data.draw(st.lists(st.floats(0, 99), min_size=1, max_size=5))))
    chosen = data.draw(st.lists(st.sampled_from(range(len(variables))), unique=True))
    number = st.none() | st.floats(-9, 999)
    values = np.full((len(hours), len(variables)), np.nan)
    columns: dict[str, Any] = {}
    for index in chosen:
        column = data.draw(st.lists(number, min_size=len(hours), max_size=len(hours)))
        values[:, index] = [np.nan if value is None else value for value in column]
        variable = variables[index]
        title = data.draw(st.sampled_from([variable.key, variable.name, variable.name.upper(), *variable.aliases]))
        title += data.draw(st.sampled_from(["", f" ({variable.unit})", f" [{variable.unit}]"]))
        columns[title] = column
    expected = {"hours": hours, "values": values}
    order = data.draw(st.permutations(["hours", *columns]))
    mapping = {title: {"hours": hours, **columns}[title] for title in order}
    same(processor.standard_series(mapping), expected)
    table = pd.DataFrame(mapping)
    same(processor.standard_series(table), expected)
    same(processor.standard_series(table.convert_dtypes()), expected)
    indexed = table.set_index("hours")
    same(processor.standard_series(indexed), expected)
    same(
        processor.standard_series(indexed.set_index(pd.to_timedelta(hours.round(3), unit="h"))),
        {"hours": pd.to_timedelta(hours.round(3), unit="h").to_numpy() / np.timedelta64(1, "h"), "values": values},
    )


def test_every_form_gives_the_same_inputs_alone_and_in_a_batch(make_processor: Any) -> None:
    processor = make_processor()
    keys = processor.vocabulary.variable_keys
    values = np.full((4, len(keys)), np.nan)
    values[:, keys.index("heart_rate")] = [80, 90, np.nan, 120]
    values[2, keys.index("temperature")] = 38.5
    standard = {"hours": HOURS, "values": values}
    columns = {"temperature": [None, None, 38.5, None], "hours": HOURS, "heart_rate": [80, 90, None, 120]}
    table = pd.DataFrame(columns)
    expected = processor(NOTES[0], standard)
    named = {"hours": HOURS, "values": table.drop(columns="hours")}
    shouted = {"HOURS": HOURS, "Heart Rate": columns["heart_rate"], "TEMPERATURE": columns["temperature"]}
    for form in (columns, table, table.set_index("hours"), named, shouted):
        for inputs in (processor(text=NOTES[0], series=form), processor(note=[NOTES[0]], series=[form])):
            assert inputs.keys() == expected.keys()
            for name, value in inputs.items():
                np.testing.assert_array_equal(value, expected[name])
        report = processor.read_report(NOTES[0], form)
        assert report == processor.read_report(NOTES[0], standard)
        assert set(report.measured) == {"heart_rate", "temperature"}
    mixed = processor(text=[NOTES[0]] * 4, series=[standard, None, columns, table])
    assert mixed["lab_mask"].any(dim=1).tolist() == [True, False, True, True]


def test_measurements_at_hours_of_their_own_are_one_row_for_each_hour(make_processor: Any) -> None:
    processor = make_processor()
    keys = processor.vocabulary.variable_keys
    given_series = {"heart_rate": [(2.0, 90), (0.5, 80)], "Temperature": {0.5: 37.0, 3.0: 38.5}, "spo2": []}
    found = processor.standard_series(given_series)
    assert found["hours"].tolist() == [0.5, 2.0, 3.0]
    assert found["values"][:2, keys.index("heart_rate")].tolist() == [80, 90]
    assert found["values"][[0, 2], keys.index("temperature")].tolist() == [37.0, 38.5]
    assert np.isfinite(found["values"]).sum() == 4


def test_units_in_the_title_are_converted(make_processor: Any, lactate_vocabulary: Any) -> None:
    processor = make_processor(vocabulary=lactate_vocabulary)
    for title, factor in (("lactate", 1.0), ("Lactate (mmol/L)", 1.0), ("lactate [MG/dl]", 0.111)):
        found = processor.standard_series({"hours": [1.0], title: [20.0]})
        assert found["values"][0, -1] == pytest.approx(20.0 * factor)
    with pytest.raises(ModelInputError, match=r"unit of 'lactate \(stone\)' is unknown; use one of mmol/L, mg/dL"):
        processor.standard_series({"hours": [1.0], "lactate (stone)": [20.0]})


def test_without_a_vocabulary_the_keys_are_known(tiny_tokenizer: Any) -> None:
    extractor = ClinRaGenLabFeatureExtractor(["a_b", "c"], ["g", "m"], [0, 0], [1, 1])
    processor = ClinRaGenProcessor(extractor, tiny_tokenizer)
    found = processor.standard_series({"hours": [1, 2], "c": [3, 4], "a b": [5, None]})
    np.testing.assert_array_equal(found["values"], [[5, 3], [np.nan, 4]])


def test_the_map_of_knowledge_takes_them_too(make_model: Any, make_processor: Any) -> None:
    model, processor = make_model("t5"), make_processor()
    table = pd.DataFrame({"heart_rate": [80.0, 120.0]}, index=[0.5, 3.0])
    attended = map_knowledge(model, processor, table)
    assert attended.hours.tolist() == [[0.5, 3.0]]


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown columns": (
        {"hours": [1], "pulse_ox": [97], "heart_rate": [80], "color": [1]},
        "unknown columns: 'pulse_ox', 'color'; this model knows hours, .*heart_rate",
    ),
    "an unknown column of a table": (pd.DataFrame({"hours": [1], "bun": [7]}), "unknown columns: 'bun';"),
    "values for titles": (pd.DataFrame({"hours": [1], "81.5": [7]}), "one without a letter in its name;"),
    "values without hours": ({"values": [[1.0]]}, "no 'hours'"),
    "columns without hours": ({"heart_rate": [80, 90, 70]}, "no 'hours', and 'heart_rate' is not a list of pairs"),
    "a table without hours": (pd.DataFrame({"heart_rate": [80, 90]}), "its index only numbers the rows"),
    "dates": (
        pd.DataFrame({"heart_rate": [80]}, index=pd.to_datetime(["2020-01-01"])),
        "subtract the time of ICU admission",
    ),
    "dates in a column": (
        {"hours": np.array(["2020-01-01"], dtype="datetime64[D]"), "heart_rate": [80]},
        "subtract the time of ICU admission",
    ),
    "one variable twice": ({"hours": [1], "heart_rate": [80], "Heart rate": [81]}, "are one variable; keep one"),
    "one column twice": (pd.DataFrame([[1, 80, 81]], columns=["hours", "hr", "hr"]), "'hr' more than once"),
    "another number of values": (
        {"hours": [1, 2], "heart_rate": [80]},
        r"2 hours but 'heart_rate' has the shape \(1,\)",
    ),
    "two values for an hour": ({"heart_rate": [(1, 80), (1, 81)]}, "two values for one hour"),
    "an hour that is none": ({"heart_rate": [(None, 80)]}, "no hour"),
    "words": ({"hours": [1], "heart_rate": ["hidden"]}, "'heart_rate' has values other than numbers"),
    "words in a table": (pd.DataFrame({"hours": [1], "heart_rate": ["hidden"]}), "values other than numbers"),
    "hours that are words": ({"hours": ["hidden"], "heart_rate": [80]}, "'hours' has values other than numbers"),
    "something else": ([[1.0, 80.0]], "given as list; give a mapping"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_series_is_refused_without_showing_a_value(case: str, make_processor: Any) -> None:
    series, expected = REFUSED[case]
    with pytest.raises(ModelInputError, match=expected) as raised:
        make_processor()(note=[NOTES[0]], series=[series])
    assert "hidden" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_a_note_and_a_text_are_one_argument(make_processor: Any) -> None:
    processor = make_processor()
    with pytest.raises(ModelInputError, match="two names of one argument"):
        processor(NOTES[0], text=NOTES[0])
    for given_note in (NOTES[0], NOTES):
        named, placed = processor(text=given_note), processor(given_note)
        assert all((named[name] == placed[name]).all() for name in placed)
