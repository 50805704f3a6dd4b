"""Figures: the data decide what is drawn and said."""

import io
import re
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from caveatlib import plots
from caveatlib.plots import scales
from caveatlib.support.quantities import format_quantity, format_span, percent, scale

mpl.use("agg")
pytestmark = pytest.mark.beside


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


def test_a_line_is_broken_where_there_is_no_value():
    """A straight line through what nobody measured would say that somebody had."""
    took = [None, 0.1, None, 0.3, None]
    rows = pd.DataFrame({"place": "a", "x": range(5), "took_s": took})
    ax = plots.lines(rows, "x", "took_s", by="place", unit="s", xlabel="n", ylabel="time")
    assert list(pd.isna(ax.lines[0].get_ydata())) == [False, True, False]
    assert "a from 100 ms at 1 to 300 ms at 3" in plots.describe(ax)


def test_lines_are_named_at_their_ends_from_the_highest_down(frame):
    """Whatever comes first in the frame, the line that ends highest is named highest."""
    for rows in (frame, frame.iloc[::-1]):
        ax = plots.lines(rows, "x", "took_s", by="place", unit="s", xlabel="n", ylabel="time")
        named = sorted((-text.xy[1], text.get_text()) for text in ax.texts)
        assert [name for _, name in named] == ["b", "a"]


def test_names_at_line_ends_do_not_cover_each_other():
    """Three lines that end in one point have three names, a line of text apart."""
    same = pd.DataFrame({"place": list("aabbcc"), "x": [1, 2] * 3, "took_s": [1.0, 1.0] * 3})
    ax = plots.lines(same, "x", "took_s", by="place", unit="s", xlabel="n", ylabel="time")
    heights = sorted(text.xy[1] for text in ax.texts)
    inches = ax.figure.get_size_inches()[1] * ax.get_position().height
    assert min(b - a for a, b in pairwise(heights)) * inches == pytest.approx(scales.LETTER)


def test_a_name_has_one_colour():
    """Whatever stands beside it; and two names of a figure never share one needlessly."""
    assert plots.colours(["docker-runc", "x"])["docker-runc"] == plots.NAMED["docker-runc"]
    assert plots.colours(["a", "docker-runc"])["docker-runc"] == plots.NAMED["docker-runc"]
    many = plots.colours(["docker-runc", *"abcdef"])
    assert len(set(many.values())) == len(many)


def test_one_is_a_tick_of_every_axis_of_ratios():
    """Between 0.6 and 1.05, where automatic ticks leave it out."""
    table = pd.DataFrame({"estimate": [0.7], "low": [0.6], "high": [1.05]}, index=["a"])
    ax = plots.effects(table, label="ratio")
    assert 1 in ax.get_xticks()
    assert list(ax.get_ylim()) == [0.5, -0.5]


def test_ratios_off_the_scale_are_arrows_at_its_edge():
    """They do not squeeze the others; their numbers are written and said."""
    table = pd.DataFrame(
        {"estimate": [250.0, 1.2, 0.01], "low": [200.0, 1.1, 0.005], "high": [300.0, 20.0, 0.02]},
        index=["far", "near", "low"],
    )
    ax = plots.effects(table.assign(band_low=0.05, band_high=30.0), label="ratio", most=10)
    points = [line for line in ax.lines if len(line.get_xdata()) == 1]
    marks = [(line.get_marker(), line.get_xdata()[0]) for line in points]
    assert marks == [(">", 10), ("o", 1.2), ("<", 0.1)]
    assert ax.get_xlim()[1] < 15
    ticks = np.log(ax.get_xticks())
    assert (np.diff(ticks) >= 0.05 * np.diff(np.log(ax.get_xlim()))).all()
    assert [text.get_text() for text in ax.texts] == ["250×", "1.2×", "0.01×"]
    assert "far 250 [200, 300], near 1.2 [1.1, 20]" in plots.describe(ax)


def test_a_group_with_one_arm_is_no_dumbbell(frame):
    """It has nothing to be compared with; medians are said in pairs."""
    arms = frame.assign(arm=["u", "v", "u", "v"])
    ax = plots.dumbbell(arms, "took_s", by="place", arm="arm", unit="s", label="Time")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a"]
    assert "a: u 1 ms, v 3 ms" in plots.describe(ax)


def test_the_axis_of_a_distribution_stays():
    """Values beyond it do not move it; quantiles are said."""
    ax = plots.cumulated({"a": [0.1, 0.2, 9.0]}, unit="s", label="latency", most=0.2)
    assert ax.get_xlim() == pytest.approx((0, 200))
    assert "a: p50 200 ms" in plots.describe(ax)


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


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0421, "s", "42.1 ms"),
        (1003.4, "s", "1003 s"),
        (1001 * 2**20, "B", "1001 MiB"),
        (0.9996e-3, "s", "1000 µs"),
        (0, "B", "0 B"),
    ],
)
def test_a_quantity_has_no_exponent(value, unit, text):
    """Above a thousand, where no larger unit is near, it has more than three digits."""
    assert format_quantity(value, unit) == text


def test_a_share_and_a_span_are_read_one_way_everywhere():
    """A blank before the percent sign; minutes from two of them on."""
    assert [percent(0.75), percent(0.0123, 1), percent(1)] == ["75 %", "1.2 %", "100 %"]
    assert [format_span(seconds) for seconds in (5, 119, 120, 1700)] == [
        "5 s", "119 s", "2 minutes", "28 minutes",
    ]  # fmt: skip


def marked(ax):
    """Return where a figure has dots: (x, the row that the axis names there) for each."""
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    found = []
    for line in ax.lines:
        if line.get_marker() == "o":
            found += [
                (pytest.approx(x), names[round(y)]) for x, y in zip(*line.get_data(), strict=True)
            ]
    return sorted(found, key=lambda point: (point[1], point[0].expected))


def test_dots_stand_at_their_values_in_their_rows(frame):
    """What is drawn is what was measured, in the unit that the axis names.

    Seen to fail: with ten times the value drawn, and with each group in the next one's row.
    """
    ax = plots.dots(frame, "took_s", by="place", unit="s", label="Time")
    assert marked(ax) == [(1, "a"), (3, "a"), (200, "b")]
    both = pd.concat([frame.assign(arm="one"), frame.assign(arm="two", took_s=frame["took_s"] * 3)])
    ax = plots.dumbbell(both, "took_s", by="place", arm="arm", unit="s", label="Time")
    single = [(1, "a"), (3, "a"), (3, "a"), (9, "a"), (200, "b"), (600, "b")]
    medians = [(2, "a"), (6, "a"), (200, "b"), (600, "b")]
    assert marked(ax) == sorted(single + medians, key=lambda point: (point[1], point[0]))


def test_ratios_stand_at_their_values_in_their_rows():
    """Estimates as dots, intervals as lines, each in the row of its name."""
    table = pd.DataFrame(
        {"estimate": [2.0, 0.5], "low": [1.5, 0.4], "high": [3.0, 0.6]}, index=["slow", "fast"]
    )
    drawings = (
        plots.effects(table, label="ratio"),
        plots.forest(
            table.assign(of="ours"), table.iloc[:0].assign(predict_low=[], predict_high=[]),
            group="of", label="ratio",
        ),
    )  # fmt: skip
    for ax in drawings:
        assert marked(ax) == [(0.5, "fast"), (2, "slow")]
        names = [tick.get_text() for tick in ax.get_yticklabels()]
        spans = {
            names[int(line.get_ydata()[0])]: list(line.get_xdata())
            for line in ax.lines
            if line.get_marker() == "None" and len(set(line.get_xdata())) == 2
        }
        assert spans == {"slow": [1.5, 3.0], "fast": [0.4, 0.6]}


def test_lines_bars_and_shares_stand_at_their_values(frame):
    """Medians over x; parts of a bar from the end of the one before; quantiles at their share."""
    ax = plots.lines(frame, "x", "took_s", by="place", unit="s", xlabel="n", ylabel="time")
    factor = {"time (ms)": 1e3, "time (s)": 1.0}[ax.get_ylabel()]
    drawn = [line.get_xydata() for line in ax.lines if line.get_marker() == "o"]
    values = [[(1, 0.001), (2, 0.003)], [(1, 0.2)]]
    for line, points in zip(drawn, values, strict=True):
        assert line == pytest.approx(np.array([(x, y * factor) for x, y in points]))
    table = pd.DataFrame({"prepare": [0.1, 0.3], "start": [0.2, 0.4]}, index=["runc", "docker"])
    ax = plots.stacked(table, unit="s", label="Time")
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    bars = [(names[round(b.get_y() + b.get_height() / 2)], b.get_x(), b.get_width())
            for b in ax.patches]  # fmt: skip
    expected = [("runc", 0, 100), ("docker", 0, 300), ("runc", 100, 200), ("docker", 300, 400)]
    for (row, left, width), (name, start, length) in zip(bars, expected, strict=True):
        assert (row, left, width) == (name, pytest.approx(start), pytest.approx(length))
    index = pd.MultiIndex.from_tuples([("b", "x"), ("b", "y"), ("a", "x")])
    table = pd.DataFrame({"one": [0.1, 0.2, 0.3]}, index=index)
    ax = plots.stacked(table, unit="s", label="Time", ends=["1 %", "2 %", "3 %"])
    ticks = zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    heights = {tick.get_text(): at for at, tick in ticks}
    assert list(heights) == ["b, x", "y", "a, x"]
    assert heights["a, x"] - heights["y"] > heights["y"] - heights["b, x"]
    middles = [b.get_y() + b.get_height() / 2 for b in ax.patches]
    assert middles == pytest.approx(list(heights.values()))
    assert [(t.get_text(), t.xy[1]) for t in ax.texts] == [
        ("1 %", heights["b, x"]), ("2 %", heights["y"]), ("3 %", heights["a, x"])
    ]  # fmt: skip
    assert "b, y: one 200 (2 %); a, x: one 300 (3 %)" in plots.describe(ax)
    ax = plots.cumulated({"a": np.arange(101) / 1e3}, unit="s", label="Time", most=0.1)
    (at,) = [line.get_xydata() for line in ax.lines if line.get_marker() == "o"]
    assert at == pytest.approx(np.array([(50, 0.5), (90, 0.9), (99, 0.99)]))


def test_shades_tell_one_picture_from_another(frame):
    """A point in another row changes them; the same figure drawn again does not.

    Seen to fail: with grids of one field, and with the rows of the grid mixed up.
    """

    def drawn(rows):
        file = io.BytesIO()
        ax = plots.dots(rows, "took_s", by="place", unit="s", label="Time")
        ax.figure.savefig(file, format="png")
        return plots.shades(file.getvalue())

    swapped = frame.assign(took_s=frame["took_s"].to_numpy()[[2, 1, 0, 3]])
    assert drawn(frame) == drawn(frame)
    assert drawn(frame) != drawn(swapped)


def test_shades_of_a_known_picture():
    """Black above, white below; a picture with fewer pixels than fields has white ones."""
    file = io.BytesIO()
    plt.imsave(file, np.array([[0.0, 0.0], [1.0, 1.0]]), cmap="gray", vmin=0, vmax=1)
    assert plots.shades(file.getvalue(), rows=2, columns=3) == [[100, 100, 0], [0, 0, 0]]


def _ends(lines):
    """Return (xs, ys) of each line of a collection."""
    return [tuple(map(tuple, segment.T)) for segment in lines.get_segments()]


def test_ranges_stand_at_their_values_side_by_side():
    """Arms of a group lie around its row, each with its range; medians are said.

    Seen to fail: with low and high of another arm.
    """
    table = pd.DataFrame(
        {"what": ["a", "a", "b"], "where": ["x", "y", "x"], "median": [0.1, 0.2, 1.0],
         "low": [0.05, 0.1, 0.5], "high": [0.3, 0.4, 2.0]}
    )  # fmt: skip
    ax = plots.ranges(table, by="what", arm="where", unit="s", label="Time")
    spans = [[list(xs) for xs, _ in lines] for lines in map(_ends, ax.collections)]
    assert spans == [[[0.05, 0.3], [0.5, 2.0]], [[0.1, 0.4]]]
    marks = [[(float(x), float(y)) for x, y in line.get_xydata()] for line in ax.lines]
    assert [[(x, round(y)) for x, y in arm] for arm in marks] == [[(0.1, 0), (1.0, 1)], [(0.2, 0)]]
    assert marks[0][0][1] < marks[1][0][1]
    assert [[y for _, (y, _) in lines] for lines in map(_ends, ax.collections)] == [
        [y for _, y in arm] for arm in marks
    ]
    assert "a: x 100 ms, y 200 ms; b: x 1 s" in plots.describe(ax)


def test_a_line_above_the_title_leaves_it_above_the_legend():
    """What stands above the axes does not overlap: the machine, the title, the legend."""
    table = pd.DataFrame({"a": [1.0, 2.0], "b": [2.0, 1.0]}, index=["x", "y"])
    ax = plots.stacked(table, unit="s", label="Time", title="What it is made of")
    plots.title_above(ax, "A machine")
    ax.figure.canvas.draw()
    (title,) = [t for t in ax.findobj(mpl.text.Text) if t.get_text().startswith("A machine\nWhat")]
    legend = ax.get_legend().get_window_extent()
    assert title.get_window_extent().y0 >= legend.y1 - 1
    plt.close(ax.figure)


def test_a_figure_for_the_page_is_as_small_as_it_can_be(frame):
    """Dots that are alike have their style once, and those on each other are still darker.

    Seen to fail: with `_styled_once` returning the group as it is.
    """
    many = pd.concat([frame.assign(took_s=frame["took_s"] * k) for k in range(1, 20)])
    drawn = plots.as_svg(plots.dots(many, "took_s", by="place", unit="s", label="Time"))
    groups = re.findall(r"<g([^>]*)>((?:<use [^>]*/>){5,})</g>", drawn)
    assert sum(uses.count("<use") for _, uses in groups) == many["took_s"].count()
    for attributes, uses in groups:
        assert "style=" not in uses
        assert "fill-opacity:0.6" in attributes
        assert not re.search(r"(?<!-)opacity:", attributes)
    assert "rotate(-0" not in drawn
    assert re.match(r'<svg [^>]*fill="currentColor"', drawn)  # or its words are black in the dark
    assert not re.search(r"<g><\w[^<>]*/></g>", drawn)
    assert not re.search(r'style="[^"]*[:;] ', drawn)
    assert re.search(r'd="M [\d. ]+ L [\d. ]+" style="stroke:#b0b0b0;', drawn)  # of the grid
    tick = re.search(r'<path id="(\w+)" d="M 0 0 L 0 3.5" style="stroke:currentColor', drawn)[1]
    assert re.search(rf'<use xlink:href="#{tick}" x="[\d.]+" y="[\d.]+"/>', drawn)


def test_steps_are_drawn_by_their_corners():
    """What lies amid a level or upright line is left out; corners, gaps and the order stay.

    Seen to fail: with every second corner left out, too.
    """
    ax = plots.new_axes()
    ax.fill_between(range(400), [x // 100 for x in range(400)], step="post", lw=0)
    ax.plot([0, 1, 0.5, 0.5, 2], [5, 5, 5, 6, 7], color="#123456")
    drawn = plots.as_svg(ax)
    paths = [re.findall(r"[ML] ([\d.-]+) ([\d.-]+)", d) for d in re.findall(r' d="([^"]*)"', drawn)]
    steps = max(paths, key=lambda points: len({y for _, y in points}))
    assert len({y for _, y in steps}) >= 4
    assert len(steps) <= 14
    (line,) = re.findall(r'd="([^"]*)"[^>]*stroke:#123456', drawn)
    assert line.count("L") == 4  # it turns back on itself


def test_spaces_between_the_ends_of_an_axis_are_kept():
    """A browser makes one space of several, and the ends and the label would be one sentence.

    Seen to fail: without `xml:space`.
    """
    table = pd.DataFrame({"estimate": [1.1], "low": [1.0], "high": [1.2]}, index=["a"])
    ax = plots.effects(table, label="ratio", sides=("cheaper", "dearer"))
    (label,) = re.findall("<text[^>]*>[^<]*cheaper[^<]*</text>", plots.as_svg(ax))
    assert 'xml:space="preserve"' in label
    assert "cheaper    ratio    dearer" in label
    assert plots.as_svg(ax).count("xml:space") == 1


def test_nothing_above_a_figure_is_cut_at_its_right():
    """A title is wrapped by the width of its letters, what a badge stands beside is made smaller.

    Seen to fail: with `_fit` left out.
    """
    ax = plots.new_axes()
    ax.plot([0, 1], [0, 1])
    title = "What a container that waits for another one takes of " * 2
    plots.finish(ax, title=title)
    ax.figure.text(0.005, 0.9, title, fontsize=20)
    plots.as_svg(ax)
    ax.figure.draw_without_rendering()
    wide = ax.figure.bbox.width
    ends = [t.get_window_extent().x1 for t in (ax._left_title, *ax.figure.texts)]
    assert max(ends) <= wide
    assert "\n" in ax.get_title(loc="left")
