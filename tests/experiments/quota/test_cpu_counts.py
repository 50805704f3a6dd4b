"""What tools say of their CPUs: asked for real, and their answers read."""

import os
import subprocess
import sys

import pytest

from caveatlib.errors import MeasurementError, Unavailable, UsageError
from caveatlib.experiments.quota import cpu_counts
from caveatlib.places import cache
from caveatlib.places.cgroups import cgroup

pytestmark = pytest.mark.beside


class Plain:
    """A group without a limit."""

    def spawn(self, argv, **popen):
        return subprocess.Popen(argv, **popen)


class Says:
    """A group in which every program prints the same."""

    def __init__(self, text):
        self.text = text

    def spawn(self, argv, **popen):
        return subprocess.Popen([sys.executable, "-c", f"print({self.text!r})"], **popen)


def test_python_is_always_there():
    """Python can be asked everywhere, and answers what this process knows."""
    assert {"python os.cpu_count", "python os.sched_getaffinity"} <= set(cpu_counts.installed())
    answer = cpu_counts.ask("python os.cpu_count", Plain())
    assert answer.cpus == os.cpu_count()
    assert answer.version == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    "tool", [name for name in cpu_counts.installed() if not name.startswith("go")]
)
def test_every_tool_answers(tool):
    """Each tool found here answers with a version and a number of CPUs."""
    answer = cpu_counts.ask(tool, Plain())
    assert 1 <= answer.cpus <= os.cpu_count()
    assert answer.version[0].isdigit()


def test_variables_do_not_answer(monkeypatch):
    """Variables that would answer in a tool's place do not reach it."""
    monkeypatch.setenv("GOMAXPROCS", "77")
    assert cpu_counts._output(Plain(), ["sh", "-c", "echo ${GOMAXPROCS-unset}"]) == "unset"


def test_nonsense_is_no_number(monkeypatch):
    """An answer without a number is an error that shows it."""
    with pytest.raises(MeasurementError, match="'many'"):
        cpu_counts.ask("python os.cpu_count", Says("many"))


def test_java_text():
    """Java's settings hold its version and what it counts."""
    text = '    Effective CPU Count: 1\nopenjdk version "17.0.21" 2026-10-20'
    assert cpu_counts._java(Says(text)) == ("17.0.21", 1)


def test_unknown_tool():
    """An unknown tool is refused with those that are known, a missing one is named."""
    with pytest.raises(UsageError, match="Must be one of nproc"):
        cpu_counts.ask("ruby", Plain())


def test_missing_tool(monkeypatch):
    """A tool that is not installed is not among the installed, and is named when asked."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert "nproc" not in cpu_counts.installed()
    with pytest.raises(Unavailable, match="nproc is not installed"):
        cpu_counts.ask("nproc", Plain())


@pytest.mark.slow
def test_go_builds_once(require, monkeypatch, tmp_path):
    """A program in Go is built at the first question and kept."""
    require("go")
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    first = cpu_counts.ask("go GOMAXPROCS", Plain())
    (program,) = tmp_path.glob("go-cpus-*/cpus")
    built = program.stat().st_mtime_ns
    assert cpu_counts.ask("go GOMAXPROCS", Plain()) == first
    assert program.stat().st_mtime_ns == built
    assert 1 <= first.cpus <= os.cpu_count()


@pytest.mark.engine
def test_asked_inside(require):
    """A tool is asked inside the group: what it reads there is the group's name."""
    if not cgroup.probe().available:
        require(cgroup.ABILITY)
    with cgroup.temporary(quota_us=50_000) as group:
        said = cpu_counts._output(group, ["cat", "/proc/self/cgroup"])
    assert group.cpu.name in said
