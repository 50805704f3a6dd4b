"""The tables of `recovery`, and what holds in each row of its trials."""

from __future__ import annotations

import pandas as pd
from pandera.typing.pandas import Series

from caveatlib import frames
from caveatlib.errors import DataError
from caveatlib.experiments.recovery.asking import RATE
from caveatlib.experiments.recovery.striking import AFTER_S, WATCH_S
from caveatlib.stats import guards

KEEPERS = (
    "nobody",
    "runsv",
    "on-failure",
    "always",
    "unless-stopped",
    "health",
    "autoheal",
    "swarm",
)
FAULTS = ("none", "pause", "crash", "hang", "node", "cut")
MOST_REPLICAS = 3
CLIENT_LATE_S = 0.4
"""A client that was later than this was no open loop."""
SHORT = 2
"""Requests that a count may lack of those due while a trial was watched, at both its ends."""
NEEDS = (
    *("requests", "lost", "missed", "answered_share", "lacking", "unkept", "twice", "ready_s"),
    *("keeper_processes", "keeper_bytes", "keeper_ports", "client_late_s"),
)
"""Measures without which a trial has failed."""
PHASES = ("noticed_s", "restarted_s", "answered_s", "back_s")
"""In this order, as far as they are there."""


class Trials(frames.Trials):
    """One service that is asked a hundred times a second, and what happens to it."""

    keeper: Series[str] = frames.field("Who keeps the service alive", isin=KEEPERS)
    fault: Series[str] = frames.field(
        "What happens: a process is killed or stopped, its node is killed or cut off; none; or "
        "pause, a process stopped and continued, whose effect is known",
        isin=FAULTS,
    )
    replicas: Series[int] = frames.field(
        "Replicas that are desired; of three a crash hits two", ge=1, le=MOST_REPLICAS
    )
    replicate: Series[int] = frames.field("1 for the A/A control, else 0", isin=(0, 1))
    noticed_s: Series[float] = frames.measure(
        "Fault until the keeper knew of it: a container's death or ill health by the engine's "
        "events, a task given up by the manager (looked for every 0.1 s); empty if nothing tells",
        "s",
    )
    restarted_s: Series[float] = frames.measure(
        "Fault until the first process that took the place of one hit had begun", "s"
    )
    answered_s: Series[float] = frames.measure(
        "Fault until the first answer of such a process to the client", "s"
    )
    back_s: Series[float] = frames.measure(
        "Fault until as many replicas as desired answered again", "s"
    )
    recovered: Series[float] = frames.measure(
        "1 if all replicas that were hit were replaced within the watch, else 0", le=1
    )
    lacking: Series[float] = frames.measure(
        "Replicas that did not answer at the end of the watch", le=MOST_REPLICAS
    )
    requests: Series[float] = frames.measure(
        "Requests due from the fault to the end of the watch, each sent to all replicas"
    )
    lost: Series[float] = frames.measure("Of these, those that no replica answered in 0.5 s")
    missed: Series[float] = frames.measure(
        "Of these, those that one replica did not answer, each replica in its turn"
    )
    answered_share: Series[float] = frames.measure("Share of these that were answered", le=1)
    silent_s: Series[float] = frames.measure("Time in which requests were due that were lost", "s")
    unkept: Series[float] = frames.measure(
        "Tickets that a client was given and that are not on the volume afterwards"
    )
    twice: Series[float] = frames.measure(
        "Tickets that two processes wrote to the volume for one slot"
    )
    still_serving: Series[float] = frames.measure(
        "1 if a process on the node that was cut off went on answering there after its "
        "replacement answered elsewhere, else 0",
        le=1,
    )
    ready_s: Series[float] = frames.measure("Asking the keeper until all replicas answered", "s")
    keeper_processes: Series[float] = frames.measure(
        "Processes that keep the service, it and ours left out, on all nodes"
    )
    keeper_bytes: Series[float] = frames.measure(
        "Their memory, resident set size: a proportional one would split among nodes, which share "
        "a kernel here, what each machine has for itself",
        "B",
    )
    keeper_ports: Series[float] = frames.measure("Ports that they listen on, on all nodes")
    client_late_s: Series[float] = frames.measure(
        "By how much the client sent a request late at worst", "s"
    )


class Timeline(frames.OfTrial):
    """When the number of replicas that answered changed."""

    keeper: Series[str] = frames.field("Who keeps the service alive")
    fault: Series[str] = frames.field("What happens")
    replicas: Series[int] = frames.field("Replicas that are desired", ge=1)
    t_s: Series[float] = frames.field("Since the fault", "s", ge=-60)
    answering: Series[int] = frames.field("Replicas that answered, from then on", ge=0)


TABLES = {"timeline": Timeline}


def check_row(row: guards.Row) -> None:
    """Validate that all is there, in order, and that counts agree.

    Raises
    ------
    DataError
        Names the values.
    """
    guards.needs(row, NEEDS)
    guards.no_zeros(row, ["requests", "ready_s"])
    _all_due(row)
    guards.inside(row, ["lost", "missed"], most=guards.number(row, "requests"))
    guards.inside(row, ["lacking"], most=guards.number(row, "replicas"))
    guards.inside(row, ["client_late_s"], most=CLIENT_LATE_S)
    guards.increasing(row, PHASES)
    if row["fault"] not in ("none", "pause"):
        guards.needs(row, ["recovered"])
    back = guards.number(row, "back_s") == guards.number(row, "back_s")
    if guards.number(row, "recovered") == guards.number(row, "recovered") and back != bool(
        row["recovered"]
    ):
        raise DataError(
            f"Value {row['recovered']} of 'recovered' beside {row['back_s']} of 'back_s'. "
            "Must be 1 where all replicas were back, else 0."
        )


def _all_due(row: guards.Row) -> None:
    """Require as many requests as are due while a trial is watched at least."""
    fault, back = str(row["fault"]), guards.number(row, "back_s")
    watched = WATCH_S[fault] if back != back else min(WATCH_S[fault], back + AFTER_S[fault])
    asked, due = guards.number(row, "requests"), RATE * watched
    if asked < due - SHORT:
        raise DataError(
            f"Value {asked:g} of 'requests' beside {watched:.3g} s watched. Must be {due:.0f} or "
            f"more, {RATE} a second; did the client stop?"
        )


def check(trials: pd.DataFrame) -> None:
    """Validate that nothing took longer than its trial.

    Raises
    ------
    DataError
        A unit was lost: milliseconds are called seconds.
    """
    guards.fits(trials, [*PHASES, "silent_s", "ready_s"])
