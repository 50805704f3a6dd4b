"""Can a neighbour take away my randomness?

The claim (11 April 2016): "Care is also required surrounding entropy depletion in cloud
environments, which is certainly very relevant in shared-kernel scenarios". A victim takes
16 bytes ten thousand times by getrandom, and as often from /dev/random, beside containers that
drain /dev/random: how long do calls take, and how many sleep? Everything is started afresh for
each trial, so a block is the unit of replication. Fresh guests say when there is something to
wait for: once, at boot, where neither CPU nor host has random numbers to give.

What would mislead you: neighbours that drain take CPU, too, so that the longest call waits for
a CPU and not for entropy (hence neighbours that only compute); libc may answer getrandom without
the kernel (hence the system call); ``entropy_avail``, which is a constant since Linux 5.19; and an
emulated guest's seconds (hence whether its first call had to wait).
"""

from __future__ import annotations

import pandas as pd

from caveatlib import claims, plots
from caveatlib.experiments.entropy.decisions import CONTROLS, DAEMON, DECISIONS, KNOWN, NAME
from caveatlib.experiments.entropy.workloads import (
    ARTEFACTS,
    DESIGNS,
    PLACES,
    Trials,
    check_row,
    trial,
)
from caveatlib.experiments.kit import sentences, tables

QUESTION = "Can a neighbour take away my randomness?"
SHOWN = (
    *("call_p50_s", "call_p99_s", "call_max_s", "device_p99_s", "waits", "first_refused"),
    *("pool_bits", "drained_bit_per_s"),
)


@sentences.per_machine
def answer(trials: pd.DataFrame) -> str:
    """Say what the trials of each machine show; of haveged only if there is nothing else."""
    found = [v for v in claims.judge(trials, DECISIONS) if "/" not in v.claim and v.n]
    others = [v for v in found if v.claim != DAEMON.id]
    return " ".join(v.sentence for v in others or found)


def _arms(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the trials with their arm in words."""
    doing = trials["count"].astype(str) + " that " + trials["neighbours"]
    arm = doing.where(trials["count"] > 0, "alone").where(trials["haveged"] == 0, "with haveged")
    return trials.assign(arm=arm.where(trials["place"] == "runc", trials["place"]))


@tables.per_machine
def calls(trials: pd.DataFrame) -> pd.DataFrame:
    """Return medians of `SHOWN` by arm."""
    return _arms(trials).groupby("arm")[list(SHOWN)].median().rename_axis("victim")


@tables.figure_per_machine
def plot(trials: pd.DataFrame, ax=None):
    """Draw the 99th percentile of getrandom in every trial in containers, one row per arm."""
    shown = _arms(trials[trials["place"] == "runc"])
    label = "99th percentile of getrandom(16)"
    title = "Taking 16 random bytes beside neighbours: one call in a hundred takes longer"
    return plots.dots(shown, "call_p99_s", by="arm", unit="s", label=label, title=title, ax=ax)
