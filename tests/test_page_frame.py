"""Tables for reading: what a frame becomes when it is shown.

Seen to fail: with `_number` left at ``g``; with the cells of `Shown` not escaped.
"""

import pandas as pd
import pytest

from caveatlib import page, trials
from caveatlib.experiments import layers, startup

pytestmark = pytest.mark.beside

FRAME = pd.DataFrame(
    {
        "place": ["a", "b"], "n": [3, 4], "took_s_median": [0.12, 0.15],
        "took_s_low": [0.11, float("nan")], "took_s_high": [0.13, 0.16],
        "took_s_p90": [1.0, 1.0], "sent_bytes": [2048.0, 4096.0], "note": ["", ""],
        "machine": ["m", "m"],
    }
).set_index("place")  # fmt: skip


def test_an_interval_is_one_cell_and_the_unit_is_in_the_head():
    """Quantiles, empty columns and the one machine are left out."""
    shown = page.show(FRAME)
    assert shown.head == ["place", "n", "took (ms)", "sent (KiB)"]
    assert shown.rows == [["a", "3", "120 [110, 130]", "2"], ["b", "4", "150", "4"]]


def test_an_interval_of_a_plain_name_is_one_cell_too():
    """A parameter with its interval; one with a single end has no interval."""
    shown = page.show(pd.DataFrame({"share": [0.2], "share_low": [0.19], "share_high": [0.21]}))
    assert (shown.head, shown.rows) == (["share"], [["0.2 [0.19, 0.21]"]])
    single = page.show(pd.DataFrame({"x": [0.2], "x_low": [0.19]}))
    assert single.head == ["x", "x low"]


def test_whole_numbers_are_scaled_like_others():
    """78848 bytes are 77 KiB; numbers without a unit keep all their digits."""
    shown = page.show(pd.DataFrame({"stored_bytes": [78848, 2048], "files": [12345, 7]}))
    assert shown.head == ["stored (KiB)", "files"]
    assert shown.rows == [["77", "12,345"], ["2", "7"]]


def test_values_far_apart_have_their_own_units():
    """A microsecond beside a minute is no 60,000,000."""
    shown = page.show(pd.DataFrame({"took_s": [1e-6, 60.0]}))
    assert (shown.head, shown.rows) == (["took"], [["1 µs"], ["60 s"]])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (2700.0, "2,700"),
        (1e9, "1,000,000,000"),
        (0.00123456, "0.00123"),
        (12.3456, "12.3"),
        (2.468e-5, "0.0000247"),
    ],
)
def test_no_number_has_an_exponent(value, expected):
    """Significant digits, and thousands with a comma."""
    assert page.show(pd.DataFrame({"x": [value]})).rows == [[expected]]


def test_rows_beyond_the_twelfth_are_folded():
    """In a notebook they can be unfolded, in a terminal they are counted."""
    shown = page.show(pd.DataFrame({"x": range(30)}))
    assert (len(shown.rows), shown.left_out) == (12, 18)
    assert "18 more rows" in repr(shown)
    seen, _, folded = shown._repr_html_().partition("<details><summary>18 more rows</summary>")
    assert (seen.count("<tr>"), folded.count("<tr>")) == (13, 19)
    assert "<details>" not in page.show(pd.DataFrame({"x": range(12)}))._repr_html_()


def test_shares_are_per_cent_and_answers_are_words():
    """A share of 0.016 is 1.6 %, True is yes."""
    shown = page.show(pd.DataFrame({"opened_share": [0.016, 1.0], "seen": [True, False]}))
    assert (shown.head, shown.rows) == (
        ["opened share (%)", "seen"],
        [["1.6", "yes"], ["100", "no"]],
    )


def test_several_machines_are_named():
    """Only a machine that all rows share is left out."""
    both = pd.concat([FRAME, FRAME.assign(machine="other")])
    assert "machine" in page.show(both).head


def test_names_and_values_are_text():
    """A hostile name adds no tag and steers no terminal."""
    evil = "<b>\x1b[31m"
    shown = page.show(pd.DataFrame({evil: [evil]}, index=pd.Index([evil], name=f"{evil}2")))
    assert "<b>" not in shown._repr_html_()
    assert "\x1b" not in shown._repr_html_() + repr(shown)


def test_a_rate_is_no_time():
    """So many a second are not seconds, and seconds per gigabyte are not scaled."""
    shown = page.show(pd.DataFrame({"connects_per_s_median": [0.02], "slope_s_per_gb": [0.5]}))
    assert (shown.head, shown.rows) == (["connects per s", "slope (s per GB)"], [["0.02", "0.5"]])
    assert page.show(pd.DataFrame({"net_bit_per_s": [2e9]})).head == ["net (Gbit/s)"]


def test_only_a_long_word_may_be_broken():
    """A digest that fits in no column makes no table wider than its notebook."""
    html = page.show(pd.DataFrame({"a": ["md5:" + 32 * "0"], "b": ["a b " * 20]}))._repr_html_()
    assert html.count("overflow-wrap:anywhere") == 1


def test_an_empty_frame_is_an_empty_table():
    """Nothing to show is no error."""
    shown = page.show(FRAME.head(0))
    assert shown.rows == []
    assert repr(shown) == "Nothing to show."
    assert "<table" not in shown._repr_html_()


def test_an_appendix_is_folded_and_complete():
    """Trials, all conditions and published figures, each behind its title."""
    run = trials.open(startup, source="recorded")
    shown = page.appendix(run, "docker-runc", area="startup")
    html = shown._repr_html_()
    assert html.count("<details><summary>") == 3 + 1  # one of them is long
    assert html.count("more rows</summary>") == 1
    assert "docker-runc" in html
    assert len(page.appendix(run).tables) == 2


def test_verdicts_of_a_run_are_the_pages_cards():
    """The same cards as on the page, without its downloads; lines in a terminal."""
    shown = page.verdicts(trials.open(layers, source="recorded"))
    html = shown._repr_html_()
    assert html.count("<article") == len(shown.entries) > 5
    assert "data:" not in html
    assert html.count("What would mislead you in") == 1  # below the cards, not in each
    assert all(entry.id in repr(shown) for entry in shown.entries)


def test_a_slash_in_a_part_makes_no_column():
    """A link of 1 Gbit/s is one row, with what moved over it in the columns."""
    html = page.verdicts(trials.open(layers, source="recorded"))._repr_html_()
    assert '<th scope="row">100 Mbit/s</th>' in html
    assert '<th scope="col">s</th>' not in html
