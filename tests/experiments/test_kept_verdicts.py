"""What the recorded data of version 1 decided before the code was laid out anew still stands.

``kept_verdicts.csv`` holds the word, effect, interval and n of every claim, as computed at
commit 1faf23a. A word may change from "inconclusive" to "mixed", where the claim was worded anew,
and where its A/A control says otherwise today; `REWORDED` lists these with the reason, `RENAMED`
the claims that have another id, `WIDENED` those whose interval is adjusted more than it was.
"""

from pathlib import Path

import pandas as pd
import pytest

from caveatlib import claims, trials
from caveatlib.experiments import by_name
from caveatlib.experiments.layers.claims import ON_BASES, PUBLISHED
from caveatlib.experiments.ports.claims import SIZED

KEPT = pd.read_csv(Path(__file__).with_name("kept_verdicts.csv"), keep_default_na=False)
NUMBERS = ("effect", "low", "high")
OPPOSITE = {"holds": "does not hold", "does not hold": "holds"}
_SAME_ADDRESS = "now: the server sees no less of the client's address; it sees the gateway's always"
REWORDED = {
    "C17": ("mixed", "holds on some paths, not on others"),
    "C22": ("mixed", "holds with the base layer there, not without"),
    "C17/loopback/address": ("holds", _SAME_ADDRESS),
    "C17/self/address": ("holds", _SAME_ADDRESS),
    "C22/unshaped/base": (
        "holds",
        "0.81 [0.69, 0.92] was open within the band of its A/A control, [0.915, 1.091]; that "
        "control holds 1 and passes, so the interval of the effect itself decides",
    ),
    "C17/loopback/cpu": (
        "inconclusive",
        "its A/A control, the path with the proxy twice, is 0.945 [0.896, 0.991] and fails; the "
        "effect, 0.575, lay beyond its band",
    ),
    "C07": ("mixed", "holds for some programs, not for others"),
    **{
        row.claim: (OPPOSITE[row.verdict], "now: the tool sees its CPU limit, which is to behave")
        for row in KEPT.itertuples()
        if row.claim.startswith("C07/") and row.verdict in OPPOSITE
    },
}
"""Claim -> its word today, and why it is another than before."""
RENAMED = {
    # "unshaped" was a word of ours for a link without a limit
    "C22/unshaped/even": "C22/no limit/even",
    "C22/unshaped/one": "C22/no limit/one",
    "C22/unshaped/base": "C22/no limit/base",
    "C28": "layers-size",
    "C28/unshaped": "layers-size/no limit",
    "C28/1 Gbit/s": "layers-size/1 Gbit/s",
    "C28/100 Mbit/s": "layers-size/100 Mbit/s",
    # built to hold, so they are claims of ours; the statements are decided by `applications`
    "C27": "layers-opened",
    "C29": "layers-surface",
    "C30": "layers-owned",
}
WIDENED = {
    "C22/1 Gbit/s/one",
    "C22/1 Gbit/s/base",
    "C22/100 Mbit/s/even",
    "C22/100 Mbit/s/one",
    "C22/100 Mbit/s/base",
    "C28/1 Gbit/s",
    "C28/100 Mbit/s",
    "startup-kernel",
    "C17/self/cpu",
    "C17/memory",
    "quota-period-busy",
}
"""Their p-values equal others', and of equal ones those listed later were adjusted less."""
SINCE = {
    "startup": ("startup-work", "C21/"),
    "ports": tuple(claim.id for claim in SIZED.values()),
    "quota": ("quota-sizes",),
    "layers": (PUBLISHED.id, *(claim.id for claim in ON_BASES.values())),
}
"""Experiment -> how claims begin that were added since, which version 1 measured nothing of."""
OTHERWISE = {"C21"}
"""Not measured then either, but shown beside it was a ratio, that of ``startup-packing``: the disk
booted nothing. Today its parts are disks that boot."""
ELSEWHERE = {"C12"}
"""Not measured then; another experiment decides it today, by images that people publish."""
SPLIT = {"C08": ("quota-100ms", "quota-10ms", "docker", "weights-2", "weights-10")}
"""Claim that had several verdicts -> the part that each of them is of today."""


@pytest.mark.beside
@pytest.mark.parametrize("name", KEPT["experiment"].unique())
def test_the_recorded_verdicts_are_kept(name):
    """Word, effect to 3 digits more than shown, interval and n are those of before."""
    experiment = by_name(name)
    rows = trials.get(experiment, source="recorded", version=1)
    verdicts = claims.judge(rows, experiment.DECISIONS)
    found: dict[str, list] = {}
    for verdict in verdicts:
        found.setdefault(verdict.claim, []).append(verdict)
    here = KEPT["experiment"].eq(name) & ~KEPT["claim"].isin(ELSEWHERE)
    kept = KEPT[here].to_dict("records")
    for claim in {row["claim"] for row in kept} & set(SPLIT):
        found[claim] = [v for part in SPLIT[claim] for v in found.pop(f"{claim}/{part}")]
    since = {name for name in found if name.startswith(SINCE.get(experiment.NAME, ()))}
    assert {v.verdict for name in since for v in found.pop(name)} <= {"not measured here"}
    assert set(found) == {RENAMED.get(row["claim"], row["claim"]) for row in kept}
    for row in kept:
        verdict = found[RENAMED.get(row["claim"], row["claim"])][row["nth"]]
        word, _ = REWORDED.get(row["claim"], (row["verdict"], ""))
        assert verdict.verdict == word, row["claim"]
        if row["claim"] in OTHERWISE:
            continue
        assert verdict.n == row["n"], row["claim"]
        wider = row["claim"] in WIDENED
        if wider:
            assert verdict.low <= float(row["low"]) * (1 + 1e-9), row["claim"]
            assert verdict.high >= float(row["high"]) * (1 - 1e-9), row["claim"]
            width = float(row["high"]) - float(row["low"])
            assert verdict.high - verdict.low > width * (1 + 1e-9), row["claim"]
        for number in NUMBERS[:1] if wider else NUMBERS:
            expected = float(row[number]) if row[number] else float("nan")
            assert getattr(verdict, number) == pytest.approx(expected, rel=1e-9, nan_ok=True)
