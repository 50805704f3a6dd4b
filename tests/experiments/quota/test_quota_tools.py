"""Which programs see their CPU limit, as `quota` tells of it: one by one, and as a whole."""

import pytest
from experiments.quota.made_up import by_claim, trial_row

from caveatlib import frames
from caveatlib.experiments import quota
from caveatlib.experiments.quota.designs import arm

pytestmark = pytest.mark.beside


def _asked(seen, cores=2, place="cgroup", tool="nproc", version="9.7"):
    asked = arm(place, cores=cores, pattern="tool", tool=tool, workers=0, quota_cpus=0.5)
    return trial_row("tools", asked, 0, cpus_seen=seen, tool_version=version)


def _judged(*rows):
    return by_claim(frames.from_rows(list(rows), quota.Trials))


JAVA = {"tool": "java availableProcessors", "version": "17"}


def test_tools_see_or_do_not():
    """Each tool has one verdict, naming every answer and place."""
    rows = [_asked(2.0), _asked(2.0, place="docker")]
    found = _judged(*rows)
    assert (found["C07/nproc"].verdict, found["C07/nproc"].n) == ("does not hold", 2)
    assert found["C07/nproc"].headline == (
        "nproc 9.7 reports 2 of 2 CPUs under a quota of 0.5 CPU (cgroup, docker)"
    )
    assert found["C07/node os.cpus"].because == (
        "node os.cpus was not asked: each tool is asked where it is installed."
    )
    assert found["C07/node os.cpus"].verdict == "not measured here"
    assert _judged(_asked(1.0))["C07/nproc"].verdict == "holds"
    assert list(quota.tools(frames.from_rows(rows, quota.Trials))["sees_it"]) == [False, False]


@pytest.mark.parametrize("other", [{"place": "docker"}, {"version": "10"}])
def test_a_tool_that_differs_is_mixed(other):
    """Places or versions that differ make a tool mixed, and both answers are told."""
    verdict = _judged(_asked(1.0), _asked(2.0, **other))["C07/nproc"]
    assert (verdict.verdict, verdict.n) == ("mixed", 2)
    assert verdict.headline == "nproc sees its limit in 1 of 2 answers"
    assert "nproc 9.7 reports 1 of 2 CPUs" in verdict.because
    assert " reports 2 of 2 CPUs" in verdict.because


def test_tools_as_a_whole():
    """C07 itself has one verdict: holds if no tool sees its limit, fails if all do, else mixed."""
    verdict = _judged(_asked(2.0), _asked(2.0, place="docker"), _asked(1.0, **JAVA))["C07"]
    assert (verdict.verdict, verdict.n) == ("mixed", 2)
    assert verdict.because == (
        "Programs that see their CPU limit: 1 of 2 (java 17). "
        "Seen by java 17 (availableProcessors); not by nproc 9.7."
    )
    assert _judged(_asked(2.0), _asked(2.0, **JAVA))["C07"].verdict == "holds"
    assert _judged(_asked(1.0), _asked(1.0, **JAVA))["C07"].verdict == "does not hold"
    verdict = _judged(_asked(1.0), _asked(2.0, place="docker"))["C07"]
    assert verdict.verdict == "mixed"
    assert verdict.headline == "Programs that see their CPU limit: 0 of 1; in part: nproc 9.7"


def test_answers_are_of_versions_and_a_cgroup_version():
    """C07 and its parts say on which cgroup version which version of each program was asked."""
    rows = [_asked(2.0), _asked(1.0, **JAVA)]
    machine = "a CPU, 2 CPUs, Linux 6.18, cgroup v2"
    trials = frames.from_rows([row | {"machine": machine} for row in rows], quota.Trials)
    found = by_claim(trials)
    assert found["C07"].headline == (
        "Programs that see their CPU limit on cgroup v2: 1 of 2 (java 17)"
    )
    assert "not by nproc 9.7" in found["C07"].because
    assert found["C07/nproc"].headline == (
        "nproc 9.7 reports 2 of 2 CPUs under a quota of 0.5 CPU on cgroup v2 (cgroup)"
    )
    assert quota.answer(trials).startswith("The CPU limit on cgroup v2 is seen by java 17")
    assert "cgroup version" in found["C07"].decides


def test_a_tool_is_a_program_not_a_function():
    """Three functions of one program are one tool; one that differs makes it see in part."""
    names = ("os.cpu_count", "os.process_cpu_count", "os.sched_getaffinity")
    python = [_asked(2.0, tool=f"python {name}", version="3.13.5") for name in names]
    verdict = _judged(*python, _asked(2.0))["C07"]
    assert (verdict.verdict, verdict.n) == ("holds", 2)
    assert verdict.because == (
        "Programs that see their CPU limit: 0 of 2. "
        f"Seen by none; not by nproc 9.7, python 3.13.5 ({', '.join(names)})."
    )
    aware = [*python[:2], _asked(1.0, tool=f"python {names[2]}", version="3.13.5")]
    verdict = _judged(*aware, _asked(2.0))["C07"]
    assert verdict.verdict == "mixed"
    assert "in part by python 3.13.5" in verdict.because
    assert _judged(*aware)[f"C07/python {names[2]}"].verdict == "holds"
    told = quota.answer(frames.from_rows([*aware, _asked(2.0)], quota.Trials))
    assert told == ("The CPU limit is seen by none, in part by python 3.13.5, not by nproc 9.7.")


def test_a_tool_that_failed():
    """A tool that was asked and gave no answer says why."""
    failed = _asked(None) | {"ok": False, "error": "No version in ''.", "tool_version": None}
    verdict = _judged(failed)["C07/nproc"]
    assert verdict.verdict == "not measured here"
    assert verdict.because == "No nproc: No version in ''."


def test_tools_on_one_core():
    """On one CPU nobody can tell whether a tool sees its quota."""
    found = _judged(_asked(1.0, cores=1))
    for claim in ("C07", "C07/nproc"):
        assert found[claim].verdict == "not measured here"
        assert found[claim].because.startswith("On 1 CPU a tool reports the same")
