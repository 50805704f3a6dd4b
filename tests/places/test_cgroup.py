"""Groups that are made, limited, read and removed; the kernel's known answers."""

import os
import shutil
import subprocess
import sys

import left
import numpy as np
import pytest

from caveatlib.errors import Unavailable, UsageError
from caveatlib.experiments.quota.load import LimitedGroup, schedule
from caveatlib.places import privileges
from caveatlib.places.cgroups import cgroup, cgroupfs
from caveatlib.places.cgroups.cgroup import Group
from caveatlib.support import processes


@pytest.fixture
def groups(require):
    """Groups can be made here."""
    if not cgroup.probe().available:
        require(cgroup.ABILITY)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Plain files stand for a version 2 hierarchy."""
    monkeypatch.setattr(cgroup, "parent", lambda: Group(2, tmp_path, tmp_path))
    monkeypatch.setattr(cgroup, "_rmdir", lambda folder: not shutil.rmtree(folder))
    return tmp_path


def test_limits_are_written_on_v2(tree):
    """Version 2 gets quota and period in one file, and the weight as it is."""
    with cgroup.temporary(quota_us=50_000, period_us=10_000, weight=200) as group:
        assert (group.cpu / "cpu.max").read_text() == "50000 10000"
        assert (group.cpu / "cpu.weight").read_text() == "200"
        assert group.quota() == (50_000, 10_000)
        group.add(4711)
        assert (group.cpu / "cgroup.procs").read_text() == "4711"
        (group.cpu / "cgroup.procs").unlink()
    assert list(tree.iterdir()) == []


def test_no_quota_on_v2(tree):
    """No quota is written as the kernel's own word for it."""
    with cgroup.temporary() as group:
        assert (group.cpu / "cpu.max").read_text() == "max 100000"


@pytest.mark.parametrize(("quota", "period"), [(999, 100_000), (1_000, 999)])
def test_too_short_a_quota(quota, period):
    """What the kernel would refuse is refused first, with the rule."""
    with (
        pytest.raises(UsageError, match=r"in microseconds 999\. Must be a whole number >= 1,000"),
        cgroup.temporary(quota_us=quota, period_us=period),
    ):
        pass


@pytest.mark.parametrize(("user", "fix"), [(1000, "run it as root"), (0, "")])
def test_not_writable(monkeypatch, user, fix):
    """Without the right to make groups the probe says what would mend it, and says it once."""
    monkeypatch.setattr(cgroup.os, "access", lambda *_: False)
    monkeypatch.setattr(cgroup.os, "geteuid", lambda: user)
    monkeypatch.setattr(privileges, "lacking", lambda *names: [])
    ability = cgroup.probe.__wrapped__()
    assert not ability.available
    assert "Run as root" not in ability.reason
    assert ability.fix == fix


@pytest.mark.engine
def test_group_comes_and_goes(groups):
    """A group exists inside the block only, and what ran in it is ended."""
    with cgroup.temporary(quota_us=50_000) as group:
        assert group.quota() == (50_000, 100_000)
        sleeper = group.spawn(["sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
        sleeper.stdout.readline()
        assert sleeper.pid in group.pids()
    assert sleeper.wait(timeout=5) == -9
    sleeper.stdout.close()
    assert not group.cpu.exists()
    assert not group.acct.exists()


@pytest.mark.engine
def test_group_goes_after_an_error(groups):
    """An error inside the block is kept, and the group is removed."""
    with pytest.raises(ZeroDivisionError), cgroup.temporary() as group:
        raise ZeroDivisionError
    assert not group.cpu.exists()


@pytest.mark.engine
def test_spawned_program_is_inside(groups):
    """A spawned program finds itself in the group, and arguments arrive as they are."""
    with cgroup.temporary() as group:
        code = "import sys; print(open('/proc/self/cgroup').read(), sys.argv[1:])"
        argv = [sys.executable, "-c", code, "a b", "--", "$HOME"]
        said = group.spawn(argv, stdout=subprocess.PIPE, text=True).communicate(timeout=20)[0]
    assert group.cpu.name in said
    assert "['a b', '--', '$HOME']" in said


@pytest.mark.engine
def test_sweep_takes_the_dead_and_leaves_the_living(groups):
    """A killed maker's group is removed with what runs in it; a living maker's is not."""
    code = (
        "import os, signal\n"
        "from caveatlib.places.cgroups import cgroup\n"
        "with cgroup.temporary() as group:\n"
        "    argv = ['sh', '-c', 'echo; exec sleep 60 > /dev/null']\n"
        "    sleeper = group.spawn(argv, stdout=-1)\n"
        "    sleeper.stdout.readline()\n"
        "    print(group.cpu, sleeper.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=30
    )
    folder, sleeper = done.stdout.split()
    with cgroup.temporary() as living:
        assert os.path.isdir(folder)
        assert os.path.basename(folder) in cgroup.sweep()
        assert living.cpu.exists()
    assert not os.path.exists(folder)
    assert left.until(lambda: not processes.is_running(int(sleeper)))
    assert os.path.basename(folder) not in cgroup.sweep()


@pytest.mark.engine
def test_sweep_leaves_other_pid_namespaces_alone(groups, require):
    """Whoever cannot see a maker cannot judge it: its group and what runs there stay."""
    require("namespaces")
    code = "from caveatlib.places.cgroups import cgroup; print(cgroup.sweep())"
    user = ["--user", "--map-root-user"] if privileges.lacking("CAP_SYS_ADMIN") else []
    inside = ["unshare", *user, "--pid", "--fork", "--mount-proc", "--kill-child"]
    with cgroup.temporary() as group:
        sleeper = group.spawn(["sleep", "60"])
        done = subprocess.run(
            [*inside, sys.executable, "-c", code], capture_output=True, text=True, timeout=60
        )
        assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr
        assert group.cpu.exists()
        assert sleeper.poll() is None
    assert sleeper.wait(timeout=5) == -9


ZEROS = """
import os, shutil
from pathlib import Path
from caveatlib.places.cgroups import cgroup
from caveatlib.support import processes
folder = Path(os.environ["TREE"])
pid, start, boot, space = processes.owner_token().split(":")
dead = folder / f"caveatlib-{pid}-1-{boot}-{space}-0"
dead.mkdir()
(dead / "cgroup.procs").write_text("0\\n")
cgroup.parent = lambda: cgroup.Group(2, folder, folder)
cgroup._rmdir = lambda each: not shutil.rmtree(each, ignore_errors=True)
print(cgroup.sweep() == [dead.name])
"""


def test_zero_is_not_a_process(tmp_path):
    """Version 2 writes 0 for a process of another pid namespace; to kill 0 is to kill oneself."""
    done = subprocess.run(
        [sys.executable, "-c", ZEROS],
        env={**os.environ, "TREE": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        start_new_session=True,
    )
    assert (done.returncode, done.stdout) == (0, "True\n")


def test_members_of_other_namespaces_have_no_id(tree):
    """Who has no id here is not among a group's processes."""
    (tree / "cgroup.procs").write_text("0\n4711\n0\n")
    assert Group(2, tree, tree).pids() == [4711]


def test_the_kernel_kills_the_whole_group(tree):
    """Where there is a cgroup.kill, it is told to: it reaches every pid namespace."""
    (tree / "cgroup.kill").touch()
    cgroup.kill(tree)
    assert (tree / "cgroup.kill").read_text() == "1"


@pytest.mark.engine
def test_a_group_that_cannot_be_made(groups, monkeypatch):
    """A folder that cannot be made is a typed error, and nothing is left."""
    above = cgroup.parent()
    monkeypatch.setattr(cgroup, "parent", lambda: Group(1, above.cpu / "gone", above.acct))
    with pytest.raises(Unavailable, match="No such file"), cgroup.temporary():
        pass
    assert not list(above.acct.glob(f"caveatlib-{os.getpid()}-*"))


@pytest.mark.engine
def test_own_limits_inside(groups, require):
    """A process reads its own quota, and does so from within a cgroup namespace too."""
    require("mounts")
    read = "from caveatlib.places.cgroups import own_limits; print(own_limits.read()[0].value)"
    python = [sys.executable, "-c", read]
    mount = "mount -t tmpfs t /mnt && mkdir /mnt/c && mount -t cgroup -o cpu c /mnt/c"
    if cgroup.of_process().version == 2:
        mount = "mount -t tmpfs t /mnt && mkdir /mnt/c && mount -t cgroup2 c /mnt/c"
    namespace = ["unshare", "--cgroup", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh"]
    with cgroup.temporary(quota_us=30_000) as group:
        for argv in (python, [*namespace, *python]):
            said = group.spawn(argv, stdout=subprocess.PIPE, text=True).communicate(timeout=30)[0]
            assert said == "0.3\n"


@pytest.mark.engine
def test_a_real_group_of_version_2(require):
    """Joining, counting and removing work on a real version 2 hierarchy."""
    mounts = [m.point for m in cgroupfs.mounts() if m.kind == "cgroup2"]
    if not mounts or not os.access(mounts[0], os.W_OK):
        require("cgroup-v2")
        pytest.skip("version 2 is not mounted for writing")
    folder = cgroupfs.Path(mounts[0]) / f"caveatlib-{os.getpid()}-test"
    folder.mkdir()
    group = Group(2, folder, folder)
    try:
        argv = ["sh", "-c", "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done; echo; sleep 60"]
        busy = group.spawn(argv, stdout=subprocess.PIPE)
        busy.stdout.readline()
        assert busy.pid in group.pids()
        assert group.stat().usage_s > 0.001
    finally:
        cgroup.remove(group)
    busy.stdout.close()
    assert busy.wait(timeout=5) == -9
    assert not folder.exists()


# ---- known answers of the kernel ------------------------------------------------


@pytest.mark.engine
@pytest.mark.timed
@pytest.mark.parametrize("period_us", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_full_load_uses_the_quota(groups, period_us, bars):
    """Full load, workers > quota, quota < cores: used to 5 %, throttled in 90 % of periods."""
    quota = 0.5
    limits = {"quota_us": round(quota * period_us), "period_us": period_us, "weight": 10_000}
    with cgroup.temporary(**limits) as group:
        done = LimitedGroup(group).saturate(workers=2, duration_s=2.0)
    used = f"{done.used.usage_s / (quota * done.window_s):.1%}"
    bars.append((f"quota over {period_us / 1e3:g} ms, full load: used of it", used, "95-105 %"))
    assert done.used.usage_s == pytest.approx(quota * done.window_s, rel=0.05)
    assert done.used.nr_throttled >= 0.9 * done.used.nr_periods
    assert done.used.nr_periods >= 0.9 * done.window_s / (period_us / 1e6)


@pytest.mark.engine
@pytest.mark.timed
def test_below_the_quota_is_never_throttled(groups):
    """One worker that steadily wants half of its quota is throttled in no period."""
    due = schedule(rate_per_s=50, requests=75, seed=1)
    with cgroup.temporary(quota_us=50_000, weight=10_000) as group:
        done = LimitedGroup(group).serve(due, cost_s=0.005, workers=1)
    assert done.used.nr_periods >= 10
    assert done.used.nr_throttled == 0
    assert done.used.usage_s == pytest.approx(75 * 0.005, rel=0.05)


@pytest.mark.engine
@pytest.mark.timed
def test_without_a_quota_there_are_no_periods(groups):
    """A burst in a group without a quota is counted, in no period and with no throttling."""
    with cgroup.temporary(weight=10_000) as group:
        done = LimitedGroup(group).serve(np.zeros(20), cost_s=0.005, workers=4, sample_every_s=0.01)
    assert (done.used.nr_periods, done.used.nr_throttled, done.used.throttled_s) == (0, 0, 0)
    assert done.used.usage_s == pytest.approx(20 * 0.005, rel=0.1)
    assert len(done.samples) >= 3


@pytest.mark.engine
@pytest.mark.slow
@pytest.mark.timed
def test_weights_split_a_core(groups):
    """Weights 1:2 split one shared core 1:2 within 10 %."""
    with cgroup.temporary(weight=1_000) as light, cgroup.temporary(weight=2_000) as heavy:
        more, less = LimitedGroup(heavy).contend(LimitedGroup(light), duration_s=2.0)
    assert more.usage_s / less.usage_s == pytest.approx(2, rel=0.1)
