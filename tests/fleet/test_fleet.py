"""Many hosts: two worker processes that stand for two hosts, on addresses of this machine.

Seen to fail: with both workers taken for one host's two, a lost worker waited for, a task
that begins a second time, and a package that is there measured again.
"""

import concurrent.futures
import contextlib
import errno
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import imagebuild as build
import pytest
from experiments.sample import sample
from runs import made

from caveatlib import cli, images, trials
from caveatlib.errors import MeasurementError, StorageError, Unavailable, UsageError
from caveatlib.experiments import startup
from caveatlib.fleet import connecting, measuring, surveying
from caveatlib.images import surveying as steps
from caveatlib.measuring.experiment import complete
from caveatlib.measuring.plan import Plan

pytestmark = pytest.mark.beside

distributed = pytest.importorskip("distributed")

ADDRESSES = ("127.0.0.2", "127.0.0.3")
QUICK = Plan(places=["process"], sessions=1, seed=1)
SLOW = Plan(places=["process"], sessions=4, seed=1)


@contextlib.contextmanager
def _running(folder: Path):
    """Start a cluster: its address, its workers' processes by their hosts' names, its own."""
    address = _free()
    scheduler = ("scheduler", "--host", address, "--no-dashboard")
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(_started(folder / "scheduler", *scheduler))
        workers = {
            connecting.name_of(f"tcp://{host}:1"): stack.enter_context(
                _worker(folder / host, address, host)
            )
            for host in ADDRESSES
        }
        yield address, workers, running


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Return what `_running` does, of a cluster of which nothing is killed."""
    with _running(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def doomed(tmp_path):
    """Return the same of one in which anything may be killed."""
    with _running(tmp_path) as found:
        yield found


def _worker(folder: Path, scheduler: str, host: str):
    words = ("worker", scheduler, "--host", host, "--no-nanny", "--no-dashboard")
    return _started(folder, *words, "--nthreads", "1")


def _free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@contextlib.contextmanager
def _started(folder: Path, *words):
    """Run a program of Dask with a temporary folder of its own, as another host has one."""
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *words],
        env=os.environ | {"TMPDIR": str(folder)},
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def _connected(address: str):
    """Return a client that sees both workers."""
    with connecting.connect(address, timeout_s=60) as found:
        found.wait_for_workers(2, timeout=60)
        yield found


@pytest.fixture
def client(cluster):
    """Return a client of the cluster."""
    with _connected(cluster[0]) as found:
        yield found


@pytest.fixture
def its_client(doomed):
    """Return a client of the doomed one."""
    with _connected(doomed[0]) as found:
        yield found


def test_each_host_measures_and_a_second_call_skips(client, cluster, tmp_path):
    """Packages come back whole, in a folder of each host; what is there is not measured again."""
    said = []
    rows = measuring.measure(client, [startup], out=tmp_path / "out", plan=QUICK, say=said.append)
    assert rows["ok"].all()
    assert set(rows["host"]) == set(cluster[1])
    assert len(said) == 2
    runs = [trials.open(startup, source=Path(folder)) for folder in rows["folder"]]
    begun = {run.trials["run"].iloc[0] for run in runs}
    assert len(begun) == 2  # in the same second, and of no other's name
    assert all(run.trials["ok"].any() for run in runs)
    again = measuring.measure(client, [startup], out=tmp_path / "out", plan=QUICK)
    assert again["ok"].all()
    after = {trials.open(startup, source=Path(f)).trials["run"].iloc[0] for f in again["folder"]}
    assert after == begun
    written = "".join(str(p) for p in (tmp_path / "out").rglob("*"))
    assert not any(address in written for address in ADDRESSES)


@pytest.mark.slow
def test_a_host_that_dies_is_a_row_with_a_reason(its_client, doomed, tmp_path):
    """The other's package is kept; asked again, the host measures, and the other is skipped."""
    (dead, process), (alive, _) = doomed[1].items()
    found, out = {}, tmp_path / "out"
    task = threading.Thread(
        target=lambda: found.update(
            rows=measuring.measure(its_client, [startup], out=out, plan=SLOW)
        )
    )
    task.start()
    journals = "caveatlib-fleet-run-*/startup/journal.jsonl"
    _until(lambda: list((tmp_path / ADDRESSES[0]).glob(journals)))
    process.send_signal(signal.SIGKILL)
    (journal,) = (tmp_path / ADDRESSES[0]).glob(journals)
    _until(lambda: _still(journal))  # what it had started ended with it
    task.join(120)
    rows = found["rows"].set_index("host")
    assert rows.loc[dead, "error"] == "The host's worker ended while it measured."
    assert not (out / dead).exists()
    assert rows.loc[alive, "ok"]
    first = (out / alive / "startup" / "trials.csv").read_bytes()
    with _worker(tmp_path / "again", doomed[0], ADDRESSES[0]):
        its_client.wait_for_workers(2, timeout=60)
        again = measuring.measure(its_client, [startup], out=out, plan=QUICK)
    assert again["ok"].all()
    assert (out / alive / "startup" / "trials.csv").read_bytes() == first
    assert (out / dead / "startup" / "trials.csv").is_file()


@pytest.mark.slow
def test_a_scheduler_that_ends_is_one_line(its_client, doomed, tmp_path):
    """What came back is kept, and there is a reason, not a traceback of Dask's."""
    caught, out = [], tmp_path / "out"

    def measure():
        with pytest.raises(Unavailable, match="has stopped answering") as told:
            measuring.measure(its_client, [startup], out=out, plan=SLOW)
        caught.append(told.value)

    task = threading.Thread(target=measure)
    task.start()
    journals = "caveatlib-fleet-run-*/startup/journal.jsonl"
    _until(lambda: list((tmp_path / ADDRESSES[0]).glob(journals)))
    doomed[2].send_signal(signal.SIGKILL)
    task.join(30)  # not for as long as the client looks for another
    assert len(caught) == 1


def _until(holds, seconds=90):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not come"
        time.sleep(0.2)


def _still(path: Path) -> bool:
    """Whether nothing is written to a file any more."""
    size = path.stat().st_size
    time.sleep(2)
    return path.stat().st_size == size


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Return an empty folder that stands for /tmp, in which the command measures nothing."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))

    def ran(words, **_):
        folder = Path(words[words.index("--out") + 1])
        (folder / "startup").mkdir()

    monkeypatch.setattr(measuring.programs, "run", ran)
    return tmp_path / "tmp"


OWN = f"caveatlib-fleet-{os.geteuid()}"


def test_nothing_begins_twice(temporary):
    """A task that Dask runs again after its worker was lost refuses, with the reason."""
    measuring.measure_here("startup", {}, "abc")
    measuring.measure_here("startup", {}, "def")
    with pytest.raises(MeasurementError, match="had begun when its worker ended"):
        measuring.measure_here("startup", {}, "abc")


def test_marks_do_not_pile_up(temporary):
    """All lie in one folder, of its user alone; those of tasks that can no longer run are dropped.

    One of a measurement that may still run, or be asked for again when it has ended, is kept.
    """
    measuring.measure_here("startup", {}, "kept")
    measuring.measure_here("startup", {}, "gone")
    assert [path.name for path in temporary.iterdir()] == [OWN]
    assert stat.S_IMODE((temporary / OWN).stat().st_mode) == 0o700
    ago = time.time() - measuring.LONGEST_S
    os.utime(temporary / OWN / "kept", (ago, ago))
    ago -= 2 * 86400
    os.utime(temporary / OWN / "gone", (ago, ago))
    os.utime(temporary / OWN / "lock", (ago, ago))
    measuring.measure_here("startup", {}, "next")
    assert {path.name for path in (temporary / OWN).iterdir()} == {"lock", "kept", "next"}


def test_one_measurement_per_host(temporary):
    """A second one, of whichever client, is refused while the first runs."""
    with measuring._alone(temporary) as folder:
        with pytest.raises(MeasurementError, match="Something else is being measured"):
            measuring.measure_here("startup", {}, "abc")
        assert not (folder / "abc").exists()
    measuring.measure_here("startup", {}, "abc")


@pytest.mark.parametrize("what", ["link", "file", "of another", "lock"])
def test_a_folder_that_is_not_ones_own_is_not_used(temporary, monkeypatch, tmp_path, what):
    """The folder of temporary files is anybody's: one line, and nothing of others is touched."""
    (tmp_path / "theirs").mkdir(mode=0o700)
    (tmp_path / "theirs" / "kept").write_text("kept")
    before = set((tmp_path / "theirs").iterdir())
    if what == "link":
        (temporary / OWN).symlink_to(tmp_path / "theirs")
    elif what == "file":
        (temporary / OWN).write_text("kept")
    elif what == "of another":
        (temporary / OWN).mkdir(mode=0o700)
        monkeypatch.setattr(measuring.os, "geteuid", lambda: 12345)
        (temporary / OWN).rename(temporary / "caveatlib-fleet-12345")
    else:
        (temporary / OWN).mkdir(mode=0o700)
        (temporary / OWN / "lock").symlink_to(tmp_path / "theirs" / "new")
    with pytest.raises(MeasurementError, match=r"^Folder '.*caveatlib-fleet-\d+' cannot be used"):
        measuring.measure_here("startup", {}, "abc")
    assert set((tmp_path / "theirs").iterdir()) == before
    assert (tmp_path / "theirs" / "kept").read_text() == "kept"


def test_a_failed_measurement_is_a_row(client, tmp_path):
    """An option that no host can follow is a reason in each row, not an error of all."""
    plan = Plan(places=["nowhere"], sessions=1)
    rows = measuring.measure(client, [startup], out=tmp_path / "out", plan=plan)
    assert list(rows["ok"]) == [False, False]
    assert rows["error"].str.contains("Unknown place 'nowhere'").all()


def test_another_version_is_refused(client, monkeypatch):
    """Before anything begins, in one line that names the host."""
    monkeypatch.setattr(connecting, "__version__", "9.9.9")
    with pytest.raises(Unavailable, match=r"on host-\w{8} has caveatlib .+, this is 9\.9\.9"):
        connecting.hosts(client)


def test_a_scheduler_that_is_away():
    """No answer, no address, no Dask: one line each."""
    with pytest.raises(
        Unavailable, match=r"No scheduler of Dask answers at 'tcp://127\.0\.0\.1:9'"
    ):
        connecting.connect("tcp://127.0.0.1:9", timeout_s=1)
    with pytest.raises(UsageError, match="Invalid address 'nonsense://x'"):
        connecting.connect("nonsense://x", timeout_s=1)


def test_without_dask(monkeypatch):
    """It says what to install."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Unavailable, match=r"pip install 'caveatlib\[fleet\]'"):
        connecting.connect("tcp://127.0.0.1:9")


@pytest.mark.slow
def test_the_command(cluster, client, monkeypatch, capsys, tmp_path):
    """A line for each host; a scheduler that is away is one line."""
    monkeypatch.chdir(tmp_path)
    words = ["measure", "startup", "--places", "process", "--sessions", "1", "--out", "here"]
    monkeypatch.setattr("sys.argv", ["caveatlib", *words, "--scheduler", cluster[0]])
    with pytest.raises(SystemExit) as end:
        cli.main()
    told = capsys.readouterr()
    assert end.value.code == 0, told.err
    assert told.out.count("host-") == 2
    assert len(list(Path("here").glob("host-*/startup/datapackage.json"))) == 2


@pytest.fixture
def many(tmp_path):
    """Return a folder of thirty images that share a layer, and one that cannot be read."""
    base = [build.file(f"base{i}", bytes(1000)) for i in range(500)]
    for number in range(30):
        parts = {"name": "v", "layers": [base, [build.file("own", b"o" * number)]]}
        build.write_layout(build.oci([parts]), tmp_path / "many" / f"v{number:02}")
    (tmp_path / "many" / "zzz.tar").write_bytes(b"nonsense")
    return tmp_path / "many"


def test_a_survey_on_two_workers_is_the_same(client, many, monkeypatch):
    """As without a cluster, with fewer images at a time than there are."""
    monkeypatch.setattr(surveying, "AT_ONCE", 7)
    found = surveying.survey(client, [many], progress=False)
    alone = images.survey([many], progress=False)
    assert found.images.equals(alone.images)
    assert found.layers.equals(alone.layers)
    assert list(found.images["ok"]) == [True] * 30 + [False]


@pytest.mark.slow
def test_a_lost_worker_loses_no_image(its_client, doomed, many, monkeypatch):
    """Killed after the first images have come back; the other reads what it had not."""
    monkeypatch.setattr(surveying, "AT_ONCE", 5)
    process = next(iter(doomed[1].values()))
    read = surveying._finished

    def losing(*arguments):
        for number, one in enumerate(read(*arguments)):
            if number == 3:
                process.send_signal(signal.SIGKILL)
            yield one

    monkeypatch.setattr(surveying, "_finished", losing)
    found = surveying.survey(its_client, [many], progress=False)
    assert list(found.images["ok"]) == [True] * 30 + [False]
    assert process.wait(10) == -signal.SIGKILL


def test_the_command_surveys(cluster, many, monkeypatch, capsys, tmp_path):
    """Tables in a new folder; what could not be read is named; an old folder is refused."""
    monkeypatch.chdir(tmp_path)
    for words, code in ((["--scheduler", cluster[0]], 0), ([], 1)):
        monkeypatch.setattr("sys.argv", ["caveatlib", "survey", str(many), "--out", "s", *words])
        with pytest.raises(SystemExit) as end:
            cli.main()
        told = capsys.readouterr()
        assert bool(end.value.code) == bool(code), told.err
        if not code:
            assert "30 of 31 images read: 31 distinct layers" in told.out
            assert "zzz.tar: " in told.err
    assert "is there already" in told.err
    assert len(Path("s/images.csv").read_text().splitlines()) == 32


# --- fakes on a LocalCluster -------------------------------------------------


@pytest.fixture
def local(monkeypatch):
    """Return a client of two worker processes that stand for two hosts, and their addresses."""
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as found,
    ):
        found.wait_for_workers(2, timeout=60)
        workers = {f"host-{i}": worker for i, worker in enumerate(sorted(found.nthreads()))}
        monkeypatch.setattr(measuring, "hosts", lambda _: workers)
        yield found, workers


def faked(package: dict[str, bytes], *, seconds: float):
    """Return what stands for measuring on a host: it notes when it ran, and hands a package on."""

    def measure_here(name: str, plan: dict, token: str) -> dict[str, bytes]:
        begun = time.monotonic()
        time.sleep(seconds)
        with (Path(plan["places"][0]) / f"{os.getpid()}").open("a") as log:
            log.write(f"{name} {begun} {time.monotonic()}\n")
        return package

    return measure_here


@pytest.fixture
def package(tmp_path):
    """Return the files of a run of the sample experiment."""
    return {file.name: file.read_bytes() for file in made.run(tmp_path / "made").iterdir()}


def ran(folder: Path) -> dict[str, list[tuple[str, float, float]]]:
    """Return of each worker what ran on it, from when to when."""
    return {
        path.name: [
            (name, float(begun), float(ended))
            for name, begun, ended in map(str.split, path.read_text().splitlines())
        ]
        for path in folder.iterdir()
    }


@pytest.mark.timed
def test_each_host_measures_one_at_a_time(local, package, monkeypatch, tmp_path):
    """Two experiments on two hosts: in their order on each, and on both at once."""
    client, _ = local
    (tmp_path / "log").mkdir()
    monkeypatch.setattr(measuring, "measure_here", faked(package, seconds=1))
    again = SimpleNamespace(**{**vars(sample), "NAME": "again"})
    plan = Plan(places=[str(tmp_path / "log")])
    rows = measuring.measure(client, [sample, again], out=tmp_path / "out", plan=plan)
    assert list(zip(rows["host"], rows["experiment"], strict=True)).count(("host-0", "sample")) == 1
    found = ran(tmp_path / "log")
    assert len(found) == 2
    for times in found.values():
        assert [name for name, _, _ in times] == ["sample", "again"]
        assert times[0][2] <= times[1][1]
    (one, other) = ((times[0][1], times[0][2]) for times in found.values())
    assert max(one[0], other[0]) < min(one[1], other[1]), "not at the same time"
    good = rows.set_index(["host", "experiment"])
    assert good.loc[("host-1", "sample"), "ok"]
    assert good.loc[("host-1", "again"), "error"]  # the package is of another experiment
    assert not (tmp_path / "out" / "host-0" / "sample" / "journal.jsonl").exists()


@pytest.mark.slow
@pytest.mark.timed
def test_a_worker_killed_in_the_middle_is_told_once(local, package, monkeypatch, tmp_path):
    """Its nanny starts another, which measures nothing by itself; the other host is not touched."""
    client, workers = local
    (tmp_path / "log").mkdir()
    monkeypatch.setattr(measuring, "measure_here", faked(package, seconds=5))
    pids = client.run(os.getpid)
    killer = threading.Timer(2, os.kill, (pids[workers["host-0"]], signal.SIGKILL))
    killer.start()
    plan = Plan(places=[str(tmp_path / "log")])
    rows = measuring.measure(client, [sample], out=tmp_path / "out", plan=plan).set_index("host")
    assert not rows.loc["host-0", "ok"]
    assert "worker" in rows.loc["host-0", "error"]
    assert rows.loc["host-1", "ok"]
    assert [len(times) for times in ran(tmp_path / "log").values()] == [1]


def test_a_package_that_never_comes_is_a_row(tmp_path):
    """The worker was lost after it had measured and before its package was fetched."""
    for error in (TimeoutError(), concurrent.futures.CancelledError()):
        future = SimpleNamespace(status="finished", result=_raising(error))
        row = measuring._ended("host-0", True, future, complete(sample), tmp_path)
        assert row["error"] == "The host's worker ended before its package came."
        assert not list(tmp_path.iterdir())


def _raising(error):
    def result(timeout):
        assert timeout < 3600
        raise error

    return result


def test_a_changed_byte_is_a_row(local, package, monkeypatch, tmp_path):
    """It is told, also when it is asked for again: the package stays to be looked at."""
    client, _ = local
    (tmp_path / "log").mkdir()
    broken = package | {"trials.csv": package["trials.csv"][:-2] + b"x\n"}
    monkeypatch.setattr(measuring, "measure_here", faked(broken, seconds=0))
    plan = Plan(places=[str(tmp_path / "log")])
    for _ in range(2):
        rows = measuring.measure(client, [sample], out=tmp_path / "out", plan=plan)
        assert not rows["ok"].any()
        assert rows["error"].str.contains("checksum").all()
    assert [len(times) for times in ran(tmp_path / "log").values()] == [1, 1]


def test_what_has_no_room_is_not_measured(package, monkeypatch, tmp_path):
    """A folder that holds something else is told before its host begins, not hours later."""
    monkeypatch.setattr(measuring, "hosts", lambda _: {"host-0": "a", "host-1": "b"})
    monkeypatch.setattr(measuring, "_wait", lambda running: None)
    asked, said = [], []
    client = SimpleNamespace(
        status="running",
        nthreads=lambda: {"a": 1, "b": 1},
        submit=lambda *_, workers, **__: (
            asked.append(workers)
            or SimpleNamespace(status="finished", result=lambda timeout: package)
        ),
        cancel=lambda futures, force: None,
    )
    (tmp_path / "out" / "host-0" / "sample").mkdir(parents=True)
    (tmp_path / "out" / "host-0" / "sample" / "notes.txt").write_text("x")
    rows = measuring.measure(client, [sample], out=tmp_path / "out", say=said.append)
    rows = rows.set_index("host")
    assert asked == [["b"]]
    assert rows["ok"].to_dict() == {"host-0": False, "host-1": True}
    assert "holds something that is not a package" in rows.loc["host-0", "error"]
    assert any("holds something" in line for line in said)


def test_the_scheduler_is_asked_once_for_all_hosts(package, monkeypatch, tmp_path):
    """However many there are: a question for each would take longer than what it is about."""
    names = [f"host-{i}" for i in range(20)]
    monkeypatch.setattr(measuring, "hosts", lambda _: {name: name for name in names})
    monkeypatch.setattr(measuring, "_wait", lambda running: None)
    asked = []
    client = SimpleNamespace(
        status="running",
        nthreads=lambda: asked.append(1) or dict.fromkeys(names, 1),
        submit=lambda *_, **__: SimpleNamespace(status="finished", result=lambda timeout: package),
        cancel=lambda futures, force: None,
    )
    rows = measuring.measure(client, [sample], out=tmp_path / "out")
    assert rows["ok"].all()
    assert len(rows) == 20
    assert len(asked) == 1


@pytest.mark.slow
def test_a_scheduler_that_ends_ends_a_survey_in_one_line(its_client, doomed, many, monkeypatch):
    """Not in a row for each image that is left."""
    monkeypatch.setattr(surveying, "AT_ONCE", 5)
    read = surveying._finished

    def losing(*arguments):
        for number, one in enumerate(read(*arguments)):
            if number == 3:
                doomed[2].send_signal(signal.SIGKILL)
            yield one

    monkeypatch.setattr(surveying, "_finished", losing)
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="has stopped answering"):
        surveying.survey(its_client, [many], progress=False)
    assert time.monotonic() - begun < 30  # the client looks for another for 60 s


@pytest.mark.parametrize("error", [OSError(), concurrent.futures.CancelledError()])
def test_a_result_that_cannot_be_fetched_ends_a_survey(error):
    """The scheduler was lost after a task had ended: Dask would wait for its result without end."""

    def gather(futures, errors):
        raise error

    client = SimpleNamespace(status="running", gather=gather)
    ended = SimpleNamespace(batches=lambda: [[SimpleNamespace(cancelled=lambda: False)]])
    with pytest.raises(Unavailable, match="has stopped answering"):
        list(surveying._results(client, ended))


def test_a_client_that_connected_again_has_lost_its_tasks():
    """The next scheduler at that address answers, and knows nothing of them."""
    client = SimpleNamespace(status="running", gather=lambda futures, errors: {0: None})
    ended = SimpleNamespace(batches=lambda: [[SimpleNamespace(cancelled=lambda: True)]])
    with pytest.raises(Unavailable, match="has stopped answering"):
        list(surveying._results(client, ended))


def test_a_client_that_has_given_up_is_not_asked():
    """It has no scheduler any more, not even one that is away."""
    with pytest.raises(Unavailable, match="has stopped answering"):
        connecting.answering(SimpleNamespace(status="closed"))


def test_no_room_for_the_documents():
    """A full disk is an error with the folder's name, as everywhere."""

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    file = SimpleNamespace(write=lambda data: len(data), flush=full)
    image = surveying.Planned(steps.Reference("x"))
    with pytest.raises(StorageError, match="No space left on device"):
        surveying._keep(image, file)
