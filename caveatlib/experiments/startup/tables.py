"""Tables of `startup`: what the trials of one machine show, frame in, frame out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from caveatlib import literature, stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.startup.designs import COUNTED_PUBLISHED, FROM, PUBLISHED
from caveatlib.places.machines.published import RELEASES

MACHINES = ("microvm", "full-vm")
"""Virtual machines whose workload is the same as a container's."""
SLOWDOWNS = {
    "integer_slowdown": "integer work",
    "memory_slowdown": "copying",
    "syscall_slowdown": "system calls",
    "fault_slowdown": "page faults",
}
MARKS = ("created_s", "start_returned_s", "first_output_s", "stop_s", "removed_s")
CLIENTS = {
    "http-after": "connects when the start call has returned",
    "http": "connects from the beginning",
}
MADE = {
    "docker-runc": "image, by the classic builder",
    "full-vm": "disk without an operating system, by mkfs.ext4",
}


def starts(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the starts and stops of single workloads, the A/A control left out.

    Containers and processes are those of the design "start", virtual machines
    those of the designs "machine" and "published".
    """
    alone = (trials["design"] == "start") & (trials["replicate"] == 0)
    machines = (trials["design"] == "machine") & trials["place"].isin(MACHINES)
    published = (trials["design"] == "published") & trials["place"].isin(PUBLISHED)
    return trials[alone | machines | published]


@per_machine
def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise starts and stops, one row per place, fastest first.

    Returns
    -------
    pandas.DataFrame
        As `stats.summarize`: n, failed, and for each mark in seconds the
        median with its interval (of the medians of sessions) and quantiles.
    """
    table = stats.summarize(starts(trials), list(MARKS), unit="session")
    if table.empty:
        return table
    return table.sort_values("first_output_s_median", kind="stable")


@per_machine
def phases(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the median marks in seconds since t0, one row per place, fastest first."""
    good = starts(trials)
    table = good[good["ok"]].groupby("place")[list(MARKS)].median()
    return table.sort_values("first_output_s")


@per_machine
def beside_others(trials: pd.DataFrame) -> pd.DataFrame:
    """Return starts of ours, and boots under KVM that others have published.

    Returns
    -------
    pandas.DataFrame
        Columns `what` and `where` in words, `median`, `low` and `high`: for a place of ours
        seconds until its first output with quantiles 0.05 and 0.95; for theirs seconds from
        the start of a monitor's process to its exit, with the same, see
        `literature.boots`. Emulated machines are left out.
    """
    own = starts(trials)
    own = own[own["ok"] & (own["accel"] != "tcg")].groupby("place")["first_output_s"]
    ours = pd.DataFrame(
        {"median": own.median(), "low": own.quantile(0.05), "high": own.quantile(0.95)}
    ).sort_values("median")
    ours = ours.rename_axis("what").reset_index().assign(where="here")
    boots = literature.boots().sort_values("p50_s")
    theirs = boots.rename(
        columns={"monitor": "what", "host": "where", "p50_s": "median", "p05_s": "low",
                 "p95_s": "high"},
    )  # fmt: skip
    columns = ["what", "where", "median", "low", "high"]
    return pd.concat([ours[columns], theirs[columns]], ignore_index=True)


@per_machine
def builds(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per place, what it made of the same files and in how many seconds.

    Returns
    -------
    pandas.DataFrame
        `made` in words, then n, failed and the median with its interval and
        quantiles, as `stats.summarize`, the A/A control left out.
    """
    rows = trials[(trials["design"] == "build") & (trials["replicate"] == 0)]
    table = stats.summarize(rows, "build_s")
    places = table.index.get_level_values("place")
    table.insert(0, "made", [MADE.get(place, "") for place in places])
    return table


@per_machine
def answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return when a web server first accepted and answered, by when its client first connected.

    Returns
    -------
    pandas.DataFrame
        Indexed by client, the one that waits for the start call first, and place, fastest first.
        Median seconds since t0 until the start call returned, a connection was
        accepted, and a request was answered.
    """
    web = trials[(trials["design"] == "answer") & trials["ok"]]
    columns = ["start_returned_s", "first_accept_s", "first_answer_s"]
    tables = {
        words: web[web["workload"] == workload]
        .groupby("place")[columns]
        .median()
        .sort_values("first_answer_s")
        for workload, words in CLIENTS.items()
    }
    return pd.concat(tables, names=["client"])


@per_machine
def idle(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per place and number at once, the time until the last output, and the memory.

    Returns
    -------
    pandas.DataFrame
        `accel`: what runs the guest, ``""`` where there is none; the memory of an emulated
        guest includes the emulator's buffer of translated code. Medians:
        seconds until the last first output; bytes per idle instance as PSS of
        its host processes, as its memory cgroup, and as drop of the host's
        available memory. The drop is NaN unless its 95 % interval lies above
        zero: the host frees and takes memory of its own meanwhile, so the drop
        of a few small instances is often lost in that, or negative.
    """
    together = trials[(trials["design"] == "at-once") & trials["ok"]]
    columns = ["last_output_s", "pss_bytes", "cgroup_bytes", "available_bytes"]
    described = stats.summarize(together, columns, by=["place", "at_once"])
    table = described[[f"{name}_median" for name in columns]].set_axis(columns, axis=1)
    # The low end is NaN, and so not above zero, where there are too few blocks for an interval.
    table["available_bytes"] = table["available_bytes"].where(described["available_bytes_low"] > 0)
    guests = together.groupby(described.index.names)["accel"].first()
    table.insert(0, "accel", guests.reindex(table.index).astype(object).fillna(""))
    return table


@per_machine
def stubborn(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per place, the seconds to stop a workload that handles no SIGTERM."""
    rows = trials[(trials["design"] == "stubborn") & trials["ok"]]
    return rows.groupby("place")[["stop_s"]].median().sort_values("stop_s")


@per_machine
def slowdown(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how many times longer the same work takes in the guest, median per kind of work."""
    rows = trials[(trials["workload"] == "slowdown") & trials["ok"]]
    return rows.groupby(["place", "accel"])[list(SLOWDOWNS)].median()


LIKE_WITH_LIKE = {
    "namespaces over process": ("start", "namespaces", "process", "bare with bare"),
    "runc over namespaces": ("start", "runc", "namespaces", "bare with bare"),
    "microVM over runc": ("machine", "microvm", "runc", "bare with bare"),
    "docker-crun over docker-runc": ("start", "docker-crun", "docker-runc", "managed with managed"),
    "docker-runsc over docker-runc": (
        "start",
        "docker-runsc",
        "docker-runc",
        "managed with managed",
    ),
    "docker-runc over runc": ("start", "docker-runc", "runc", "what the management costs"),
    "full VM over docker-runc": ("machine", "full-vm", "docker-runc", "unequal stacks"),
}
"""Name -> design, arm, baseline, and what kind of pair it is."""


@per_machine
def like_with_like(trials: pd.DataFrame) -> pd.DataFrame:
    """Compare the starts of similar stacks, and of one unequal pair that is often compared.

    Returns
    -------
    pandas.DataFrame
        Indexed by what is compared: number of sessions, ratio of the first
        outputs with its interval (plain and adjusted), and the kind of pair.
    """
    wanted = [
        stats.Contrast(
            name,
            "first_output_s",
            {"design": design, "place": arm, "replicate": 0},
            {"design": design, "place": baseline, "replicate": 0},
            pairing="session",
        )
        for name, (design, arm, baseline, _) in LIKE_WITH_LIKE.items()
    ]
    rows = stats.jointly([(trials, contrast) for contrast in wanted])
    columns = ["n", "estimate", "low", "high", "low_adjusted", "high_adjusted"]
    table = pd.DataFrame(rows).set_index("name")[columns]
    emulated = (trials["accel"] == "tcg").any()
    pairs = [
        kind + (": emulated, decides nothing" if emulated and "VM" in name else "")
        for name, (_, _, _, kind) in LIKE_WITH_LIKE.items()
    ]
    return table.assign(pair=pairs)


BUILT = {
    "image-classic": "image, by the classic builder",
    "image-buildkit": "image, by BuildKit",
    "disk-ext4": "one ext4 disk that boots, by mkfs.ext4",
    "disk-qcow2": "qcow2 on a backing file that boots, and an ext4 disk",
}
"""What each place makes of the application."""


@per_machine
def bootable(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what building the same application took, from nothing and with the base there.

    Returns
    -------
    pandas.DataFrame
        Indexed by what is there at the beginning, and place: `made` in words; n, failed, and
        the median with its interval and quantiles of `build_s`, and of `proof_s`, the seconds in
        which that then started or booted, as `stats.summarize`; the A/A controls left out.
    """
    rows = trials[(trials["design"] == "disks") & (trials["replicate"] == 0)]
    there = {workload: name for name, workload in FROM.items()}
    rows = rows.assign(there=rows["workload"].map(there))
    table = stats.summarize(rows, ["build_s", "proof_s"], by=["there", "place"], unit="session")
    places = table.index.get_level_values("place")
    table.insert(0, "made", [BUILT.get(place, "") for place in places])
    return table


RUNC = ("counted-runc", "count-runc")
UNSETTLED = ("counted-runc", "count-unsettled")
PLAIN = ("counted", "count-process")
UNTESTED = ("counted-untested", "count-process")
FULL = ("counted-full-vm", "count-process")
PAIRED = {
    "boot": (PLAIN, True, RUNC),
    "unpacked": (PLAIN, False, RUNC),
    "untested": (UNTESTED, False, RUNC),
    "unsettled-boot": (PLAIN, True, UNSETTLED),
    "unsettled-unpacked": (PLAIN, False, UNSETTLED),
    "unsettled-untested": (UNTESTED, False, UNSETTLED),
    "generic": (("counted-generic", "count-runc"), True, None),
    "shift-1": (("counted-shift-1", "count-runc"), True, None),
    "no-erms": (("counted-no-erms", "count-runc"), True, None),
    **{
        name: ((f"counted-{name}", "count-process"), True, (f"counted-runc-{name}", "count-system"))
        for name in RELEASES
    },
}
"""What is counted of a boot -> the arm whose boot it is, whether unpacking counts, and whose
first container it is laid against: an arm's, or with None the same guest's."""


COUNTED = ("work", "published-work")
COUNTS = ("boot", "unpacking", "first_start")


def where_counted(arm: tuple[str, str]) -> dict:
    """Return the filter of an arm of counted guests."""
    design = COUNTED[arm[0] in COUNTED_PUBLISHED]
    return {"design": design, "place": arm[0], "workload": arm[1]}


def needed(pair: str) -> list[dict]:
    """Return the filters of the arms that a pair of `PAIRED` is of."""
    boot, _, container = PAIRED[pair]
    return [where_counted(boot), where_counted(container or boot)]


def counts(trials: pd.DataFrame, pairs: Sequence[str] = tuple(PAIRED)) -> pd.DataFrame:
    """Return what pairs of a boot and a container are made of, of any number of machines.

    Parameters
    ----------
    trials : pandas.DataFrame
    pairs : sequence of str
        Names in `PAIRED`, default all.

    Returns
    -------
    pandas.DataFrame
        One row per trial, pair and side: `what`, the pair's name, or with
        ``" container"`` its container; `instructions`, empty where the trial failed.
    """
    rows = trials[trials["design"].isin(COUNTED)]
    boot, unpacking, start = (rows[f"{name}_instructions"].to_numpy(dtype=float) for name in COUNTS)
    at, what, counted = [], [], []
    with stats.unchanged():
        found = [[np.flatnonzero(stats.match(rows, w)) for w in needed(pair)] for pair in pairs]
    for pair, (boots, containers) in zip(pairs, found, strict=True):
        _, whole, _ = PAIRED[pair]
        booted = boot[boots] if whole else boot[boots] - unpacking[boots]
        at += [boots, containers]
        what += [pair] * len(boots) + [f"{pair} container"] * len(containers)
        counted += [booted, start[containers]]
    table = rows[stats.KEYS].take(np.concatenate(at)).reset_index(drop=True)
    return table.assign(what=pd.Series(what, dtype="str"), instructions=np.concatenate(counted))


BOOTED = {
    "microVM": PLAIN,
    "microVM without self-tests": UNTESTED,
    "microVM, no words against waits": ("counted-waiting", "count-process"),
    "microVM with runc in it": RUNC,
    "the same, kernel for any hardware": ("counted-generic", "count-runc"),
    "the same, 2 ns an instruction": ("counted-shift-1", "count-runc"),
    "the same, without fast copying": ("counted-no-erms", "count-runc"),
    "full VM": FULL,
    **{f"published {name.capitalize()}": PAIRED[name][0] for name in RELEASES},
}
FIRST = {
    "process": PLAIN,
    "namespaces": ("counted", "count-namespaces"),
    "runc": RUNC,
    "runc, at once": UNSETTLED,
    "runc, kernel for any hardware": ("counted-generic", "count-runc"),
    **{f"runc, published {name.capitalize()}": PAIRED[name][2] for name in RELEASES},
}
OF_BOOT = {
    "firmware and unpacking": "unpacking_instructions",
    "whole boot": "boot_instructions",
    "put off until after it": "settling_instructions",
    "power-off": "end_instructions",
}
OF_START = {
    "first start": "first_start_instructions",
    "later start": "later_start_instructions",
    "stop": "first_stop_instructions",
}
TESTS, REST = "self-tests and certificates", "rest of the boot"


@per_machine
def work(trials: pd.DataFrame) -> pd.DataFrame:
    """Return how many instructions a boot, a start within a guest, and their ends execute.

    Returns
    -------
    pandas.DataFrame
        Indexed by what is started and what of it is counted: `seeds`, and `median`, `least` and
        `most` over them, in instructions. Self-tests are the difference of two guests of the
        same session, so their spread is that of both.
    """
    names = [*OF_BOOT.values(), *OF_START.values()]
    kept = [*stats.KEYS, "place", "workload", *names]
    trials = trials.loc[trials["design"].isin(COUNTED), kept]
    counted = {n: trials[n].to_numpy(dtype=float, na_value=np.nan) for n in names}
    rows: dict[tuple[str, str], np.ndarray] = {}
    with stats.unchanged():
        for name, arm in FIRST.items():
            of = _succeeded(trials, arm)
            rows |= {(name, what): counted[column][of] for what, column in OF_START.items()}
        for name, arm in BOOTED.items():
            of = _succeeded(trials, arm)
            rows |= {(name, what): counted[column][of] for what, column in OF_BOOT.items()}
            if arm == PLAIN:
                parts = _parts_of_boot(trials).items()
                rows |= {(name, what): values.to_numpy(dtype=float) for what, values in parts}
    found = {key: values[~np.isnan(values)] for key, values in rows.items()}
    told = {
        key: [len(values), np.median(values), values.min(), values.max()]
        for key, values in found.items()
        if len(values)
    }
    index = pd.MultiIndex.from_tuples(list(told) or [], names=["started", "counted"])
    columns = ["seeds", "median", "least", "most"]
    return pd.DataFrame(list(told.values()), index=index, columns=columns)


def _succeeded(trials: pd.DataFrame, arm: tuple[str, str]) -> np.ndarray:
    """Return which trials are those of an arm of counted guests that succeeded."""
    return (stats.match(trials, where_counted(arm)) & trials["ok"]).to_numpy(dtype=bool)


def _parts_of_boot(trials: pd.DataFrame) -> dict[str, pd.Series]:
    """Return self-tests and the rest of a microVM's boot, session by session."""
    plain, untested = (
        trials[_succeeded(trials, arm)].set_index(["run", "session"]) for arm in (PLAIN, UNTESTED)
    )
    own = [each["boot_instructions"] - each["unpacking_instructions"] for each in (plain, untested)]
    return {TESTS: own[0] - own[1], REST: own[1]}


@per_machine
def work_parts(trials: pd.DataFrame) -> pd.DataFrame:
    """Return medians of instructions for a figure, one row per thing started, its parts beside.

    Self-tests are what the boot of a microVM has more than that of one without them: only there
    are they known apart.
    """
    table = work(trials)["median"]
    start, unpacking, whole = "first start", "firmware and unpacking", "whole boot"
    after = "boot after unpacking"
    parts = {name: {"start": table.get((name, start))} for name in FIRST if "kernel" not in name}
    published = (f"published {name.capitalize()}" for name in RELEASES)
    for name in ("microVM", "microVM without self-tests", "full VM", *published):
        if (name, unpacking) in table.index and (name, whole) in table.index:
            first = table[name, unpacking]
            parts[name] = {unpacking: first, after: table[name, whole] - first}
    drawn = pd.DataFrame.from_dict(parts, orient="index", dtype=float)
    return drawn.reindex(columns=["start", unpacking, after]).dropna(how="all")


@per_machine
def waits(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what the boot words against waits change: instructions, and time spent waiting.

    Returns
    -------
    pandas.DataFrame
        Indexed by with and without these words (`qemu.WAITLESS`): `seeds`, medians of
        `boot_instructions` and of `boot_idle_s`, in the guest's own time.
    """
    arms = {"with the words": PLAIN, "without": BOOTED["microVM, no words against waits"]}
    columns = ["boot_instructions", "boot_idle_s"]
    rows = {
        name: trials[stats.match(trials, where_counted(arm)) & trials["ok"]]
        for name, arm in arms.items()
    }
    told = {name: [len(of), *of[columns].median()] for name, of in rows.items() if len(of)}
    table = pd.DataFrame.from_dict(told, orient="index", columns=["seeds", *columns])
    return table.rename_axis("boot")
