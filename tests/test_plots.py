"""Figures: the data decide what is drawn and said."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import pytest

from caveatlib import plots
from caveatlib.support.quantities import scale

mpl.use("agg")


@pytest.fixture
def frame():
    """Return two groups of values in seconds, one of them empty once."""
    return pd.DataFrame(
        {"place": ["a", "a", "b", "b"], "x": [1, 2, 1, 2], "took_s": [0.001, 0.003, 0.2, None]}
    )


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_dots_draws_every_value_and_the_median(frame):
    """One marker per value, a line at the median, the unit in the label."""
    ax = plots.dots(frame, "took_s", by="place", unit="s", label="Time")
    drawn = [len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"]
    assert drawn == [2, 1]
    assert ax.get_xlabel() == "Time (ms)"
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "b"]


def test_the_sentence_follows_the_data(frame):
    """Medians are said in the figure's unit; other data, other words."""
    one = plots.describe(plots.dots(frame, "took_s", by="place", unit="s", label="Time"))
    assert "a 2 ms" in one
    assert "b 200 ms" in one
    other = frame.assign(took_s=frame["took_s"] * 2)
    assert plots.describe(plots.dots(other, "took_s", by="place", unit="s", label="Time")) != one


def test_lines_and_bars_and_effects_say_their_numbers(frame):
    """Every kind of figure has a sentence with its numbers."""
    ax = plots.lines(frame, "x", "took_s", by="place", unit="s", xlabel="n", ylabel="time")
    assert "a from 5 at 1" in plots.describe(ax).replace("0.005", "5") or "at 2" in plots.describe(
        ax
    )
    table = pd.DataFrame({"prepare": [0.1], "start": [0.2]}, index=["runc"])
    assert "runc: prepare 100, start 200" in plots.describe(
        plots.stacked(table, unit="s", label="Time")
    )
    effect = pd.DataFrame({"estimate": [2.0], "low": [1.5], "high": [3.0]}, index=["runc"])
    assert "runc 2 [1.5, 3]" in plots.describe(plots.effects(effect, label="ratio"))


def test_the_legend_has_the_order_of_the_lines(frame):
    """Whatever comes first in the frame, the line that ends highest is named first."""
    for rows in (frame, frame.iloc[::-1]):
        ax = plots.lines(rows, "x", "took_s", by="place", unit="s", xlabel="n", ylabel="time")
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b", "a"]


def test_an_empty_frame_is_an_empty_figure(frame):
    """Nothing to draw is no error."""
    ax = plots.dots(frame.head(0), "took_s", by="place", unit="s", label="Time")
    assert not ax.lines


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(2.0, "s", (1, "s")), (0.002, "s", (1e-3, "ms")), (3 * 2**20, "B", (2**20, "MiB")),
     (0.0, "s", (1, "s")), (4e-8, "s", (1e-9, "ns")), (5, "", (1, ""))],
)  # fmt: skip
def test_a_unit_is_chosen_by_size(value, unit, expected):
    """The unit in which the largest value is best read."""
    assert scale(value, unit) == expected
