"""What a trial of `defaults` does."""

from __future__ import annotations

import re
from collections.abc import Callable

from caveatlib.errors import MeasurementError
from caveatlib.experiments.defaults import ipvs, room
from caveatlib.experiments.defaults.designs import (
    CALLS,
    CLOSE,
    LOG,
    NAMES,
    NETWORK,
    PROBE,
    REAP,
    ROOM,
    SERVICE,
)
from caveatlib.experiments.defaults.operations import OPERATIONS, listed
from caveatlib.instruments import calls
from caveatlib.places.base import TrialResult


def trial(place, conditions: dict, *, seed: int) -> TrialResult:
    """Let a container try what it may do, or do something usual.

    Parameters
    ----------
    place : Containers, Guests or Asked
    conditions : dict
        ``task``, ``setting``, ``lines``.
    seed : int
        Unused: nothing in a trial is random.
    """
    return TrialResult(_TASKS[conditions["task"]](place, conditions))


def _probe(place, conditions: dict) -> dict[str, object]:
    return probed(place.probe(conditions["setting"])) | place.says()


def probed(text: str) -> dict[str, object]:
    """Return what `attempt.c` wrote, as columns of `schema.Trials`.

    Raises
    ------
    MeasurementError
        If not all was tried.
    """
    # "seen seccomp 1", "= mount 1", with what an engine or a guest's firmware writes around it
    answers = {n: int(said) for n, said in re.findall(r"= ([a-z][\w-]*) (-?\d+)\r?\n", text)}
    seen = {n: float(value) for n, value in re.findall(r"seen (\w+) (\d+)\r?\n", text)}
    if lacking := OPERATIONS.keys() - answers.keys():
        raise MeasurementError(
            f"{len(lacking)} operations were not tried, {min(lacking)!r} first: {text[-80:]!r}."
        )
    return {
        "refused": listed(answers),
        "tried": float(len(answers)),
        "refusals": float(sum(map(bool, answers.values()))),
        **{f"seen_{name}": value for name, value in seen.items()},
    }


def _calls(place, conditions: dict) -> dict[str, object]:
    first_output_s, said = place.calls(conditions["setting"])
    return {"first_output_s": first_output_s, **calls.costs(said)}


_TASKS: dict[str, Callable] = {
    PROBE: _probe,
    CALLS: _calls,
    LOG: lambda place, given: place.log(given["setting"], given["lines"]),
    NETWORK: lambda place, given: place.network(given["setting"]),
    CLOSE: lambda place, given: place.close_all(given["setting"]),
    REAP: lambda place, given: {"zombies": place.reap(given["setting"])},
    NAMES: lambda place, given: {"resolved": float(place.names(given["setting"]))},
    SERVICE: lambda place, given: ipvs.read(place.ask(given["setting"])),
    ROOM: lambda place, given: room.read(place.ask(given["setting"])),
}
