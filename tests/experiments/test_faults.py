"""Known faults as packages with right checksums: each is refused, or harmless and said.

Each is a mutation of the recorded first version of an experiment, written as a package and
opened as a reader would. `REFUSED` must be refused with a sentence that has these words;
`SAID` changes no verdict, and the sentences beside the verdicts have these words.

Seen to fail: each fault with the guard that its words are of taken out, each door with
`check_tables` taken out of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, runs, scorecard, store, trials
from caveatlib.errors import DataError
from caveatlib.experiments import by_name
from caveatlib.measuring import finish
from caveatlib.measuring.experiment import complete, tables_of
from caveatlib.stats import match
from caveatlib.support import shipped

pytestmark = pytest.mark.beside
Tables = dict[str, pd.DataFrame]
RUNC, SPACED = {"place": "docker-runc"}, {"place": "namespaces"}
OUTPUTS = ["first_output_s", "last_output_s", "container_output_s"]
MARKS = ["created_s", "start_returned_s", *OUTPUTS]
MARKS += ["first_accept_s", "first_answer_s", "stop_s", "exited_s", "removed_s"]


@cache
def recorded(name: str) -> Tables:
    """Return the tables of an experiment's first version."""
    return store.load(complete(by_name(name)), version=1)


def scaled(where: dict, columns: list[str], factor: float) -> Callable[[Tables], Tables]:
    """Return what multiplies measures of some trials."""

    def change(tables: Tables) -> Tables:
        rows = tables["trials"].copy()
        rows.loc[match(rows, where), columns] *= factor
        return tables | {"trials": rows}

    return change


def on_trials(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Tables], Tables]:
    """Return what changes the trials alone."""
    return lambda tables: (
        tables | {"trials": change(tables["trials"].copy()).reset_index(drop=True)}
    )


def exchanged(column: str, one: str, other: str, **where) -> Callable[[Tables], Tables]:
    """Return what exchanges two labels."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        here = match(rows, where)
        rows.loc[here, column] = rows.loc[here, column].replace({one: other, other: one})
        return rows

    return on_trials(change)


def run_again(tables: Tables) -> Tables:
    """Return the run twice, the second time under another id and an hour later."""
    first = tables["trials"]
    later = pd.to_datetime(first["started_at"]) + pd.Timedelta("1h")
    second = first.assign(run="2026-11-25" + first["run"].str[10:])
    second["started_at"] = later.map(lambda at: at.isoformat(timespec="milliseconds"))
    return tables | {"trials": pd.concat([first, second], ignore_index=True)}


def blocks_as_sessions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the two blocks of each session as sessions of their own."""
    here = rows["design"] == "start"
    rows.loc[rows["run"].isin(rows["run"][here]), "session"] *= 2
    rows.loc[here, "session"] = rows.loc[here, "block"]
    return rows


def all_as_sessions(rows: pd.DataFrame) -> pd.DataFrame:
    """Return only the blocks of one design, each a session of its own."""
    rows = rows[(rows["design"] == "start") & (rows["run"] == rows["run"].iloc[0])].copy()
    rows["session"] = rows["block"]
    return rows


def without_a_session(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["session"] != 4]


def without_a_session_renumbered(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the run without one session, blocks numbered as if nothing were missing."""
    rows = without_a_session(rows)
    rows["block"] -= rows["block"] > 4
    return rows


def in_one_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the trials as if each block had run in the order of the arms, and times drifted."""
    arm = rows.groupby(["place", "workload", "replicate", "at_once", "sleep_s"]).ngroup()
    order = ["run", "design", "block"]
    rows["position"] = arm.groupby([rows[k] for k in order]).rank().astype(int) - 1
    rows[MARKS] = rows[MARKS].mul(1 + 0.05 * rows["position"], axis=0)
    return rows


def first_in_most(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the trials as if the control had run first in nearly each block."""
    for _, block in rows[rows["design"] == "start"].groupby(["run", "block"]):
        again = block.index[block["replicate"] == 1][0]
        other = block.index[block["position"] == 0][0]
        if block["block"].iloc[0] % 9:
            rows.loc[[again, other], "position"] = rows.loc[[other, again], "position"].to_numpy()
    return rows


def copied_control(columns: list[str]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what copies measures of docker-runc into its A/A control."""

    def change(rows: pd.DataFrame) -> pd.DataFrame:
        arm = RUNC | {"design": "start", "workload": "nonce"}
        one, again = (match(rows, arm | {"replicate": k}) for k in (0, 1))
        key = ["run", "block"]
        values = rows[one].set_index(key)[columns]
        rows.loc[again, columns] = values.loc[
            list(rows.loc[again, key].itertuples(False))
        ].to_numpy()
        return rows

    return change


def without_values(rows: pd.DataFrame) -> pd.DataFrame:
    here = match(rows, SPACED | {"design": "start"}) & (rows["block"] % 2 == 0)
    rows.loc[here, "first_output_s"] = np.nan
    return rows


def one_arm_simulated(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(source=rows["source"].where(rows["place"] != "namespaces", "simulated"))


def slow_half_failed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the trials, of which the slower half of an arm has failed."""
    arm = match(rows, {"design": "limit", "pattern": "bursts"})
    slow = arm & (rows["p90_s"] > rows.loc[arm, "p90_s"].median())
    measures = list(rows.columns[rows.columns.get_loc("sampled_s") + 1 :])
    rows.loc[slow, measures] = np.nan
    rows.loc[slow, ["ok", "error"]] = [False, "It took too long."]
    return rows


MEMORY, HAIRPIN = {"design": "many-ports"}, {"place": "engine-hairpin"}
BUILT, DISK = {"workload": "build", **RUNC}, {"work": "disk-gzip"}


def twice(rows: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([rows, rows])


def thousandth(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(content_bytes=rows["content_bytes"] // 1000)


def without_reports(tables: Tables) -> Tables:
    return tables | {"iperf3": tables["iperf3"].assign(report="{}")}


STARTUP = {
    "ms for s, all marks of an arm": (scaled(SPACED, MARKS, 1e3), "longer than its trial"),
    "ms for s, one mark": (scaled(SPACED, ["first_output_s"], 1e3), "comes before"),
    "minutes for s, one build arm": (scaled(BUILT, ["build_s"], 1 / 60), "'build_s' lies outside"),
    "arms exchanged": (exchanged("place", "docker-runc", "namespaces"), "which has none"),
    "zeros in a ratio": (scaled(SPACED, ["first_output_s"], 0), "0 of"),
    "rows twice, sessions": (on_trials(twice), "each arm once"),
    "blocks relabelled as sessions": (on_trials(blocks_as_sessions), "begins at"),
    "blocks alone, as sessions": (on_trials(all_as_sessions), "has no warm-up"),
    "sequential order, drift": (on_trials(in_one_order), "the same order"),
    "control copied": (on_trials(copied_control(MARKS)), "repeat itself"),
    "control copied, some marks": (on_trials(copied_control(OUTPUTS)), "repeat itself"),
    "ok without a value": (on_trials(without_values), "missing from a trial that succeeded"),
    "two sources": (on_trials(one_arm_simulated), r"sources \['recorded', 'simulated'\]"),
    "no start": (on_trials(lambda rows: rows.assign(started_at="")), "is not a time"),
    "infinite": (scaled(SPACED, ["first_output_s"], np.inf), "is infinite"),
}
PORTS = {
    "rate Mbit for Gbit": (scaled(HAIRPIN, ["rate_bit_per_s"], 1e-3), "machine_over_processes"),
    "rate Mbit for Gbit, four": (scaled(HAIRPIN, ["rate_4_bit_per_s"], 1e-3), "iperf3 reported"),
    "GB as Gbit": (scaled(HAIRPIN, ["cpu_s_per_gb"], 8), "share_of_cores"),
    "Gbit as GB": (scaled(HAIRPIN, ["cpu_s_per_gb"], 1 / 8), "machine_over_processes"),
    "GiB for GB": (scaled(HAIRPIN, ["cpu_s_per_gb"], 2**30 / 1e9), "whole ticks"),
    "kB for B, PSS": (scaled(MEMORY, ["pss_bytes"], 1 / 1024), "pss_bytes per process"),
    "zeros for PSS": (scaled(MEMORY, ["pss_bytes"], 0), "Value 0 of 'pss_bytes per process'"),
    "run copied under another id": (run_again, "repeat itself"),
    "tail cut off in a block": (on_trials(lambda rows: rows.iloc[:-3]), "interrupted block"),
    "one session picked out": (on_trials(without_a_session), "Block 4 .* is missing"),
    "one session, renumbered": (on_trials(without_a_session_renumbered), "Session 4 .* is missing"),
    "empty reports": (without_reports, "Report of 'rate_bit_per_s'"),
}
QUOTA = {
    "rows twice, blocks": (on_trials(twice), "each arm once"),
    "window in ms": (scaled({}, ["window_s"], 1e3), "'used_cpus' is"),
}
LAYERS = {
    "cold and warm exchanged": (
        exchanged("work", "pull", "pull-base-there", replicate=0),
        "^Data .* Cold .* of warm",
    ),
    "content_bytes / 1000": (on_trials(thousandth), "moved_bytes over content_bytes"),
    "ms for s, a gzipped disk": (scaled(DISK, ["moved_s"], 1e3), "longer than its trial"),
}
REFUSED = {
    fault: (name, *expected)
    for name, faults in (
        ("startup", STARTUP),
        ("ports", PORTS),
        ("quota", QUOTA),
        ("layers", LAYERS),
    )
    for fault, expected in faults.items()
}
"""Fault -> experiment, mutation, words of the refusal."""
SAID = {
    "slow half failed": ("quota", on_trials(slow_half_failed), "quota-latency", "10 trials of"),
}
"""Fault -> experiment, mutation, claim, words beside its verdict."""


def opened(folder, name: str, change: Callable[[Tables], Tables]) -> trials.Run:
    """Write a mutated recording as somebody else's package, and open it."""
    return trials.open(by_name(name), source=written(folder, name, change).parent)


def written(folder, name: str, change: Callable[[Tables], Tables], inner: str = "") -> Path:
    """Write a mutated recording as somebody else's package."""
    experiment = complete(by_name(name))
    tables = change(recorded(name))
    about = {"title": experiment.QUESTION, "summary": pd.DataFrame(), "verdicts": []}
    target = folder / (inner or name)
    finish.write_package(target, name, tables, tables_of(experiment), **about)
    return target


@pytest.mark.parametrize("fault", REFUSED)
def test_a_fault_is_refused(tmp_path, fault):
    """Whoever opens it is told which value, and which rule it breaks."""
    name, change, words = REFUSED[fault]
    run = opened(tmp_path, name, change)
    with pytest.raises(DataError, match=words) as caught:
        run.verdicts()
    assert re.match(rf"Data package '{name}' cannot be: \S", str(caught.value))


@pytest.mark.parametrize("fault", SAID)
def test_a_fault_that_is_taken_in_is_said(tmp_path, fault):
    """No verdict is another, and the card of what is touched says what is wrong."""
    name, change, claim, words = SAID[fault]
    before = {v.claim: v for v in complete(by_name(name)).verdicts(recorded(name)["trials"])}
    after = {v.claim: v for v in opened(tmp_path, name, change).verdicts()}
    assert {k: v.verdict for k, v in after.items()} == {k: v.verdict for k, v in before.items()}
    assert re.search(words, str(after[claim]))
    assert not re.search(words, str(before[claim]))


@pytest.mark.parametrize("name", ["layers", "ports", "quota", "startup"])
def test_what_is_sound_is_taken_in(tmp_path, name):
    """The recorded trials pass the same gate, and decide what they decided."""
    run = opened(tmp_path, name, dict)
    assert isinstance(run.verdicts(), claims.Verdicts)


def loaded(folder, data):
    written(data, *FAULT, inner="ports-v1")
    return store.load(PORTS_COMPLETE, version=1)


def recorded_anew(folder, data):
    run = written(folder / "run", *FAULT)
    try:
        return store.record(PORTS_COMPLETE, [run], version=1)
    finally:
        assert not list(data.iterdir())


def added_to_a_version(folder, data):
    """Record a run that is sound by itself beside one that it is a copy of."""
    first = written(folder / "first", "ports", dict)
    second = written(folder / "second", "ports", again_alone)
    return store.record(PORTS_COMPLETE, [first, second], version=2)


def again_alone(tables: Tables) -> Tables:
    """Return the same trials as if another run had measured them an hour later."""
    both = run_again(tables)["trials"]
    run = both["run"].iloc[-1]
    others = {name: table.assign(run=run) for name, table in tables.items() if name != "trials"}
    return others | {"trials": both[both["run"] == run].reset_index(drop=True)}


def judged(folder, data):
    return scorecard.table(str(written(folder, *FAULT).parent))


DOORS = {
    "store.load": loaded,
    "store.load_run": lambda folder, data: store.load_run(written(folder, *FAULT), PORTS_COMPLETE),
    "trials.open": lambda folder, data: opened(folder, *FAULT).trials,
    "store.record, one run": recorded_anew,
    "store.record, with a version": added_to_a_version,
    "runs.check": lambda folder, data: list(runs.check(written(folder, *FAULT))),
    "runs.pool": lambda folder, data: [
        runs.pool(found) for found in runs.checked([written(folder, *FAULT)])
    ],
    "runs.compare": lambda folder, data: runs.sides(
        runs.found(written(folder, *FAULT).parent)["ports"]
    ),
    "scorecard": judged,
}
"""Every way in, each given a package with a right checksum that cannot be."""
FAULT = ("ports", on_trials(without_a_session))
PORTS_COMPLETE = complete(by_name("ports"))


@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_a_fault_in(tmp_path, monkeypatch, door):
    """Whichever way data come in, the guards have looked at them; nothing is recorded."""
    recorded("ports")  # before other data stand in their place
    data = tmp_path / "checkout" / "data"
    data.mkdir(parents=True)
    monkeypatch.setattr(shipped, "folder", lambda name: data)
    words = r"repeat itself|equal times" if "version" in door else r"Block 4 .* is missing"
    with pytest.raises(DataError, match=words):
        DOORS[door](tmp_path, data)


def test_a_run_that_cannot_be_is_not_finished(tmp_path, monkeypatch):
    """The guards run when a journal becomes a package; the journal stays, no package is there."""
    fault = recorded("ports") | {"trials": without_a_session(recorded("ports")["trials"])}
    monkeypatch.setattr(finish, "from_journal", lambda experiment, path: fault)
    with pytest.raises(DataError, match=r"Block 4 .* is missing"):
        finish.finish(PORTS_COMPLETE, tmp_path)
    assert not (tmp_path / "ports").exists()
