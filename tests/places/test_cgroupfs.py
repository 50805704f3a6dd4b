"""What control groups say, read from trees of version 1, version 2, hybrid, nested and broken."""

from pathlib import Path

import pytest

from caveatlib.errors import DataError, Unavailable
from caveatlib.places.cgroups import cgroup, cgroupfs, own_limits

pytestmark = pytest.mark.beside

SAMPLES = Path(__file__).parents[1] / "samples" / "cgroup"

LIMITS = {
    "hybrid-nested": (1.5, 2.0**29, 5, 100),
    "v1-container": (0.5, 2.0**28, 3, 64),
    "v2-container": (0.5, 2.0**28, 3, 64),
    "v2-outside": (0.5, 2.0**28, 3, 64),
    "v2-host-names": (0.5, 2.0**28, 3, 64),
    "v2-nested": (2.0, 2.0**32, 8, 512),
    "v2-session": (8.0, None, 16, 56571),
    "missing": (None, None, None, None),
}


@pytest.mark.parametrize("case", LIMITS)
def test_limits(case):
    """The tightest limit on the way up is found, on every version and from inside."""
    found = {limit.resource: limit.value for limit in own_limits.read(root=SAMPLES / case)}
    assert found == dict(zip(("cpu", "memory", "cpuset", "pids"), LIMITS[case], strict=True))


def test_limits_say_where():
    """A limit says on which level it is set, and an unseen controller says so."""
    nested = own_limits.read(root=SAMPLES / "v2-nested")
    assert nested[0].where == "set 4 group(s) further up"
    assert nested[0].version == 2
    own = own_limits.read(root=SAMPLES / "v1-container")
    assert own[0].where == "set on the process's own group"
    assert own[0].version == 1
    missing = own_limits.read(root=SAMPLES / "missing")
    assert "no cpu controller" in missing[0].where


@pytest.mark.parametrize(
    ("case", "file", "value"),
    [
        ("malformed-quota", "cpu.max, line 1", "'50% 100000'"),
        ("malformed-memory", "memory.max, line 1", "'256M'"),
        ("malformed-cpuset", "cpuset.cpus.effective, line 1", "'0-'"),
        ("malformed-pids", "pids.max, line 1", "'-5'"),
        ("malformed-mountinfo", "mountinfo, line 4", "'31 24"),
        ("malformed-groups", "self/cgroup, line 1", "'0:/'"),
        ("malformed-usage", "cpu.cfs_quota_us, line 1", "'-2'"),
    ],
)
def test_malformed_limits(case, file, value):
    """A malformed file is an error that names value, file and line."""
    with pytest.raises(DataError) as caught:
        own_limits.read(root=SAMPLES / case)
    assert file in str(caught.value)
    assert str(caught.value).startswith(value)


@pytest.mark.parametrize("case", ["hybrid-nested", "v1-container", "v2-container", "v2-nested"])
def test_stat_in_one_unit(case):
    """Counters of both versions come out in seconds."""
    stat = cgroup.of_process(root=SAMPLES / case).stat()
    assert (stat.nr_periods, stat.nr_throttled) == (41, 20)
    assert stat.throttled_s == pytest.approx(1.750123, abs=1e-6)
    assert stat.usage_s == pytest.approx(2.050123, abs=1e-6)


@pytest.mark.parametrize(
    ("case", "file"),
    [
        ("malformed-stat", "cpu.stat, line 6"),
        ("malformed-empty-stat", "cpu.stat, line 0"),
        ("malformed-usage", "cpuacct.usage, line 1"),
    ],
)
def test_malformed_stat(case, file):
    """A malformed counter is an error that names file and line."""
    with pytest.raises(DataError, match=file):
        cgroup.of_process(root=SAMPLES / case).stat()


def test_missing_stat():
    """A group that is gone is a typed error that names the file."""
    with pytest.raises(DataError, match=r"cpu.stat: No such file"):
        cgroup.Group(1, Path("/nowhere"), Path("/nowhere")).stat()


def test_quota_of_both_versions():
    """Quota and period are microseconds, no limit is None."""
    assert cgroup.of_process(root=SAMPLES / "v2-container").quota() == (50_000, 100_000)
    assert cgroup.of_process(root=SAMPLES / "v1-container").quota() == (50_000, 100_000)
    assert cgroup.of_process(root=SAMPLES / "hybrid-nested").quota() == (None, 100_000)


def test_parent_on_v2():
    """New groups go below the nearest group that hands the cpu controller down."""
    top = SAMPLES / "v2-nested/sys/fs/cgroup"
    assert cgroup.parent(root=SAMPLES / "v2-nested").cpu == top / "user.slice"
    # a login session, to which systemd hands no cpu controller
    session = SAMPLES / "v2-session"
    assert cgroup.parent(root=session).cpu == session / "sys/fs/cgroup"


def test_no_controller():
    """Where nothing is mounted, the error says what would mend it."""
    with pytest.raises(Unavailable, match="Mount cgroups"):
        cgroup.of_process(root=SAMPLES / "missing")


def test_mount_point_with_a_space(tmp_path):
    """An escaped mount point is found under its real name."""
    folder = tmp_path / "proc/self"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text("0::/\n")
    (folder / "mountinfo").write_text("30 24 0:26 / /my\\040groups rw - cgroup2 cgroup rw\n")
    (tmp_path / "my groups").mkdir()
    (tmp_path / "my groups/cgroup.controllers").write_text("cpu\n")
    assert cgroupfs.locate("cpu", root=tmp_path).folder == tmp_path / "my groups"


def test_own_limits_of_this_machine():
    """The reader works here, whatever user it runs as."""
    assert [limit.resource for limit in own_limits.read()] == ["cpu", "memory", "cpuset", "pids"]
