"""What is shown of trials of `ports`: calibration, tables, figures, of any part of them."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pytest
from experiments.ports.made_up import judged, trials

from caveatlib import frames, plots
from caveatlib.claims import NOT_MEASURED, OPEN
from caveatlib.experiments import ports
from caveatlib.experiments.ports import site, tables
from caveatlib.experiments.ports.claims import SIZED
from caveatlib.experiments.ports.designs import AGAIN, CASES, HAIRPIN, PAIRED, PROXY
from caveatlib.experiments.ports.flows import FLOWS
from caveatlib.measuring.experiment import complete

pytestmark = pytest.mark.beside


@pytest.fixture(autouse=True)
def _figures():
    """Close what a test has drawn."""
    yield
    plt.close("all")


def test_calibration():
    """Each judged path is measured twice, and one path meets no proxy: all should read 1."""
    table = complete(ports).calibrate(trials()).set_index("check")
    reno = sum(case.congestion == "reno" for case in CASES)
    assert len(table) == 2 * len(PAIRED) + reno + 1 + len(FLOWS)
    assert set(table["passes"]) == {"yes"}
    frame = trials()
    again = (frame["place"] == AGAIN) & (frame["path"] == "self")
    frame.loc[again, "cpu_s_per_gb"] *= 1.1
    off = complete(ports).calibrate(frame).set_index("check")
    assert list(off.index[off["passes"] == "no"]) == ["self, with the proxy twice: CPU per byte"]
    assert off["note"].str.contains(r"control fails: 1\.1").sum() == 1
    few = complete(ports).calibrate(trials(sessions=3))
    assert set(few["passes"]) == {"not measured"}


def test_the_figure_draws_what_decides():
    """The figure of effects has the intervals of the verdicts, over the A/A controls."""
    frame = trials()
    ax = ports.plot_effects(frame)
    drawn = {tuple(np.round(line.get_xdata(), 9)) for line in ax.lines}
    found = judged(frame)
    verdicts = [found[f"C17/{path}/cpu"] for path in PAIRED]
    assert {tuple(np.round([v.low, v.high], 9)) for v in verdicts} <= drawn
    for row in ports.effects(frame).itertuples():
        assert tuple(np.round([row.low, row.high], 9)) not in drawn
    words = plots.describe(ax)
    assert "adjusted intervals" in words
    assert re.search(r"Grey, the A/A control: localhost \(IPv4\) 0\.\d+ to 1\.\d+", words)
    sizes = {tuple(np.round(line.get_xdata(), 9)) for line in ports.plot_sizes(frame).lines}
    cases = [found[claim.id] for claim in SIZED.values()]
    assert {tuple(np.round([v.low, v.high], 9)) for v in cases} <= sizes


def test_every_path_has_words():
    """Who calls, which address, and what for; in the order of the paths, nothing too much."""
    table = ports.paths()
    assert list(table.index) == list(site.PATHS)
    assert {p.client for p in site.PATHS.values()} == set(tables.CLIENTS)
    assert {p.target for p in site.PATHS.values()} == set(tables.TARGETS)
    assert table["meaning"].is_unique
    assert table.loc["self", "client"] == "the serving container itself"
    baselines = table["meaning"].str.startswith("baseline")
    assert list(baselines) == list(~table["published"])


def test_tables():
    """Summary, reachability, effects and prices read the same trials."""
    frame = trials()
    table = ports.summarize(frame)
    assert table.loc[("loopback", PROXY), "served_by"] == "proxy"
    assert table.loc[("loopback", PROXY), "n"] == 10
    assert list(table.index.get_level_values("path").unique()) == list(site.PATHS)
    words = ports.reachability(frame)
    assert words.loc["hairpin"].tolist() == ["proxy, sees gateway", "nat, sees own"]
    assert words.loc["other-network", "no proxy"] == "timed out"
    assert ports.effects(frame).loc["loopback", "estimate"] == pytest.approx(0.5, rel=0.02)
    assert ports.prices(frame).loc[(100, PROXY), "processes"] == 100


def test_plots():
    """Each figure has an axis with a unit and one row per arm."""
    frame = trials()
    assert "(s)" in ports.plot(frame).get_xlabel()
    assert len(ports.plot_effects(frame).get_yticks()) == len(PAIRED)


def test_colours_mean_settings():
    """In the figure of paths a colour stands for a setting, not for a row."""
    ax = ports.plot(trials())
    dots = {line.get_color() for line in ax.lines if line.get_marker() == "o"}
    wanted = {plots.NAMED["proxy"], plots.NAMED["no proxy"]}
    assert dots == wanted
    assert len(wanted) == 2
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["proxy", "no proxy"]


def failed(frame):
    """Return the trials as they are where no engine could be opened."""
    texts = ["served_by", "source_class", "refusal", "algorithm"]
    frame = frame.assign(**dict.fromkeys([*frames.measures(ports.Trials), *texts], np.nan))
    frame = frame.assign(ok=False, error="unavailable: private-engine: no dockerd")
    return frames.validate(frame, ports.Trials)


PARTS = {
    "the proxy": lambda frame: frame[frame["place"] == PROXY],
    "no proxy": lambda frame: frame[frame["place"] == HAIRPIN],
    "the control": lambda frame: frame[frame["place"] == AGAIN],
    "paths": lambda frame: frame[frame["design"] == "paths"],
    "congestion": lambda frame: frame[frame["design"] == "congestion"],
    "many ports": lambda frame: frame[frame["design"] == "many-ports"],
    "one path": lambda frame: frame[frame["path"] == "hairpin"],
    "one session": lambda frame: frame[frame["session"] == 0],
    "one row": lambda frame: frame.head(1),
    "nothing": lambda frame: frame.head(0),
    "failures": failed,
}


@pytest.mark.parametrize("part", PARTS)
def test_part_of_the_trials_decides_nothing(part):
    """Of what is there alone no effect is decided."""
    frame = PARTS[part](trials()).reset_index(drop=True)
    found = judged(frame)
    if part not in ("paths", "many ports", "one path", "nothing"):
        effects = {v.verdict for name, v in found.items() if name.endswith(("cpu", "memory"))}
        assert effects <= {NOT_MEASURED, OPEN}
    if part in ("the proxy", "no proxy", "the control", "failures", "one row"):
        assert found["C17"].verdict == NOT_MEASURED
    assert bool(found) == (part != "nothing")
