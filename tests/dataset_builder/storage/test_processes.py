"""Who the processes of a command are, what they tell each other, and how they hear of each other's end."""

from __future__ import annotations

from typing import Any

import pytest
from threaded_processes import PROCESSES, of_each, two_processes

from dataset_builder.storage.processes import Processes, processes_of
from modeling_clinragen.errors import SettingsError, StageError


def test_the_others_hear_of_an_error_and_it_is_the_one_that_is_raised() -> None:
    first, second = two_processes()
    with pytest.raises(ZeroDivisionError), first.together():
        raise ZeroDivisionError
    with pytest.raises(StageError, match="another of the processes"), second.together():
        second.share()


@pytest.mark.parametrize(
    "message",
    ["[/x/gloo/transport/tcp/pair.cc:553] Connection closed by peer", "[/x/gloo/transport/a.cc:1] Timed out"],
)
def test_a_lost_process_is_said_in_one_line_and_another_error_as_it_is(message: str) -> None:
    with (
        pytest.raises(StageError, match="has ended; see its message") as caught,
        two_processes()[0].together(),
    ):
        raise RuntimeError(message)
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"), two_processes()[0].together():
        raise RuntimeError("shapes do not fit")
    with pytest.raises(RuntimeError, match="gloo"), Processes().together():
        raise RuntimeError(message)


def test_processes_that_have_the_same_go_on_and_others_all_hear_where_they_differ() -> None:
    assert of_each(lambda own: own.require_same("a", {"one": [1, 2], "two": None})) == ["", ""]
    values: list[dict[str, Any]] = [{"one": 1, "two": None}, {"one": 2}]
    said = of_each(lambda own: own.require_same("a stage", values[own.rank]))
    assert said[0] == said[1]
    assert said[0].startswith("a stage: process 1 differs from process 0 in one, two; start all with the same command")
    many = [{str(number): rank for number in range(9)} for rank in range(PROCESSES)]
    assert "in 0, 1, 2, 3 and 5 more;" in of_each(lambda own: own.require_same("a stage", many[own.rank]))[0]


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "2"},
        {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
        {"WORLD_SIZE": "two", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"},
        {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": ""},
    ],
)
def test_half_a_launch_is_refused(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="as torchrun sets them"):
        processes_of(environment)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "1"}, {"RANK": "0"}])
def test_one_process_is_alone(environment: dict[str, str]) -> None:
    processes = processes_of(environment)
    assert (processes.first, processes.count, processes.share({"a": (1,)})) == (True, 1, {"a": (1,)})
