"""Tables that judging and calibrating derive of the trials."""

import pandas as pd
import pytest

from caveatlib import claims, stats
from caveatlib.claims.calibration import Control, Known, calibrate

pytestmark = pytest.mark.beside

PLACES = {"a": 1.0, "again": 1.0, "b": 3.0}


def trials():
    """Return eight blocks in which b takes 2 s more than a, and a again 1 ms more or less."""
    return pd.DataFrame(
        {
            "run": "r", "source": "live", "machine": "m", "session": block, "design": "d",
            "block": block, "place": place, "ok": True, "error": "",
            "took_s": seconds + 0.001 * (block % 2 * 2 - 1) * (place == "again"),
        }
        for block in range(8)
        for place, seconds in PLACES.items()
    )  # fmt: skip


def contrast(arm, **settings):
    """Return an arm over a."""
    return stats.Contrast(f"{arm} over a", "took_s", {"place": arm}, {"place": "a"}, **settings)


def test_a_table_is_derived_once_for_all_that_is_read_of_it():
    """However many effects or cases share it, and once for each machine."""
    asked = []

    def halved(rows):
        asked.append(rows["machine"].iloc[0])
        return rows.assign(took_s=rows["took_s"] / 2)

    both = pd.concat([trials(), trials().assign(machine="n")], ignore_index=True)
    known = Known(name="1 s more", contrast=contrast("b", kind="difference"), truth=1.0,
                  within=0.05, table=halved)  # fmt: skip
    controls = [Control(name=f"a {i}", contrast=contrast("again"), table=halved) for i in range(3)]
    table = calibrate(both, [known], controls)
    assert list(table["check"]) == ["1 s more", "a 0", "a 1", "a 2"] * 2
    assert set(table["passes"]) == {"yes"}
    assert asked == ["m", "n"]
    asked.clear()
    effects = [
        claims.Effect(
            claim=claims.Claim(f"slower-{i}", "b is slower", "ours", "ratio above 1", "made"),
            contrast=contrast("b"),
            direction="greater",
            words=("Slower", "Faster"),
            null=contrast("again"),
            table=halved,
        )
        for i in range(3)
    ]
    assert {v.verdict for v in claims.judge(both, effects)} == {claims.HOLDS}
    assert asked == ["m", "n"]


def test_a_control_that_reads_zero_fails_and_raises_nothing():
    """Of one arm alone; where the truth is not known, nothing is measured."""
    rows = trials().assign(kept=1.0)
    kept = stats.Contrast("kept", "kept", {"place": "a"}, None)
    known = [Known(name="kept", contrast=kept, truth=1.0, within=within) for within in (0, 0.1)]
    assert list(calibrate(rows, known, [])["passes"]) == ["yes", "yes"]
    lost = rows.assign(kept=rows["kept"].where(rows["block"] != 3, 0.0))
    table = calibrate(lost, known, [])
    assert list(table["passes"]) == ["no", "undecided"]
    assert list(table["estimate"]) == [1.0, 1.0]
    assert list(table["low"]) == [0.5, 0.5]
    none = calibrate(rows.assign(kept=0.0), known, [])
    assert list(none["passes"]) == ["no", "no"]
    assert list(none["estimate"]) == [0.0, 0.0]
    unknown = [Known(name="kept", contrast=kept, truth=lambda here: float("nan"), within=within)
               for within in (0, 0.1)]  # fmt: skip
    assert list(calibrate(rows, unknown, [])["passes"]) == ["not measured", "not measured"]


def test_what_a_failed_trial_read_is_not_held_against_the_truth():
    """A value that a failed trial left behind is no reading."""
    rows = trials().assign(kept=1.0)
    rows.loc[0, ["ok", "error", "kept"]] = [False, "boom", 5.0]
    case = Known(name="kept", contrast=stats.Contrast("kept", "kept", {"place": "a"}, None),
                 truth=1.0, within=0)  # fmt: skip
    assert list(calibrate(rows, [case], [])["passes"]) == ["yes"]
