"""The steps from a process to `docker run`: what each has, what it adds, and their sum."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import left
import numpy as np
import pandas as pd
import pytest

from caveatlib import claims, frames, plots, trials
from caveatlib.errors import MeasurementError
from caveatlib.experiments import startup
from caveatlib.experiments.startup import parts, waterfall
from caveatlib.experiments.startup.designs import STEPS
from caveatlib.experiments.startup.workloads import once
from caveatlib.measuring.experiment import complete
from caveatlib.places import compiled, leases, netns, rootfs, spec
from caveatlib.places.base import Workload
from caveatlib.places.cgroups import cgroupfs
from caveatlib.places.output import text_before
from caveatlib.support import processes

MS = {
    "process": 1.8, "namespaces": 1.0, "control groups": 12.0, "overlay mount": 0.3,
    "network": 6.0, "runtime": 30.0, "daemon": 100.0, "client": 40.0,
}  # fmt: skip
SESSIONS = 10
WHOLE_MS = sum(MS.values())


def made_up(**other):
    """Return trials of the steps, and of the design that decides, with made-up times."""
    rng, rows, at = np.random.default_rng(5), [], {}
    total = 0.0
    for step, place in STEPS.items():
        total += (MS | other)[step] / 1e3
        at[place] = total
    at["namespaces"] = at["step-namespaces"]
    for design in startup.DESIGNS:
        if design.name not in ("start", "steps"):
            continue
        for block in range(SESSIONS):
            for position, arm in enumerate(design.arms):
                took = at.get(arm.place, 0.3) * np.exp(rng.normal(0, 0.01))
                rows.append({
                    "run": "r", "source": "live", "machine": "m", "session": block,
                    "design": design.name, "block": block, "position": position,
                    "place": arm.place, "started_at": "t", "ok": True, "error": "",
                    "accel": None, "first_output_s": took, "stop_s": took, **arm.conditions,
                })  # fmt: skip
    return frames.from_rows(rows, startup.Trials)


def kernel(rows):
    """Return the verdict that the steps are told beside."""
    return next(v for v in claims.judge(rows, startup.DECISIONS) if v.claim == "startup-kernel")


@pytest.mark.beside
def test_each_step_is_what_it_adds():
    """Differences to the place before, with intervals, and shares of their sum."""
    table = startup.steps(made_up())
    assert list(table.index) == [*STEPS, waterfall.WHOLE]
    assert (table["n"] == SESSIONS).all()
    for step in ("process", "control groups", "daemon", "client"):
        assert table.loc[step, "added_s_median"] == pytest.approx(MS[step] / 1e3, rel=0.15)
        assert table.loc[step, "added_s_low"] < MS[step] / 1e3 < table.loc[step, "added_s_high"]
    assert table.loc["daemon", "share"] == pytest.approx(100 / WHOLE_MS, abs=0.02)
    assert table.loc[list(STEPS), "share"].sum() == pytest.approx(1)
    assert table.loc[waterfall.WHOLE, "added_s_median"] == pytest.approx(WHOLE_MS / 1e3, rel=0.02)


@pytest.mark.beside
def test_the_card_names_the_largest_step():
    """Beside the verdict; with another step the largest, that one, and the verdict the same."""
    found = kernel(made_up())
    assert found.verdict == claims.HOLDS
    assert re.search(r"The largest is the daemon: 5\d % of their sum\.", found.because)
    other = kernel(made_up(network=500.0))
    assert "The largest is the network" in other.because


@pytest.mark.beside
def test_without_a_step_nothing_is_largest():
    """What follows a missing step has nothing to be compared with, and no bar."""
    rows = made_up()
    rows = rows[rows["place"] != "step-overlay"]
    table = startup.steps(rows)
    assert not {"overlay mount", "network"} & set(table.index)
    assert {"runtime", "client"} <= set(table.index)
    assert table["share"].isna().all()
    assert kernel(rows).verdict == claims.HOLDS
    assert "Step by step" not in kernel(rows).because
    said = plots.describe(startup.plot_steps(rows))
    assert "control groups" in said
    assert "runtime" not in said


@pytest.mark.beside
def test_recorded_trials_from_before_are_judged_as_they_were():
    """They have no steps: no row, no sentence, no case of the calibration."""
    rows = trials.get(startup, source="recorded", version=1)
    assert startup.steps(rows).empty
    assert "Step by step" not in kernel(rows).because
    table = complete(startup).calibrate(rows).set_index("check")
    assert set(table.loc[table.index.str.startswith("steps from"), "passes"]) == {"not measured"}
    assert "nothing was measured" in plots.describe(startup.plot_steps(rows))


def added_up(rows):
    """Return the row of the calibration that lays the sum of the steps beside the whole."""
    table = complete(startup).calibrate(rows)
    (row,) = table[table["check"].str.startswith("steps from")].to_dict("records")
    return row


@pytest.mark.beside
def test_the_steps_add_up_to_the_whole(monkeypatch):
    """To what was measured at once; not if one is compared with another than the one before."""
    rows = made_up()
    assert added_up(rows)["passes"] == "yes"
    assert added_up(rows)["n"] == SESSIONS
    again = rows["design"].eq("steps") & rows["replicate"].eq(1)
    off = rows.assign(
        first_output_s=rows["first_output_s"].where(~again, rows["first_output_s"] / 2)
    )
    assert added_up(off)["passes"] == "no"
    wired = waterfall._contrasts()
    wrong = [replace(c, baseline=wired[1].baseline) if c.name == "daemon" else c for c in wired]
    monkeypatch.setattr(waterfall, "_contrasts", lambda: wrong)
    assert added_up(rows)["passes"] == "no"


@pytest.mark.beside
def test_a_waterfall_stands_where_the_numbers_are():
    """Each bar begins where the one before ends; one that takes away goes back."""
    steps = pd.Series({"one": 0.010, "two": 0.030, "less": -0.005})
    ax = plots.waterfall(steps, whole=0.036, unit="s", label="Time")
    drawn = [(bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert np.allclose(drawn, [(0, 10), (10, 30), (40, -5)])
    tints = [bar.get_facecolor() for bar in ax.patches]
    assert tints[1] != tints[0] == tints[2]
    assert ax.get_xlabel() == "Time (ms)"
    assert [t.get_text() for t in ax.get_yticklabels()] == list(steps.index)
    assert [t.get_text() for t in ax.texts] == ["10 ms", "30 ms", "-5 ms"]
    assert any(np.allclose(line.get_xdata(), 36) for line in ax.lines)
    said = plots.describe(ax)
    assert "one 10 ms, two 30 ms, less -5 ms. Together 35 ms." in said
    assert "measured at once: 36 ms" in said
    assert "nothing was measured" in plots.describe(plots.waterfall(steps[:0], unit="s", label="T"))


# What each step has


LOOK = r"""
for kind in pid mnt uts ipc net; do echo "$kind $(readlink /proc/self/ns/$kind)"; done
echo "first $$"
sed 's/^/group /' /proc/self/cgroup
awk '$5 == "/" { print "root", $0 }' /proc/self/mountinfo
ip -4 -o address show
if ip -4 -o address show | grep -q "inet 198.18.50.2"; then
    wget -T 2 -O /tmp/none http://198.18.50.1:9/ 2>&1
fi
if awk '$5 == "/"' /proc/self/mountinfo | grep -q " - overlay "; then
    touch /written && echo "root written"
fi
echo end
"""
HAS = {
    "step-namespaces": set(),
    "step-cgroup": {"groups"},
    "step-overlay": {"groups", "overlay"},
    "step-network": {"groups", "overlay", "network"},
    "step-runc": {"groups", "overlay", "network"},
}


@pytest.fixture
def needed(require, require_places, monkeypatch, tmp_path):
    """Check for what the steps need; keep their state in a folder of this test."""
    require_places(startup, *parts.PARTS)
    monkeypatch.setenv("CAVEATLIB_STATE", str(tmp_path))
    yield tmp_path
    assert not list(tmp_path.iterdir())


def look(place) -> str:
    """Return what a workload in a place sees of itself."""
    instance = place.create(Workload(LOOK))
    try:
        instance.start()
        return text_before(instance.output, "end", 20)
    finally:
        instance.remove()


def own(kind: str) -> str:
    """Return a namespace of this very process, as the workload names its own."""
    return f"{kind} {os.readlink(f'/proc/self/ns/{kind}')}"


@pytest.mark.parametrize("name", parts.PARTS)
def test_each_place_has_its_parts_and_no_other(needed, name):
    """Namespaces everywhere; groups, an overlay and a network from their step on."""
    with parts.opened(name) as place:
        said = look(place)
        for kind in ("pid", "mnt", "uts", "ipc"):
            assert f"\n{own(kind)}\n" not in f"\n{said}"
        assert "first 1\n" in said
        has = {
            "groups": "/caveatlib-" in said.partition("root ")[0],
            "overlay": "- overlay " in said,
            "network": own("net") not in said,
        }
        assert {part for part, there in has.items() if there} == HAS[name]
        addressed = f"inet {parts.ADDRESS}/24" in said and "refused" in said
        assert addressed == has["network"]
        if has["groups"]:
            groups = re.findall(r"group \d+:([^:]*):(\S+)", said)
            ours = [names for names, group in groups if group.startswith("/caveatlib-")]
            assert {"cpu", "memory", "pids"} <= {n for names in ours for n in names.split(",")} or (
                ours == [""]
            )
    assert ("root written" in said) == has["overlay"]
    assert not (rootfs.rootfs() / "written").exists()


@pytest.mark.parametrize("name", parts.PARTS)
def test_nothing_is_left_of_an_instance(needed, name):
    """Groups, folders, interfaces and descriptors go with it, whatever it was doing."""
    with parts.opened(name) as place:
        look(place)
        before = sorted(os.listdir("/proc/self/fd"))
        lease = place._around.lease
        there = set(os.listdir(lease.data))
        instance = place.create(Workload("echo up; while :; do sleep 1; done"))
        instance.start()
        text_before(instance.output, "up", 20)
        pids = instance.pids()
        assert pids
        instance.remove()
        instance.remove()
        assert left.until(lambda: not any(map(processes.is_running, pids)))
        assert set(os.listdir(lease.data)) == there
        for top in cgroupfs.folders(lease.cgroup):
            assert not [path for path in top.iterdir() if path.is_dir()]
        if (hub := place._around._hub) is not None:
            assert left.until(lambda: "veth" not in netns.run_in(hub, ["ip", "-d", "link"]))
        assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", parts.PARTS)
def test_a_step_is_measured(needed, name):
    """As a trial does: the nonce comes, SIGTERM reaches the workload, and it ends at once."""
    with parts.opened(name) as place:
        marks = once(place, 0.0)
    assert 0 < marks["first_output_s"] < marks["exited_s"] <= marks["removed_s"]
    assert marks["stop_s"] < 5


def test_what_the_kernel_refuses_is_said(needed):
    """The step and its reason, in the error of the trial; nothing of it stays."""
    with parts.opened("step-network") as place:
        netns.run_in(place._around._hub, ["ip", "link", "delete", parts.BRIDGE])
        with pytest.raises(MeasurementError, match=r"contain: bridge steps: No such device"):
            once(place, 0.0)


@pytest.mark.parametrize(
    "words", [[], ["-g"], ["-n", "one", "two", "three"], ["-x", "true"], ["-r", "/"]]
)
def test_contain_says_how_it_is_used(require, words):
    """A word that is missing, or unknown, is no command."""
    require("gcc")
    done = subprocess.run(
        [compiled.path(parts.CONTAIN), *words], capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 125
    assert done.stderr.startswith("contain: usage: contain ")


@pytest.mark.engine
@pytest.mark.slow
def test_docker_run_is_measured(require):
    """By the command line: output, SIGTERM to it reaches the container, which then is gone."""
    require("private-engine")
    require("docker run")
    places = {"docker-run": startup.PLACES["docker-run"]}
    with left.state(), spec.opened(places, engine="private") as handles:
        place = handles["docker-run"]
        marks = once(place, 0.0)
        assert marks["stop_s"] < 5
        assert re.match(r"\d+\.\d+", place.metadata()["client"])
        running = place.create(Workload("echo up; while :; do sleep 1; done"))
        running.start()
        text_before(running.output, "up", 20)
        assert len(place._engine.containers()) == 1
        running.remove()
        assert left.until(lambda: not place._engine.containers())


HELD = """
import time
from caveatlib.experiments.startup import parts
from caveatlib.places.base import Workload
with parts.opened({name!r}) as place:
    print("open", flush=True)
    while True:
        place.create(Workload("while :; do sleep 1; done")).start()
        time.sleep(0.1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["step-network", "step-runc"])
def test_a_killed_measurer_leaves_nothing(require_places, name):
    """SIGKILL while workloads run: the next sweep ends them, with their groups and folders."""
    require_places(startup, name)
    with left.state() as folder:
        code = HELD.format(name=name)
        owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        try:
            assert owner.stdout.readline() == "open\n"
            assert left.until(lambda: len(left.processes(state=folder)) > 12, 30)
            running = left.processes(state=folder)
            spaces = frozenset().union(*map(left.namespaces, running))
            names = [path.name for path in folder.glob("data/*")]
            assert left.cgroups(names)
        finally:
            owner.kill()
            owner.communicate()
        leases.sweep()
        spaces -= left.namespaces(os.getpid())
        assert left.until(lambda: not left.processes(state=folder, spaces=spaces))
        assert not left.mounts(folder)
        assert not left.cgroups(names)
        assert not list(folder.iterdir())
