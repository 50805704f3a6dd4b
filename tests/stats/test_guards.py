"""Guards, each on a made-up record with the shape of a known published mistake.

Seen to fail: each guard in turn with its error never raised.
"""

import numpy as np
import pandas as pd
import pytest

from caveatlib import stats
from caveatlib.errors import DataError, UsageError
from caveatlib.stats import guards


def transfers():
    """Five transfers of 1 GB at about 1 GB/s, the last one failed."""
    frame = pd.DataFrame({"seconds_s": [1.0, 1.1, 0.9, 1.0, np.nan], "size_bytes": 1e9})
    frame["rate_bit_per_s"] = 8e9 / frame["seconds_s"]
    return frame.assign(ok=[True, True, True, True, False])


RATE = {"rate": "rate_bit_per_s", "seconds": "seconds_s", "amount": "size_bytes", "factor": 8}


def test_a_lost_unit_is_an_error():
    """1.1 GB/s read as 1.1 MB/s: rate times time is no longer what was moved."""
    frame = transfers()
    guards.rate_times_time(frame, **RATE)
    frame.loc[2, "rate_bit_per_s"] /= 1000
    with pytest.raises(DataError, match=r"'rate_bit_per_s' in row 2 is 0\.001 times .* unit lost"):
        guards.rate_times_time(frame, **RATE)


def test_zero_bytes_at_a_rate_are_an_error():
    """A rate without anything moved does not slip through as not-a-number."""
    nothing = transfers()
    nothing.loc[1, ["rate_bit_per_s", "size_bytes"]] = 0
    with pytest.raises(DataError, match="in row 1"):
        guards.rate_times_time(nothing, **RATE)
    with pytest.raises(DataError, match="in row 1"):
        guards.rate_times_time(transfers().assign(size_bytes=[1e9, 0, 1e9, 1e9, 1e9]), **RATE)


def test_a_negative_interval_of_a_rate_is_an_error():
    """A mean of 40 requests/s +- 55 was published with its negative lower end."""
    frame = pd.DataFrame({"rate_low": [10.0, -15.0], "rate_high": [20.0, 95.0]})
    guards.inside(frame.iloc[:1], ["rate_low", "rate_high"])
    with pytest.raises(DataError, match=r"Value -15 of 'rate_low' in row 1 .* \[0, inf\]"):
        guards.inside(frame, ["rate_low", "rate_high"])
    with pytest.raises(DataError, match=r"Value 1\.2 of 'share' in row 0"):
        guards.inside(pd.DataFrame({"share": [1.2]}), ["share"], most=1)


def starts(cold, warm):
    """Paired cold and warm starts, in seconds."""
    rows = []
    for place, values in (("cold", cold), ("warm", warm)):
        for block, value in enumerate(values):
            rows.append(
                {
                    "run": "r", "source": "live", "machine": "m", "session": 0, "design": "d",
                    "block": block, "place": place, "ok": True, "start_s": value,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


COLD = stats.Contrast("cold over warm", "start_s", {"place": "cold"}, {"place": "warm"})


def test_cold_faster_than_warm_is_an_error():
    """Cold starts that are faster throughout are exchanged labels or a warm cache."""
    rng = np.random.default_rng(0)
    slow, fast = rng.normal(0.8, 0.02, 10), rng.normal(0.5, 0.02, 10)
    guards.cold_not_faster(starts(slow, fast), COLD)
    guards.cold_not_faster(starts(slow, rng.permutation(slow)), COLD)
    with pytest.raises(DataError, match=r"Cold \{'place': 'cold'\} takes 0\.6"):
        guards.cold_not_faster(starts(fast, slow), COLD)


def test_zeros_as_data_are_an_error():
    """A zero that stands for "not measured" is named with its row; a failed trial is not data."""
    frame = pd.DataFrame({"start_s": [0.5, 0.4, 0.0], "ok": [True, True, False]})
    guards.no_zeros(frame, ["start_s"])
    with pytest.raises(DataError, match="Value 0 of 'start_s' in row 2 is no measurement"):
        guards.no_zeros(frame.assign(ok=True), ["start_s"])


def test_a_whole_second_clock_is_an_error():
    """Start times of 1, 2, 1, 1, 2, 1 s were published from `date +%s`."""
    whole = pd.DataFrame({"start_s": [1.0, 2.0, 1.0, 1.0, 2.0, 1.0]})
    with pytest.raises(DataError, match=r"Value 1 of 'start_s' in row 0, and all 6, are multiples"):
        guards.finer_than(whole, ["start_s"])
    guards.finer_than(whole + 0.25 * (whole == 2), ["start_s"])
    guards.finer_than(whole.iloc[:5], ["start_s"])
    with pytest.raises(DataError, match=r"multiples of 0\.01"):
        guards.finer_than(whole / 100, ["start_s"], tick=0.01)


def test_marks_out_of_order_are_an_error():
    """A workload that speaks before it was created shows two clocks, or exchanged columns."""
    frame = pd.DataFrame(
        {"created_s": [0.1, 0.1], "first_output_s": [0.3, np.nan], "exited_s": [0.5, 0.05]}
    )
    chain = ["created_s", "first_output_s", "exited_s"]
    guards.increasing(frame, chain)
    frame.loc[1, "first_output_s"] = 0.2
    with pytest.raises(DataError, match=r"Value 0\.05 of 'exited_s' in row 1 comes before 0\.2"):
        guards.increasing(frame, chain)


def test_guards_name_unknown_columns():
    """A guard on a column that is not there does not pass in silence."""
    with pytest.raises(UsageError, match="Unknown column 'x'"):
        guards.no_zeros(pd.DataFrame({"y": [1]}), ["x"])
    with pytest.raises(UsageError, match="Invalid tick 0"):
        guards.finer_than(pd.DataFrame({"y": [1]}), ["y"], tick=0)
