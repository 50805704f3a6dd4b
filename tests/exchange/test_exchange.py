"""Round trips with hyperfine, pyperf and ReBench: their own programs read what we write.

Seen to fail: with failed runs of a command kept as values, a process of pyperf taken apart,
one benchmark's values laid in the blocks of another's, the host name kept, and the unit of a
measure not looked at.
"""

import importlib.util
import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from runs import made

from caveatlib import cli, exchange, frames, stats, trials
from caveatlib.errors import CaveatError, DataError, UsageError
from caveatlib.exchange import imported
from caveatlib.experiments import quota, startup
from caveatlib.runs import finding

pytestmark = pytest.mark.beside

SAMPLES = Path(__file__).parents[1] / "samples" / "exchange"
SCRIPTS = SAMPLES / "hyperfine"


@pytest.fixture(scope="module")
def recorded():
    """Return the recorded run of `startup`."""
    return trials.open(startup, source="recorded")


def written(tmp_path, run, form, measure):
    """Write an export and return its path."""
    path = tmp_path / f"{form}.out"
    path.write_bytes(exchange.export(run, form, measure=measure)[0])
    return path


def printed(*argv) -> str:
    """Run a program and return what it printed."""
    done = subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def medians(run, measure) -> dict[str, float]:
    """Return the medians of the arms by name, from the trials."""
    arms, _ = exchange.exporting.of_run(run, measure)
    return {arm.name: statistics.median(arm.values) for arm in arms}


# --- hyperfine ---------------------------------------------------------------


@pytest.mark.slow
def test_hyperfines_scripts_read_ours(tmp_path, recorded):
    """Its statistics print our medians, and its plot is drawn."""
    path = written(tmp_path, recorded, "hyperfine", "first_output_s")
    said = printed(sys.executable, SCRIPTS / "advanced_statistics.py", path)
    found = re.findall(r"Command '(.+)'\n.*runs: +(\d+)(?:.*\n)+?.*median: +([\d.]+) s", said)
    expected = medians(recorded, "first_output_s")
    assert {name: float(m) for name, _, m in found} == {
        name: pytest.approx(value, abs=6e-4) for name, value in expected.items()
    }
    assert len(found) > 20
    kept = {r["command"]: r["median"] for r in json.loads(path.read_text())["results"]}
    assert kept == expected
    picture = tmp_path / "plot.png"
    printed(sys.executable, SCRIPTS / "plot_whisker.py", path, "-o", picture)
    assert picture.stat().st_size > 10_000


def test_ours_to_hyperfine_and_back(tmp_path, recorded):
    """The imported run has the same medians, arm by arm, and as many values."""
    path = written(tmp_path, recorded, "hyperfine", "first_output_s")
    back = exchange.adopt(path, tmp_path / "back")
    expected = medians(recorded, "first_output_s")
    assert medians(back, "took_s") == expected
    values = recorded.trials["first_output_s"].notna() & recorded.trials["ok"]
    assert len(back.trials) == int(values.sum())


def test_a_run_of_hyperfine(tmp_path, require):
    """What the program itself measures now is imported with its own medians."""
    require("hyperfine")
    path = tmp_path / "hf.json"
    printed("hyperfine", "-N", "--runs", 10, "--export-json", path, "sleep 0.01", "true")
    run = exchange.adopt(path, tmp_path / "run")
    found = {r["command"]: r["median"] for r in json.loads(path.read_text())["results"]}
    assert medians(run, "took_s") == pytest.approx(found, rel=1e-12)
    assert set(run.trials["source"]) == {"imported"}


def test_failed_runs_are_failed_trials(tmp_path):
    """A command with an exit status has no value, and its neighbours keep theirs."""
    run = exchange.adopt(SAMPLES / "hyperfine.json", tmp_path)
    counts = run.experiment.summarize(run.trials).reset_index().set_index("place")
    assert counts["failed"].to_dict() == {"false": 12, "true": 0, "~/bin/sleeper 0.02": 0}
    errors = run.trials.loc[run.trials["place"] == "false", "error"]
    assert set(errors) == {"failed with exit status 1"}
    content, failed = exchange.export(run, "hyperfine", measure="took_s")
    assert failed == 12
    assert [r["command"] for r in json.loads(content)["results"]] == ["~/bin/sleeper 0.02", "true"]


# --- pyperf ------------------------------------------------------------------


def test_pyperf_reads_ours(tmp_path, recorded):
    """`pyperf stats` and its classes see our medians, sessions as runs, warm-ups as such."""
    pyperf = pytest.importorskip("pyperf")
    path = written(tmp_path, recorded, "pyperf", "first_output_s")
    suite = pyperf.BenchmarkSuite.load(str(path))
    expected = medians(recorded, "first_output_s")
    assert {b.get_name(): b.median() for b in suite} == expected
    one = suite.get_benchmark("start: process, replicate 0")
    which = "design == 'start' and place == 'process' and replicate == 0"
    warmed = recorded.table("warmups").query(which)
    each = warmed.groupby(["run", "session"], sort=False).size().tolist()  # a lead-in is one, too
    assert set(each) == {1, 2}
    assert one.get_nrun() == len(each)
    assert [len(run.warmups) for run in one.get_runs()] == each
    assert one.get_metadata()["cpu_count"] == 2
    said = printed(sys.executable, "-m", "pyperf", "stats", path)
    assert said.count("Total number of values:") == len(expected)


def test_ours_to_pyperf_and_back(tmp_path, recorded):
    """Sessions, warm-ups and medians come back as they were."""
    path = written(tmp_path, recorded, "pyperf", "first_output_s")
    back = exchange.adopt(path, tmp_path / "back")
    assert medians(back, "took_s") == medians(recorded, "first_output_s")
    mine, _ = exchange.exporting.of_run(recorded, "first_output_s")
    theirs, _ = exchange.exporting.of_run(back, "took_s")
    assert [a.sessions for a in theirs] == [a.sessions for a in mine]
    assert back.trials["machine"].iloc[0] == "Intel Xeon, 2 CPUs"


def test_warm_ups_stay_with_their_session():
    """Where all trials of one failed, its warm-ups are not laid to the next one's."""
    run = trials.open(startup, source="recorded")

    def of(name):
        arms, _ = exchange.exporting.of_run(run, "first_output_s")
        (found,) = (arm for arm in arms if arm.name == name)
        return found

    before = of("start: process, replicate 0")
    table = run.trials
    arm = (table["design"] == "start") & (table["place"] == "process") & (table["replicate"] == 0)
    first = table[arm].sort_values(["run", "session"]).iloc[0]
    lost = arm & (table["run"] == first["run"]) & (table["session"] == first["session"])
    run._tables["trials"] = table.assign(ok=table["ok"] & ~lost)
    after = of("start: process, replicate 0")
    assert after.sessions == before.sessions[1:]
    assert after.warmups == before.warmups[1:]
    assert len(after.warmups) == len(after.sessions)


def test_a_run_of_pyperf(tmp_path):
    """What the program itself measures now is imported with its own median and processes."""
    pyperf = pytest.importorskip("pyperf")
    path = tmp_path / "pp.json"
    printed(sys.executable, "-m", "pyperf", "timeit", "-p", 3, "-n", 2, "-w", 1, "-l", 100,
            "-o", path, "--name", "sums", "sum(range(100))")  # fmt: skip
    run = exchange.adopt(path, tmp_path / "run")
    assert medians(run, "took_s") == {"sums": pyperf.Benchmark.load(str(path)).median()}
    assert run.trials["session"].nunique() == 3
    assert len(run.table("warmups")) == 3


def test_no_more_of_a_machine_is_kept_than_of_ours(tmp_path):
    """Host name, folders and what follows the kernel's number stay behind."""
    run = exchange.adopt(SAMPLES / "pyperf.json", tmp_path)
    facts = run.conditions().iloc[:, 0].droplevel("place").to_dict()
    assert facts == {
        "imported_from": "pyperf",
        "cpu_model": "AMD EPYC",
        "cpus": "2",
        "kernel": "Linux 6.12.1",
        "python": "3.13.5",
    }
    exchange.adopt(SAMPLES / "hyperfine.json", tmp_path / "two")
    everything = "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())
    for private in ("zephyr-laptop", "mkowalczyk77", "acme-corp"):
        assert private not in everything


def test_what_was_not_interleaved_is_not_paired(tmp_path):
    """No block and no session holds two benchmarks, so nothing is compared in pairs."""
    run = exchange.adopt(SAMPLES / "hyperfine.json", tmp_path)
    for pairing in ("block", "session"):
        one, other = {"place": "true"}, {"place": "~/bin/sleeper 0.02"}
        wanted = stats.Contrast("x", "took_s", one, other, pairing=pairing)
        (row,) = stats.contrasts(run.trials, [wanted]).to_dict("records")
        assert row["n"] == 0


# --- ReBench -----------------------------------------------------------------


def test_rebench_reads_ours(tmp_path, recorded):
    """Its own reader finds every arm with its mean, and every value."""
    if importlib.util.find_spec("rebench") is None:
        pytest.skip("rebench is missing")
    from rebench.persistence import DataStore
    from rebench.ui import UI

    path = written(tmp_path, recorded, "rebench", "first_output_s")
    settings = SimpleNamespace(use_rebench_db=False, discard_old_data=False, options=None,
                               git_repo=None)  # fmt: skip
    store = DataStore(UI())
    store.get(str(path), settings, "benchmark").load_data([], False)
    found = {r.benchmark.name: r for r in store._run_ids}
    arms, _ = exchange.exporting.of_run(recorded, "first_output_s")
    assert set(found) == {arm.name for arm in arms}
    for arm in arms:
        assert found[arm.name].get_number_of_data_points() == len(arm.values)
        assert found[arm.name].get_mean_of_totals() == pytest.approx(statistics.fmean(arm.values))
        assert found[arm.name].completed_invocations == len(arm.sessions)
        assert found[arm.name].total_unit == "s"


# --- bad input ---------------------------------------------------------------

HYPERFINE = {"results": [{"command": "a", "times": [0.1]}]}
PYPERF = {
    "version": "1.0",
    "benchmarks": [{"metadata": {"name": "a"}, "runs": [{"values": [0.1]}]}],
}
BAD = {
    "no JSON": ("{", "is not JSON"),
    "not a number": ('{"results": [{"command": "a", "times": [NaN]}]}', "NaN is not a number"),
    "nested": ("[" * 100_000, "is not JSON"),
    "a list": ("[]", "is not what hyperfine or pyperf writes"),
    "a number": ("7", "is not what hyperfine or pyperf writes"),
    "null": ("null", "is not what hyperfine or pyperf writes"),
    "null for a list": ('{"results": null}', "is not what hyperfine or pyperf writes"),
    "nothing": ('{"results": []}', "holds no value"),
    "a text for a number": (json.dumps(HYPERFINE).replace("0.1", '"0.1"'), "Must be a number"),
    "below zero": (json.dumps(HYPERFINE).replace("0.1", "-0.1"), "-0.1"),
    "too large": (json.dumps(HYPERFINE).replace("0.1", "1e999"), "finite"),
    "another version": (json.dumps(PYPERF).replace("1.0", "9"), "Version '9'"),
    "another unit": (
        json.dumps(PYPERF).replace('"name"', '"unit": "integer", "name"'),
        "Unit 'integer'",
    ),
    "a name that is none": (
        json.dumps(PYPERF).replace('"name": "a"', '"title": "a"'),
        "is not what hyperfine or pyperf writes",
    ),
    "a whole number without end": (
        json.dumps(HYPERFINE).replace("0.1", "9" * 400),
        "Value inf of 'a'. Must be finite",
    ),
    "a list for a command": (
        json.dumps(HYPERFINE).replace('"a"', '["a"]'),
        "is not what hyperfine or pyperf writes",
    ),
    "a name of numbers": (
        json.dumps(PYPERF).replace('"name": "a"', '"name": [1]'),
        "is not what hyperfine or pyperf writes",
    ),
    "fewer exit codes than times": (
        '{"results": [{"command": "a", "times": [1, 2, 3], "exit_codes": [0]}]}',
        "is not what hyperfine or pyperf writes",
    ),
    "a text for an exit code": (
        '{"results": [{"command": "a", "times": [1], "exit_codes": ["of /home/ann"]}]}',
        "is not what hyperfine or pyperf writes",
    ),
    "a warm-up of three": (
        json.dumps(PYPERF).replace('"values"', '"warmups": [[1, 0.1, 7]], "values"'),
        "is not what hyperfine or pyperf writes",
    ),
    "no UTF-8": (b"\xff\xfe\x00", "is not JSON"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_one_line(tmp_path, fault):
    """It names what is wrong, and leaves no run behind."""
    content, named = BAD[fault]
    path = tmp_path / "file.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=re.escape(named)) as caught:
        exchange.adopt(path, tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_texts_in_the_places_of_figures_are_left_out(tmp_path):
    """Of the machine no more is kept than figures, whoever wrote the file."""
    told = {"cpu_count": "ann's laptop", "python_version": "of /home/ann", "platform": "x y"}
    path = tmp_path / "file.json"
    path.write_text(json.dumps(PYPERF | {"metadata": told}))
    run = exchange.adopt(path, tmp_path / "run")
    facts = run.conditions().iloc[:, 0].droplevel("place").to_dict()
    assert facts == {"imported_from": "pyperf"}


def test_a_file_without_end_is_not_read_whole(tmp_path, monkeypatch):
    """A device says that it has no byte, and gives as many as are asked for."""
    monkeypatch.setattr(exchange.adopting, "LARGEST", 1000)
    with pytest.raises(DataError, match="larger than 1,000 bytes"):
        exchange.adopt("/dev/zero", tmp_path / "run")
    path = tmp_path / "file.json"
    text = json.dumps(HYPERFINE)
    path.write_text(text.ljust(1000))
    assert len(exchange.adopt(path, tmp_path / "run").trials) == 1
    path.write_text(text.ljust(1001))
    with pytest.raises(DataError, match="larger than"):
        exchange.adopt(path, tmp_path / "other")


def test_names_that_scrub_to_the_same_stay_apart(tmp_path):
    """Two programs of two homes are two benchmarks."""
    names = ["/home/ann/bin/x", "/home/bob/bin/x"]
    results = [{"command": name, "times": [0.1 + i, 0.2 + i]} for i, name in enumerate(names)]
    path = tmp_path / "file.json"
    path.write_text(json.dumps({"results": results}))
    run = exchange.adopt(path, tmp_path / "run")
    assert medians(run, "took_s") == pytest.approx({"~/bin/x": 0.15, "~/bin/x (2)": 1.15})


EXPORTS = [
    (startup, "gnuplot", "first_output_s", "Unknown format 'gnuplot'"),
    (startup, "pyperf", "first_output", "Unknown measure 'first_output'. Must be one of created_s"),
    (startup, "hyperfine", "pss_bytes", "hyperfine has seconds"),
    (quota, "pyperf", "throttled_s", "Value 0 of 'throttled_s'"),
]


@pytest.mark.parametrize(("experiment", "form", "measure", "named"), EXPORTS)
def test_what_a_format_cannot_have_is_refused(experiment, form, measure, named):
    """An unknown format or measure, another unit, zeros: one line each."""
    with pytest.raises(CaveatError, match=named):
        exchange.export(trials.open(experiment, source="recorded"), form, measure=measure)


def test_seconds_of_two_machines_are_not_in_one_file(tmp_path, monkeypatch):
    """A run of two machines is refused."""
    made.known(monkeypatch)
    run = made.opened(made.run(tmp_path / "one"))
    half = run.trials
    half.loc[half["block"] > 7, "machine"] = "another"
    run._tables["trials"] = half
    with pytest.raises(UsageError, match="Run of 2 machines"):
        exchange.export(run, "hyperfine", measure="took_s")


def test_imported_runs_are_no_experiment_of_ours(tmp_path):
    """They cannot be measured, pooled or compared by claims, and their folder says what it is."""
    run = exchange.adopt(SAMPLES / "hyperfine.json", tmp_path)
    with pytest.raises(DataError, match="is of 'imported'"):
        finding.opened(run.folder)
    with pytest.raises(UsageError, match="cannot be measured"):
        imported.trial(None, {}, seed=1)
    again = trials.open(imported, source=tmp_path)
    assert again.trials.equals(run.trials)
    assert again.verdicts() == []
    assert "imported" in frames.SOURCES
    with pytest.raises(UsageError, match="exists"):
        exchange.adopt(SAMPLES / "hyperfine.json", tmp_path)


def test_the_commands(monkeypatch, capsys, tmp_path):
    """Export to a file or standard output, import into a folder; a mistake is one line."""
    monkeypatch.chdir(tmp_path)
    words = ["export", "startup", "--as", "pyperf", "--measure", "first_output_s"]
    assert _command(monkeypatch, *words, "--out", "x.json") == 0
    told = capsys.readouterr()
    assert told.out == "Written: x.json\n"
    assert _command(monkeypatch, *words) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(Path("x.json").read_text())
    assert _command(monkeypatch, "import", "x.json", "--out", "mine") == 0
    assert "Written: mine\n" in capsys.readouterr().out
    words = ["export", "imported", "--as", "rebench", "--measure", "took_s", "--source", "mine"]
    assert _command(monkeypatch, *words) == 0
    assert capsys.readouterr().out.startswith("# Execution Start: 20")
    for wrong, named in (
        (["export", "startup", "--as", "csv", "--measure", "x"], "csv"),
        (["export", "startup", "--as", "pyperf", "--measure", "x"], "'x'"),
        (["import", "nowhere.json"], "nowhere.json"),
        (["import", "x.json", "--out", "mine"], "exists"),
    ):
        assert _command(monkeypatch, *wrong) == 2
        told = capsys.readouterr().err
        assert named in told
        assert told.count("\n") == 1


def _command(monkeypatch, *words) -> int:
    monkeypatch.setattr("sys.argv", ["caveatlib", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code
