"""Which storage driver for what: wrong claims are refuted, and nothing of a disk is left."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import left
import pytest
from experiments.storage.fake import FakeStore

from caveatlib import claims, plots, stats, trials
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import storage
from caveatlib.experiments.storage import bench, designs, places, schema, tables, workloads
from caveatlib.experiments.storage.decisions import LAYERS
from caveatlib.places import disks, leases, loops, spec

ROOT = Path(__file__).parents[3]
ALONE = {"replicate": 0}
OWNER = """
import sys
from caveatlib.experiments.storage import places
with places.PLACES[sys.argv[1]].open(None).opened() as bench:
    bench.start()
    print(bench._device, flush=True)
    sys.stdin.read()
"""


@pytest.mark.beside
def test_on_a_machine_where_it_is_the_other_way_round_every_sentence_turns(measured):
    """ext4 that shares and XFS that copies, quick FUSE, small vfs, a volume with slow writes."""
    rows = measured(storage)
    before = {v.claim: v for v in claims.judge(rows, storage.DECISIONS)}
    assert {v.verdict for v in before.values()} == {claims.HOLDS}
    others = rows.copy()
    for place, column, factor in (
        (designs.EXT4, schema.LARGE, 1e-5),
        (designs.XFS, "copied_bytes", 1e4),
        (designs.FUSE, "files_s", 0.1),
        (designs.VFS, "first_output_s", 0.1),
        (designs.VFS, "space_bytes", 1e-3),
        (designs.VOLUME, "write_s", 0.5),
    ):
        others.loc[others["place"] == place, column] *= factor
    after = {v.claim: v for v in claims.judge(others, storage.DECISIONS)}
    assert {v.verdict for v in after.values()} == {claims.FAILS}
    assert all(after[name].sentence != before[name].sentence for name in before)
    assert storage.answer(others) != storage.answer(rows)
    (was,), (now,) = storage.highlights(rows), storage.highlights(others)
    assert was.sentence != now.sentence


@pytest.mark.beside
def test_the_first_screen_has_the_verdict_s_number(measured):
    """Not the ratio of medians, one of which is of more trials; turned round where that is."""
    drivers = trials.open(storage, source="recorded")
    (found,) = (v for v in drivers.verdicts() if v.claim == "C20")
    (told,) = storage.highlights(drivers.trials)
    assert told.number == "38×" == f"{found.effect:.0f}×"
    assert f"longer, {told.number[:-1]}x [" in found.headline
    rows = measured(storage)
    slow = rows["place"] == designs.XFS
    rows = rows.assign(**{schema.LARGE: rows[schema.LARGE].mask(slow, 1.0)})
    (found,) = (v for v in claims.judge(rows, storage.DECISIONS) if v.claim == "C20")
    assert found.effect < 1
    (told,) = storage.highlights(rows)
    assert told.number == f"{1 / found.effect:.0f}×"
    assert told.sentence.startswith("the time of overlay2 on ext4")


@pytest.mark.beside
def test_the_answer_names_the_best_driver_and_the_worst(measured):
    """Of each operation; with one that copies nothing it is another."""
    rows = measured(storage)
    said = storage.answer(rows)
    assert "Ten containers take least room with" in said
    assert "most with vfs (" in said
    assert "5,000 files is fastest with" in said
    assert "slowest with fuse-overlayfs (" in said
    alike = "Writing a new file of 100 MB: no driver is found to differ from another."
    assert alike in said
    slow = rows.assign(
        write_s=rows["write_s"].where(rows["place"] != designs.VFS, rows["write_s"] * 2)
    )
    assert alike not in storage.answer(slow)
    table = storage.extremes(rows).set_index("operation")
    row = table.loc[tables.OPERATIONS[schema.LARGE]]
    assert row["ratio"] == pytest.approx(row["most_ratio"] / row["least_ratio"])
    ext4 = rows[stats.match(rows, designs.where(designs.EXT4))]
    assert row["base"] == ext4[schema.LARGE].median()
    assert row["ratio"] > 100


@pytest.mark.beside
def test_drivers_are_laid_beside_overlay2_on_ext4(measured):
    """The figure's numbers are ratios within blocks; the control's are 1."""
    rows = measured(storage)
    table = storage.relative(rows)
    assert (table.loc[tables.BASE] == 1).all()
    assert table.loc[tables.AGAIN].between(0.9, 1.1).all()
    ext4, vfs = (
        rows[stats.match(rows, designs.where(place))].set_index("block")["space_bytes"]
        for place in (designs.EXT4, designs.VFS)
    )
    assert table.loc["vfs", "room of ten"] == pytest.approx((vfs / ext4).median())
    told = plots.describe(storage.plot(rows))
    assert f"vfs: first start {table.loc['vfs', 'first start']:.3g}" in told
    assert set(table.index) == {*tables.NAMES.values(), tables.AGAIN}


@pytest.mark.beside
def test_steps_of_first_writes_are_their_sum(measured):
    """The table has each step; another sum is refused."""
    measured(storage)
    steps = trials.get(storage, source=measured.folder, table="first_writes")
    medians = storage.steps(steps)
    assert medians.loc[(tables.BASE, 100_000_000), "open_s"] == pytest.approx(0.05, rel=0.05)
    told = plots.describe(storage.plot_steps(steps))
    assert re.search(r"overlay2 on ext4: open (49|50)\b", told)
    assert re.search(r"btrfs: open 0\.00\d", told)
    both = {"trials": measured(storage), "first_writes": steps}
    storage.check_tables(both)
    wrong = both | {"first_writes": steps.assign(open_s=steps["open_s"] * 2)}
    with pytest.raises(DataError, match="Must be their sum"):
        storage.check_tables(wrong)
    with pytest.raises(DataError, match="Must be their sum"):
        storage.check_tables(both | {"first_writes": steps.iloc[3:]})


@pytest.mark.beside
def test_a_trial_that_cannot_be_is_refused():
    """What is called cold and was not read, a sum that is none, a time of nothing."""
    row = workloads.trial(FakeStore(designs.EXT4), ALONE, seed=1).measures | ALONE
    storage.check_row(row)
    for wrong, said in (
        ({"read_bytes": 0.0}, "read from the disk"),
        ({"files_s": row["files_s"] * 1.01}, "files_s"),
        ({"stat_files_s": 0.0}, "stat_files_s"),
        ({"first_output_s": row["create_s"] / 2}, "first_output_s"),
        ({"flush_s": row["write_s"] * 2}, "write_s"),
        ({"space_bytes": float("nan")}, "space_bytes"),
    ):
        with pytest.raises(DataError, match=said):
            storage.check_row(row | wrong)


@pytest.mark.beside
def test_a_full_disk_fails_the_trial_and_leaves_nothing():
    """What the program said is the reason; the disk is gone."""
    store = FakeStore(designs.VFS, full=True)
    with pytest.raises(MeasurementError, match="No space left on device"):
        workloads.trial(store, ALONE, seed=1)
    assert not store.alive


@pytest.fixture
def needed(require_places):
    """Return a check for all that a place needs."""
    return partial(require_places, storage)


@pytest.fixture
def state():
    """Return a state folder of this test alone, and look at what is left there afterwards."""
    with left.state() as folder:
        yield folder
        assert not loops.attached(folder)
        assert not left.mounts(folder)


def _seen(place: str) -> dict:
    with spec.opened({place: storage.PLACES[place]}, engine="none") as opened:
        found = dict(workloads.trial(opened[place], ALONE, seed=1).measures)
    storage.check_row(found | ALONE)
    return found


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("place", storage.PLACES)
def test_a_real_driver(needed, state, place):
    """Who copies writes the file to the disk, who shares writes next to nothing; vfs copies all."""
    needed(place)
    found = _seen(place)
    size = bench.FILES["100"]
    if place in (designs.EXT4, designs.COPYING, designs.FUSE):
        assert found["copied_bytes"] == pytest.approx(size, rel=0.1)
    else:
        assert found["copied_bytes"] < size / 10
    images = found["space_images"]
    assert images == pytest.approx(LAYERS, rel=0.1) if place == designs.VFS else images < 2
    assert found["read_bytes"] >= bench.NEW_BYTES * schema.COLD
    assert not list(state.iterdir())


@pytest.mark.slow
@pytest.mark.engine
def test_a_real_full_disk(needed, state, monkeypatch):
    """An image that does not fit, a container that does not: one line, and all is gone."""
    needed(designs.VFS)
    for size, said in ((100 << 20, "^import: .*no space"), (300 << 20, "^create: .*no space")):
        store = storage.PLACES[designs.VFS].open(None)
        small = store._replace(disk=disks.Disk("ext4", size))
        with pytest.raises(MeasurementError, match=said) as caught:
            workloads.trial(small, ALONE, seed=1)
        assert "\n" not in str(caught.value)
        assert not list(state.iterdir())


@pytest.mark.slow
@pytest.mark.engine
def test_a_driver_that_does_not_work_there(needed, state):
    """Docker's btrfs on ext4: the engine's last words are the reason."""
    needed(designs.EXT4)
    store = places.Store("btrfs", disks.Disk("ext4", 100 << 20))
    with pytest.raises(MeasurementError, match=r"did not start: .*btrfs"):
        workloads.trial(store, ALONE, seed=1)
    assert not list(state.iterdir())


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("place", [designs.EXT4, designs.BTRFS, designs.FUSE])
def test_a_killed_harness_leaves_no_disk(needed, state, place):
    """SIGKILL while a container works: no loop device after five seconds; a sweep ends the rest."""
    needed(place)
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, place],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    try:
        device = owner.stdout.readline().strip()
        assert loops.attached(state) == [device]
        owner.send_signal(signal.SIGKILL)
        owner.wait(5)
        assert left.until(lambda: not loops.attached(state))
        assert left.until(lambda: not left.processes(state=state))
    finally:
        with contextlib.suppress(ProcessLookupError):
            owner.kill()
        owner.communicate()
    leases.sweep()
    assert not list(state.iterdir())


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.parametrize("seconds", [1.2, 2.5, 4.0])
def test_a_killed_command_leaves_no_disk(needed, state, tmp_path, seconds):
    """`measure storage`, killed at some instant, and `clean`: nothing is left, twice."""
    needed(designs.EXT4)
    words = [sys.executable, "-m", "caveatlib.cli"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        [*words, "measure", "storage", "--blocks", "1", "--out", str(tmp_path / "out")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path, env=environment,
    )  # fmt: skip
    try:
        assert left.until(lambda: list(state.glob("data/*/docker")), 60)
        time.sleep(seconds)
    finally:
        running.kill()
        running.wait(5)
    for _ in range(2):
        subprocess.run([*words, "clean"], check=True, env=environment, timeout=60, cwd=tmp_path,
                       capture_output=True)  # fmt: skip
        assert not loops.attached(state)
        assert not list(state.iterdir())
