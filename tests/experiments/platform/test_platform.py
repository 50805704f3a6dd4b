"""Experiment `platform`: calls are really tried and named; sentences turn with the data."""

import re
import subprocess

import pytest
from experiments.platform import fake

from caveatlib import claims, trials
from caveatlib.errors import DataError, MeasurementError
from caveatlib.experiments import platform
from caveatlib.experiments.platform import claims as stated
from caveatlib.experiments.platform import places, tables, workloads
from caveatlib.instruments import calls
from caveatlib.places import compiled
from caveatlib.places.spec import opened

pytestmark = pytest.mark.beside


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Return trials of fakes."""
    out = tmp_path_factory.mktemp("platform")
    trials.measure(platform, out=out, sessions=6, seed=1, specs=fake.PLACES, progress=False)
    return trials.get(platform, source=out)


def _common(rows):
    return next(v for v in claims.judge(rows, platform.DECISIONS) if v.claim == "C37")


def _word(rows) -> str:
    return _common(rows).verdict


def test_coverage_counts_what_the_kernel_has(rows):
    """What the kernel itself lacks is in no count; what gVisor lacks is named."""
    table = tables.coverage(rows).set_index("made_by")
    assert table.loc["dpkg", "names_lacking"] == "rseq"
    assert "uselib" not in table.loc[tables.OTHERS, "names_lacking"]
    there = set(workloads.names().values()) - {"uselib"}
    assert table.loc[tables.OTHERS, "calls"] == len(there - fake.MADE)
    assert table.loc["tar", "calls"] == len(there & fake.MADE)


def test_what_was_not_tried_is_in_no_count(rows):
    """A call that a program made and that is not tried (vfork) is named, and not had by gVisor."""
    verdict = _common(rows)
    tried = len(fake.MADE - {"vfork"})
    assert f"{tried - 1} of {tried} calls that programs made" in verdict.headline
    assert "Not tried, and in no count: vfork and vhangup." in verdict.because
    assert str(len(fake.MADE)) not in verdict.headline
    assert verdict.n == 6  # sessions, not trials


def test_what_gets_enosys_only_with_rights_is_lacking(rows):
    """Both sweeps count where there are two; without the second, the card says what that means."""
    only = fake.LACKING["docker-runsc-rights"] - fake.LACKING["docker-runsc"]
    assert only
    both = tables.coverage(rows).set_index("made_by").loc[tables.OTHERS]
    assert only <= set(both["names_lacking"].split(", "))
    assert f"these answered ENOSYS only with rights: {', '.join(sorted(only))}." in (
        _common(rows).because
    )
    before = rows[rows["task"] != "rights"]
    one = tables.coverage(before).set_index("made_by").loc[tables.OTHERS]
    assert one["lacking"] == both["lacking"] - len(only)
    assert _common(before).headline.startswith("Without rights, gVisor answers ")
    assert "Not tried with rights" in _common(before).because
    assert _common(rows).headline.startswith("gVisor has ")


def test_cards_name_version_and_platform(rows):
    """As the trials have them; of data from before, where they come from."""
    told = "gVisor 20240729, platform systrap"
    cards = claims.judge(rows, platform.DECISIONS)
    assert all(f"{told}." in card.because for card in cards)
    before = claims.judge(rows.assign(layer=None), platform.DECISIONS)
    assert all(f"{told}: neither is in these trials" in card.because for card in before)
    other = claims.judge(
        rows.assign(layer=rows["layer"].str.replace("systrap", "kvm")), platform.DECISIONS
    )
    assert not any("systrap" in card.because for card in other)


def test_rights_are_kept_under_gvisor_alone():
    """No arm keeps them elsewhere, and a place of another runtime is refused before it is asked."""
    kept = [a for d in platform.DESIGNS for a in d.arms if a.conditions["task"] == "rights"]
    assert {arm.place for arm in kept} == {"docker-runsc-rights"}
    assert platform.PLACES["docker-runsc-rights"].runtime == "runsc"
    for name in ("runc", "docker-runc"):
        place = fake.FakeCalls(name)
        with pytest.raises(MeasurementError, match="with rights under 'runc'"):
            workloads.trial(place, {"task": "rights", "program": ""}, seed=1)
        assert place.created == 0


def test_the_program_keeps_rights_under_no_kernel_of_linux(require):
    """It refuses by itself; asked for getpid alone, so that nothing happens if it does not."""
    require("program syscalls")
    program = compiled.path(places.SYSCALLS)
    getpid = ["39", "39"]
    for argv in ([*getpid, "rights"], [*getpid, "other"]):
        done = subprocess.run([program, *argv], capture_output=True, text=True, timeout=10)
        assert done.returncode in (1, 2)
        assert done.stdout == ""
    assert (
        "under gVisor only"
        in subprocess.run(
            [program, *getpid, "rights"], capture_output=True, text=True, timeout=10
        ).stderr
    )


@pytest.mark.slow
@pytest.mark.engine
def test_gvisor_is_asked_with_rights(require):
    """More gets ENOSYS, among it reboot; version and platform are told."""
    require("private-engine")
    require("runsc")
    names = ("docker-runsc-rights",)
    with opened({name: places.PLACES[name] for name in names}, engine="private") as handles:
        found = workloads.trial(
            handles[names[0]], {"task": "rights", "program": "", "replicate": 0}, seed=1
        ).measures
    assert {"reboot", "swapoff", "settimeofday"} <= set(found["named"].split())
    assert found["unassigned_absent_share"] == 1.0
    assert re.fullmatch(r"gVisor 20\d{6}, platform systrap", found["layer"])


def test_the_arms_exchanged_turn_every_sentence(rows):
    """A kernel that lacks what gVisor lacks, and calls that are dearer without it."""
    names = {"runc": "docker-runsc", "docker-runsc": "runc", "docker-runc": "docker-runsc"}
    assert _word(rows) == claims.HOLDS
    swapped = rows.copy()
    sweeps = swapped["task"] == "sweep"
    swapped.loc[sweeps, "place"] = rows["place"].map(names)
    swapped = swapped[swapped["task"] != "rights"]
    turned = rows["place"].map({"docker-runc": "docker-runsc", "docker-runsc": "docker-runc"})
    costs = swapped["task"] == "cost"
    swapped.loc[costs, "place"] = turned
    assert _word(swapped) == claims.FAILS
    before = {v.claim: v for v in claims.judge(rows, platform.DECISIONS)}
    after = {v.claim: v for v in claims.judge(swapped, platform.DECISIONS)}
    for claim in before:
        assert before[claim].sentence != after[claim].sentence
    assert before[stated.CHEAP.id].verdict == claims.FAILS
    assert after[stated.CHEAP.id].verdict != claims.FAILS


def test_what_is_no_answer_is_refused():
    """Nothing, another number of columns, words of an error: the row fails with what was said."""
    for text in (
        "",
        "= 1 2 3\n",
        "= 1 2\n= 1\n",
        "cannot become nobody: Operation not permitted\n",
    ):
        with pytest.raises(MeasurementError, match="calls: "):
            calls.costs(text)
    head = "\x01\x00\x00\x00\x00\x00\x00\x1d"
    assert calls.costs(f"{head}= 1e-07 2\n") == {"getppid_s": 1e-7, "open_s": 2.0}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"task": "sweep", "absent": 2.0, "named": "keyctl"}, "2 absent calls, 1 names"),
        ({"task": "cost", "getppid_s": 2e-4, "open_s": 3.0}, "open_s 3.0"),
        ({"task": "cost", "getppid_s": 2e-10, "open_s": 3e-6}, "getppid_s 2e-10"),
    ],
)
def test_a_row_that_cannot_be_is_refused(changes, said):
    """Counts that disagree with names, and calls that take seconds or no time."""
    row = {"task": "trace", "named": "", "getppid_s": float("nan"), "open_s": float("nan")}
    with pytest.raises(DataError, match=said):
        platform.check_row(row | changes)


@pytest.mark.engine
def test_the_kernel_is_swept(require):
    """Calls that everything needs exist; the numbers kept free do not; each has its name."""
    require("runc")
    with opened({"runc": places.PLACES["runc"]}, engine="none") as handles:
        found = workloads.trial(
            handles["runc"], {"task": "sweep", "program": "", "replicate": 0}, seed=1
        ).measures
    absent = set(found["named"].split())
    assert not absent & {"read", "write", "openat", "clone", "execve", "exit_group", "pause"}
    assert "uselib" in absent or "create_module" in absent  # long gone
    assert found["unassigned_absent_share"] == 1.0
    assert found["tried"] > 300
    assert workloads.names()[0] == "read"


def test_programs_are_watched(require):
    """A shell that sorts a file reads, forks and runs; children are watched, too."""
    require("strace")
    calls = places.Traced().calls("busybox sh")
    assert {"execve", "read", "write", "wait4"} <= calls
    assert calls <= set(workloads.names().values()) | set(workloads.UNTRIED)
