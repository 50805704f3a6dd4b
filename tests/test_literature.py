"""The cited figures: complete, in SI units, each with its "but"."""

import numpy as np
import pytest

from caveatlib import literature
from caveatlib.errors import DataError, UsageError

pytestmark = pytest.mark.beside


def test_every_figure_says_why_it_is_no_yardstick():
    """No figure comes without source, statistic and the reason why it is not comparable."""
    table = literature.figures()
    assert len(table) >= 90
    for column in ("source", "stat", "quantity", "not_comparable_because"):
        assert (table[column].str.len() >= 3).all()


@pytest.mark.parametrize(
    ("name", "value", "unit"),
    [
        ("fc_boot_total_api", 0.1609, "s"),
        ("gv_syscall_runc", 1.939e-6, "s"),
        ("ibm_rr_native", 37.6e-6, "s"),
        ("fc_mem_overhead", 2.5 * 2**20, "B"),
        ("px_rss", 3936 * 1024, "B"),
        ("px_500", 602e6, "B"),
        ("rk_builtin", 29.9e9, "bit/s"),
        ("ibm_tput_nat", 9.33e9, "bit/s"),
        ("sl_read", 0.064, "1"),
        ("lab_a", 3.1, "1"),
        ("ibm_fio_randread_kvm", 46173, "1/s"),
    ],
)
def test_values_are_converted(name, value, unit):
    """Each kind of unit lands in SI units or bytes."""
    row = literature.figures().set_index("id").loc[name]
    assert row["value_si"] == pytest.approx(value, rel=1e-12)
    assert row["unit_si"] == unit


def test_beside_leaves_out_what_is_context_only():
    """Only figures that may be compared stand beside a measurement."""
    area = literature.figures("startup")
    shown = literature.beside("startup")
    assert 0 < len(shown) < len(area)
    assert len(shown) == (area["use"] == "compare").sum()
    assert "kata_qemu_boot" not in set(shown.get("id", []))
    assert (shown["not_comparable_because"] != "").all()
    assert shown["source"].str.contains(r", (?:20\d\ds?|undated): .").all()


def test_unknown_area_is_named():
    """An area that nobody published about is named with those that exist."""
    with pytest.raises(UsageError, match=r"Unknown area 'startups'\. Must be one of .*'startup'"):
        literature.beside("startups")


def test_figures_hands_out_copies():
    """Changing the returned table does not change the next one."""
    table = literature.figures()
    table.loc[0, "value"] = -1
    assert literature.figures().loc[0, "value"] > 0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",ms,", ",msec,", "'msec' of column 'unit'"),
        (",160.9,", ",-160.9,", "column 'value'"),
        (",160.9,", ",about 160,", "cannot be read"),
        (",160.9,", ",,", "column 'value'"),
    ],
)
def test_a_broken_file_is_one_clear_error(tmp_path, monkeypatch, old, new, message):
    """A lost unit, a negative or empty value or a word for a number: one line that names it."""
    text = (literature.shipped.folder("data") / "literature.csv").read_text()
    assert old in text
    (tmp_path / "literature.csv").write_text(text.replace(old, new, 1))
    monkeypatch.setattr(literature.shipped, "folder", lambda name: tmp_path)
    monkeypatch.setattr(literature, "_table", literature._table.__wrapped__)
    with pytest.raises(DataError, match=message):
        literature.figures()


def test_boots_of_others():
    """Eleven arms on each of three machines; quantiles in their order; values as published."""
    table = literature.boots()
    assert len(table) == 33
    assert set(table.groupby("host").size()) == {11}
    quantiles = table.filter(regex="_s$").to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    at = table.set_index(["machine", "vmm"])["p50_s"]
    # the same runs as a figure of literature.csv
    known = literature.figures().set_index("id").loc["fc_boot_total_api", "value_si"]
    assert at["m5d.metal", "fc-api"] == known
    assert "Apache-2.0" in literature.BOOTS
