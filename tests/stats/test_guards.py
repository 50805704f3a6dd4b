"""Guards, each on a made-up record with the shape of a known published mistake.

Seen to fail: each guard in turn with its error never raised.
"""

import numpy as np
import pandas as pd
import pytest

from caveatlib import stats
from caveatlib.errors import DataError, UsageError
from caveatlib.stats import guards

pytestmark = pytest.mark.beside


def transfer(**changes):
    """1 GB moved in 1.1 s."""
    return {"seconds_s": 1.1, "size_bytes": 1e9, "rate_bit_per_s": 8e9 / 1.1} | changes


RATE = {"rate": "rate_bit_per_s", "seconds": "seconds_s", "amount": "size_bytes", "factor": 8}


def test_a_lost_unit_is_an_error():
    """1.1 GB/s read as 1.1 MB/s: rate times time is no longer what was moved."""
    guards.rate_times_time(transfer(), **RATE)
    with pytest.raises(DataError, match=r"'rate_bit_per_s' is 0\.001 times .* unit lost"):
        guards.rate_times_time(transfer(rate_bit_per_s=8e6 / 1.1), **RATE)


def test_zero_bytes_at_a_rate_are_an_error():
    """A rate without anything moved does not slip through as not-a-number."""
    for changes in ({"size_bytes": 0}, {"size_bytes": 0, "rate_bit_per_s": 0.0}):
        with pytest.raises(DataError, match="unit lost"):
            guards.rate_times_time(transfer(**changes), **RATE)


@pytest.mark.parametrize("empty", [None, float("nan"), pd.NA])
def test_what_is_empty_is_skipped(empty):
    """A measure that a trial did not state breaks nothing."""
    for name in transfer():
        guards.rate_times_time(transfer(**{name: empty}), **RATE)
    guards.inside({"x": empty}, ["x"])
    guards.no_zeros({"x": empty}, ["x"])
    guards.increasing({"x": 1.0, "y": empty, "z": 0.5}, ["x", "y", "z"])


def test_a_negative_interval_of_a_rate_is_an_error():
    """A mean of 40 requests/s +- 55 was published with its negative lower end."""
    guards.inside({"rate_low": 10.0, "rate_high": 20.0}, ["rate_low", "rate_high"])
    with pytest.raises(DataError, match=r"Value -15 of 'rate_low' lies .* \[0, inf\]"):
        guards.inside({"rate_low": -15.0, "rate_high": 95.0}, ["rate_low", "rate_high"])
    with pytest.raises(DataError, match=r"Value 1\.2 of 'share'"):
        guards.inside({"share": 1.2}, ["share"], most=1)


def test_quotients_by_zero():
    """Infinite, so that a bound breaks; of nothing by nothing there is none."""
    assert guards.ratio(1.0, 4.0) == 0.25
    assert guards.ratio(1.0, 0.0) == float("inf")
    assert guards.ratio(-1.0, 0.0) == -float("inf")
    assert np.isnan(guards.ratio(0.0, 0.0))
    assert np.isnan(guards.ratio(float("nan"), 0.0))


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
    """A zero that stands for "not measured" is named."""
    guards.no_zeros({"start_s": 0.5}, ["start_s"])
    with pytest.raises(DataError, match="Value 0 of 'start_s' is not a measurement"):
        guards.no_zeros({"start_s": 0.0}, ["start_s"])


def test_a_whole_second_clock_is_an_error():
    """Start times of 1, 2, 1, 1, 2, 1 s were published from `date +%s`."""
    whole = pd.DataFrame({"start_s": [1.0, 2.0, 1.0, 1.0, 2.0, 1.0]})
    with pytest.raises(DataError, match=r"Value 1 of 'start_s' in row 0, and all 6, are multiples"):
        guards.finer_than(whole, ["start_s"])
    guards.finer_than(whole + 0.25 * (whole == 2), ["start_s"])
    guards.finer_than(whole.iloc[:5], ["start_s"])
    guards.finer_than(whole.assign(ok=[True] * 5 + [False]), ["start_s"])
    with pytest.raises(DataError, match=r"multiples of 0\.01"):
        guards.finer_than(whole / 100, ["start_s"], tick=0.01)
    fine = whole.assign(start_s=whole["start_s"] + 0.25, place="fine")
    both = pd.concat([whole.assign(place="coarse"), fine], ignore_index=True)
    guards.finer_than(both, ["start_s"])  # hidden among finer ones
    with pytest.raises(DataError, match="finer clock"):
        guards.finer_than(both, ["start_s"], by="place")


def test_marks_out_of_order_are_an_error():
    """A workload that speaks before it was created shows two clocks, or exchanged columns."""
    row = {"created_s": 0.1, "first_output_s": 0.3, "exited_s": 0.5}
    guards.increasing(row, list(row))
    with pytest.raises(DataError, match=r"Value 0\.05 of 'exited_s' comes before 0\.3"):
        guards.increasing(row | {"exited_s": 0.05}, list(row))


def test_guards_name_unknown_columns():
    """A guard on a column that is not there does not pass in silence."""
    for guard in (guards.no_zeros, guards.inside):
        with pytest.raises(UsageError, match=r"Unknown column 'x'. Must be one of 'y'"):
            guard({"y": 1}, ["x"])
    with pytest.raises(UsageError, match="Unknown column 'x'"):
        guards.finer_than(pd.DataFrame({"y": [1]}), ["x"])
    for tick in (0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=f"Invalid tick {tick}"):
            guards.finer_than(pd.DataFrame({"y": [1]}), ["y"], tick=tick)
