"""The command line: words in, words out; every mistake ends in one line.

Exit status: 0 done, 1 a measurement failed, 2 bad usage or bad input, 130
interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from caveatlib.errors import CaveatError, ImageError, MeasurementError, StorageError, UsageError
from caveatlib.support.quantities import format_span
from caveatlib.support.text import escape_control_characters

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # brackets in a help text are brackets
    help='Check the claims of the 2016 post "Docker Caveats" on your own machine.',
)


WIDTH = 78
"""Characters of a line: an old terminal shows it whole."""


class Table(StrEnum):
    """Tables of an image."""

    layers = "layers"
    files = "files"
    packages = "packages"
    secrets = "secrets"
    summary = "summary"
    checks = "checks"


class Format(StrEnum):
    """Ways to print a table."""

    table = "table"
    csv = "csv"
    json = "json"


NOTHING = "None of the claims can be decided here; the recorded trials can be replayed:"
NO_ROOT = "Without root nothing of this can be installed; all notebooks replay recorded trials."


def _wrapped(text: str, begin: str = "") -> list[str]:
    """Return text in lines of a terminal, those after the first indented."""
    return textwrap.wrap(
        begin + text,
        WIDTH,
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _say(*lines: str, err: bool = False) -> None:
    """Print lines; what would steer a terminal, e.g. in a path or an error, is escaped."""
    typer.echo("\n".join(map(escape_control_characters, lines)), err=err)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print a list of objects")] = False,
    stage: Annotated[bool, typer.Option("--talk", help="whether all is ready for a talk")] = False,
    every: Annotated[bool, typer.Option("--long", help="every ability, every place")] = False,
) -> None:
    """Say what this machine can measure, what the rest lacks, and how to get it."""
    from caveatlib import host, trials
    from caveatlib.experiments import ALL

    if stage and as_json:
        raise UsageError("Both --talk and --json. Give one.")
    if stage:
        return _ready()
    found = host.capabilities()
    if as_json:
        keys = ("ability", "available", "reason", "fix")
        values = [(a.name, a.available, a.reason, a.fix) for a in found]
        typer.echo(json.dumps([dict(zip(keys, v, strict=True)) for v in values], indent=2))
        return
    for line in _each_ability(found) if every else _by_reason(found):
        _say(line)
    for kind in host.surroundings():
        _say("", *_wrapped(kind.means, f"inside {kind.name}: "))
    for experiment in ALL if every else ():
        _say("", f"{experiment.NAME}: {experiment.QUESTION}")
        missing = trials.arms_here(experiment)[1]
        for place in experiment.PLACES:
            can = f"no: {missing[place]}" if place in missing else "can run"
            _say(*_wrapped(can, f"  {place:<18} "))
    if not every:
        _say("", "Ability by ability, and experiment by experiment: caveatlib doctor --long")
    if os.geteuid() and not all(a.available for a in found):
        _say("", *_wrapped(NO_ROOT))
    # What a terminal still shows when all is printed.
    _say("", *_decidable([p for experiment in ALL for p in host.prospects(experiment)]))


def _each_ability(found) -> Iterator[str]:
    """Yield each ability, whether it is there, and what would mend it."""
    for a in found:
        fix = f"  ->  {a.fix}" if a.fix else ""
        begin = f"{'ok     ' if a.available else 'missing'}  {a.name:<16} "
        yield from _wrapped(f"{a.reason}{fix}", begin)


def _by_reason(found) -> Iterator[str]:
    """Yield the names of what is there, and, once for each reason, of what is missing."""
    there = [a.name for a in found if a.available]
    if there:
        yield from _wrapped(", ".join(there), "ok       ")
    lacking: dict[str, list[str]] = {}
    for a in found:
        if not a.available:
            why = f"{a.reason}  ->  {a.fix}" if a.fix else a.reason
            lacking.setdefault(why, []).append(a.name)
    for why, names in lacking.items():
        yield from _wrapped(why, f"missing  {', '.join(names)}: ")


def _ready() -> None:
    """Say whether all is ready for a talk, a line for each thing; status 1 if not."""
    from caveatlib import talk

    found = talk.ready()
    for item in found:
        fix = f"  ->  {item.fix}" if item.fix else ""
        _say(f"{'ok     ' if item.ok else 'not ok '}  {item.name:<12} {item.told}{fix}")
    wrong = [item.name for item in found if not item.ok]
    _say("", f"Not ready: {', '.join(wrong)}." if wrong else "Ready for the talk: make talk")
    if wrong:
        raise typer.Exit(1)


def _decidable(prospects) -> list[str]:
    """Say which claims can be decided on this machine, and what the others lack."""
    can: dict[str, list[str]] = {}
    cannot: dict[str, list[str]] = {}
    for prospect in prospects:
        group, name = (cannot, prospect.lacks) if prospect.lacks else (can, prospect.experiment)
        group.setdefault(name, []).append(prospect.claim)
    count = sum(map(len, can.values()))
    lines = [f"You can decide {count} of {len(prospects)} claims here:" if can else NOTHING]
    for name, ids in can.items():
        lines += _wrapped(", ".join(ids), f"  caveatlib measure {name}: ")
    if cannot:
        lines.append("You cannot decide here:")
    for why, ids in cannot.items():
        lines += _wrapped(why, f"  {', '.join(ids)}: ")
    return lines


@app.command()
def measure(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="experiments")],
    sessions: Annotated[
        int | None, typer.Option("--sessions", "--blocks", help="how many sessions")
    ] = None,
    budget_s: Annotated[
        float | None,
        typer.Option(help="seconds for each experiment; a first session is measured whole"),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="seed of every random order")
    ] = None,
    places: Annotated[str | None, typer.Option(help="only these, separated by commas")] = None,
    engine: Annotated[
        str | None, typer.Option(help="own, private, or the URL of a remote engine")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with an interrupted run")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="on every host of this Dask cluster, tcp://HOST:PORT")
    ] = None,
) -> None:
    """Measure experiments on this machine, or on every host of a Dask cluster."""
    from caveatlib import trials
    from caveatlib.experiments import by_name
    from caveatlib.measuring.plan import Plan, resumed

    if resume and out:
        raise UsageError(f"Both --resume {str(resume)!r} and --out {str(out)!r}. Give one.")
    experiments = [by_name(name) for name in names]
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise UsageError(f"Experiment {twice[0]!r} twice. Name each once.")
    folder = resume or out or Path("runs") / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    chosen = None if places is None else [p.strip() for p in places.split(",") if p.strip()]
    if chosen == []:
        raise UsageError(f"No place in {places!r}. Must be names separated by commas.")
    asked = Plan(places=chosen, sessions=sessions, budget_s=budget_s, seed=seed, engine=engine)
    if scheduler and resume:
        raise UsageError(
            f"Both --resume {str(resume)!r} and --scheduler. A fleet goes on by itself: --out."
        )
    if scheduler:
        return _measure_on_fleet(scheduler, experiments, folder, asked)
    # Before an engine that is none of the run's would be asked and shown; and before anything is
    # measured: what is wrong with the last experiment is said now.
    going = [resumed(e.NAME, folder, asked) if resume else (None, asked) for e in experiments]
    costs = [
        _cost(each, plan, begun) for each, (begun, plan) in zip(experiments, going, strict=True)
    ]
    if not resume:
        for name in names:
            trials.require_new(folder / name)
    for number, (experiment, (_, plan)) in enumerate(zip(experiments, going, strict=True)):
        _announce(experiment, folder, plan, *costs[number])
        try:
            trials.measure(experiment, out=folder, resume=resume is not None, **asdict(plan))
        except KeyboardInterrupt:
            _say("", _how_to_go_on(folder, names[number:], engine), err=True)
            raise
        _results(experiment, folder)


def _measure_on_fleet(scheduler: str, experiments: list, folder: Path, plan) -> None:
    """Measure on every host of a cluster; a line for each package."""
    from caveatlib import fleet

    with fleet.connect(scheduler) as client:
        rows = fleet.measure(client, experiments, out=folder, plan=plan, say=_say)
    if not rows["ok"].all():
        raise MeasurementError(f"{(~rows['ok']).sum()} of {len(rows)} packages did not come back.")
    _say(f"Written: {folder}")


def _cost(experiment, plan, begun: dict | None) -> tuple[float, int]:
    """Return seconds and bytes of disk that a plan, or what is left of it, needs; or refuse it."""
    from caveatlib import trials

    settings = {name: value for name, value in asdict(plan).items() if name != "seed"}
    spent = {name: begun[name] for name in ("ended", "spent_s")} if begun else {}
    return trials.cost(experiment, **settings, **spent)


def _announce(experiment, folder: Path, plan, seconds: float, disk: int) -> None:
    """Say what will run, how long it takes, and how much disk it needs."""
    from caveatlib.places.engines import choice

    kind = choice.checked(plan.engine)
    if kind not in ("private", choice.NONE):
        _say_engine(None if kind == "own" else kind)
    _say(
        f"{experiment.NAME}: about {format_span(seconds)}, {disk / 2**20:.0f} MiB of disk; "
        f"results in {folder / experiment.NAME}"
    )


def _how_to_go_on(folder: Path, names: list[str], engine: str | None) -> str:
    """Say how the interrupted experiment, and those after it, go on."""
    if not any(folder.glob("*/journal.jsonl")):
        return "Interrupted before anything was measured."
    again = f" --engine {shlex.quote(engine)}" if engine and "://" in engine else ""
    return (
        "Interrupted; what was measured is kept. Go on with: "
        f"caveatlib measure {' '.join(names)} --resume {_quoted(folder)}{again}"
    )


def _quoted(folder: Path) -> str:
    """Return a folder as it is typed into a shell."""
    return shlex.quote(str(folder))


def _say_engine(named: str | None = None, *, err: bool = False) -> None:
    """Print where an engine listens, and what named it; this is stored nowhere."""
    from caveatlib.places.engines import endpoint

    where = endpoint.resolve(named)
    _say(f"Engine: {where.url} ({where.origin})", err=err)


def _say_own_engine(source: str) -> None:
    """Name the reader's own engine before a command measures on it for want of a private one."""
    from caveatlib.places.engines import choice

    if source in ("auto", "live") and choice.checked(None) == "own":
        _say_engine(err=True)


def _results(experiment, folder: Path) -> None:
    """Say what was measured, what it decides, where it lies, and what to do next."""
    from caveatlib import page, scorecard, trials

    run = trials.open(experiment, source=folder)
    measured = run.trials
    summary = run.experiment.summarize(measured)
    medians = summary[[c for c in summary if "_median" in c or c == "n"]]
    if len(medians):
        _say("", *repr(page.show(medians)).split("\n"))
    if answer := run.answer():
        _say("", *_wrapped(answer))
    failed = measured[~measured["ok"]]
    for error, rows in failed.groupby("error", sort=False):
        where = ", ".join(rows["place"].unique())
        _say(*_wrapped(error, f"{where}: {len(rows)} without a result: "))
    _say("", *_judged(scorecard.as_table(scorecard.of_run(run))))
    _say("", f"The run lies in {folder / experiment.NAME}")
    if measured["ok"].sum() == 0:
        raise MeasurementError("No trial succeeded.")
    _say(f"Next: caveatlib report --source {_quoted(folder)}")


def _judged(rows) -> list[str]:
    """Return a line for each claim that was judged, and one for those that were not."""
    from caveatlib import claims, scorecard

    asked = rows["verdict"] != claims.NOT_MEASURED
    lines = [
        scorecard.line(row["claim"], row["verdict"], row["headline"], width=WIDTH)
        for row in rows[asked].to_dict("records")
    ]
    for why, group in rows[~asked].groupby("reason", sort=False):
        names = ", ".join(dict.fromkeys(group["claim"]))
        lines += _wrapped(why, f"{names} {claims.NOT_MEASURED}: ")
    return lines


@app.command()
def image(
    source: Annotated[str, typer.Argument(help="archive, layout folder, registry:// or docker://")],
    table: Annotated[Table | None, typer.Option(help="which table; default layers")] = None,
    as_format: Annotated[Format, typer.Option("--format", help="how to print it")] = Format.table,
    verify: Annotated[
        bool, typer.Option("--verify", help="say what was checked, against what")
    ] = False,
) -> None:
    """Read a container image without a daemon."""
    from caveatlib import images
    from caveatlib.images import checks
    from caveatlib.places.engines.engine import check_image
    from caveatlib.places.engines.own_engine import own_engine

    if verify and table not in (None, Table.checks):
        raise UsageError(f"Both --verify and --table {table}. Give one.")
    name = source.removeprefix("docker://")
    if name == source:
        found = images.read(source, olives=True)
    else:
        check_image(name)
        _say_engine(err=True)
        with own_engine() as own:
            found = images.read_stream(own.saved(name), olives=True)
    table = Table.checks if verify else table or Table.layers
    frame = getattr(found, table.value)
    if as_format is Format.csv:
        typer.echo(frame.to_csv(index=False, lineterminator="\n"), nl=False)
    elif as_format is Format.json:
        typer.echo(frame.to_json(orient="records", indent=2, force_ascii=False))
    else:
        _say(*_as_text(frame, table).split("\n"))
    for olive in found.olives.to_dict("records"):
        _say(
            f"olive: {olive['path']}: expected {olive['expected']}, found {olive['found']}",
            err=True,
        )
    for secret in found.secrets.dropna(subset="hidden_by").to_dict("records"):
        _say(
            f"secret: {secret['path']}: {secret['kind']} in layer {secret['layer']}, hidden by "
            f"layer {secret['hidden_by']}, still in the image",
            err=True,
        )
    if table is Table.checks:
        _say(checks.told(found.checked, found.digest), err=as_format is not Format.table)


def _as_text(frame, table: Table) -> str:
    """Return a table of an image for reading: short digests, modes as `ls` knows them."""
    if frame.empty:
        return f"No {table} found."
    if table is Table.summary:
        return frame.T.to_string(header=False)
    for name in frame.columns.intersection(["digest", "diff_id"]):
        frame = frame.assign(**{name: frame[name].str.replace(_DIGEST, r"\1", regex=True)})
    if "mode" in frame:
        frame = frame.assign(mode=frame["mode"].map("{:04o}".format))
    return frame.to_string(index=False)


@app.command()
def survey(
    sources: Annotated[
        list[str], typer.Argument(help="archives, layouts, folders of them, registry://HOST[/NAME]")
    ],
    out: Annotated[Path, typer.Option(help="folder of the tables")] = Path("survey"),
    platform: Annotated[str | None, typer.Option(help="os/architecture[/variant]")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="on the workers of this Dask cluster, tcp://HOST:PORT")
    ] = None,
) -> None:
    """Read many images, each distinct layer once; write what they hold and share as CSV."""
    from caveatlib import images
    from caveatlib.support.paths import write_folder
    from caveatlib.support.quantities import format_quantity

    _check_new(out)
    if scheduler:
        from caveatlib import fleet

        with fleet.connect(scheduler) as client:
            found = fleet.survey(client, sources, platform=platform)
    else:
        found = images.survey(sources, platform=platform)
    good = found.images[found.images["ok"]]
    for row in found.images[~found.images["ok"]].head(20).to_dict("records"):
        _say(f"{row['reference']}: {row['error']}", err=True)
    if good.empty and len(found.images):
        raise ImageError("None of the images could be read; nothing was written.")
    tables = {name: getattr(found, name) for name in ("images", "layers", "packages")}
    files = {f"{name}.csv": frame.to_csv(index=False, lineterminator="\n").encode()
             for name, frame in tables.items()}  # fmt: skip
    write_folder(out, files)
    stored = format_quantity(float(found.layers["compressed_bytes"].sum()), "B")
    _say(
        f"{len(good)} of {len(found.images)} images read: {len(found.layers)} distinct layers, "
        f"{stored} as stored. Tables in {out}"
    )


def _check_new(folder: Path) -> None:
    """Refuse a folder that is there, or cannot be made, before what may take hours."""
    from caveatlib.support.paths import display_path, make_folder, storage_error

    try:
        os.lstat(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise storage_error("write to", folder, error) from None
    else:
        raise UsageError(f"Folder {str(folder)!r} is there already. Must be a new one.")
    if not os.access(make_folder(folder.parent), os.W_OK):
        raise StorageError(f"Cannot write to {display_path(folder.parent)!r}.")


_DIGEST = r"^(sha\d+:.{12}).*"


@app.command()
def why(
    address_port: Annotated[str, typer.Argument(metavar="ADDRESS:PORT", help="a published port")],
) -> None:
    """Say who serves a published port, and what the other proxy setting would change."""
    from caveatlib.errors import Unavailable
    from caveatlib.experiments.ports import why as reasons
    from caveatlib.places.engines.own_engine import own_engine

    listed: list = []
    try:
        _say_engine(err=True)
        with own_engine() as own:
            listed = own.call("containers", own.api.containers)
    except (MeasurementError, Unavailable, UsageError):
        pass  # what the kernel shows is enough without an engine
    for line in reasons.explain(address_port, containers=listed).lines:
        _say(line)


@app.command()
def scorecard(
    source: Annotated[str, typer.Option(help="recorded, live, or a folder of a run")] = "recorded",
    long: Annotated[bool, typer.Option("--long", help="with quotation and reasons")] = False,
) -> None:
    """Show every claim, the post's and ours, with its verdict: a line for each machine."""
    from caveatlib import scorecard as card

    _say_own_engine(source)
    _say_scorecard(card.entries(source), long=long)


def _say_scorecard(entries, *, long: bool = False) -> None:
    from caveatlib import scorecard as card

    frame = card.as_table(entries)
    _say(*_wrapped(card.tally(entries)), "")
    if not long:
        _say(*card.lines(frame, width=WIDTH))
        return
    for row in frame.to_dict("records"):
        _say(f"{row['claim']} {row['verdict']}: “{row['quote']}” ({row['kind']})")
        doubts = f"Doubts: {row['doubts']}" if row["doubts"] else ""
        told = (row["reason"], doubts, row["machine"], row["source"])
        _say(*(f"  {part}" for part in told if part))


@app.command()
def report(
    source: Annotated[str, typer.Option(help="auto, live, recorded, or a folder")] = "auto",
    out: Annotated[Path, typer.Option(help="folder of the page")] = Path("report"),
    address: Annotated[str, typer.Option(help="where on the web the folder will be")] = "",
) -> None:
    """Run the notebooks and write a page that loads nothing, with the notebooks beside it."""
    from caveatlib import report as page

    _say_own_engine(source)
    made = page.write(out, source=source, address=address, say=_say)
    _say_scorecard(made.entries)
    _say("", f"Written: {made.page}")
    if made.failed:
        told = "; ".join(f"{name}: {error}" for name, error in made.failed.items())
        raise MeasurementError(f"The page is incomplete, by an error of caveatlib's own. {told}")


@app.command()
def compare(
    sources: Annotated[list[str], typer.Argument(metavar="RUN...", help="recorded, or folders")],
) -> None:
    """Compare runs: what differs, which claims that affects, ratios per claim with intervals."""
    from caveatlib import runs
    from caveatlib.runs import telling

    given = [runs.found(source) for source in sources]
    shared = [name for name in given[0] if all(name in found for found in given)]
    if not shared:
        held = "; ".join(f"{s!r}: {', '.join(f)}" for s, f in zip(sources, given, strict=True))
        raise UsageError(f"No experiment is in all of these runs. {held}.")
    for name in shared:
        sides = [side for found in given for side in runs.sides(found[name])]
        _say(*telling.comparison(runs.compare(sides)))


@app.command()
def pool(
    folders: Annotated[list[str], typer.Argument(metavar="DIR...", help="recorded, or folders")],
    out: Annotated[Path | None, typer.Option(help="folder for tables and forest plots")] = None,
) -> None:
    """Collect the ratios of many machines; from five on, pool them (random effects)."""
    from caveatlib import runs
    from caveatlib.runs import telling

    for found in runs.checked(folders):
        pooled = runs.pool(found)
        _say(*telling.pool(pooled))
        if out is not None:
            _say(f"Written: {runs.write(pooled, out)}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="a run, or contributions")],
) -> None:
    """Check a run as a contribution: checksums, schema, guards, privacy, A/A controls."""
    from caveatlib import runs

    for found in runs.packages(folder):
        _say(f"{found}")
        for line in runs.check(found):
            _say(f"  {line}")


class Form(StrEnum):
    """Formats of other tools."""

    hyperfine = "hyperfine"
    pyperf = "pyperf"
    rebench = "rebench"


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="experiment, or imported")],
    form: Annotated[Form, typer.Option("--as", help="format of another tool")],
    measure: Annotated[str, typer.Option(help="column of the trials, e.g. first_output_s")],
    source: Annotated[str, typer.Option(help="recorded, or a folder of a run")] = "recorded",
    out: Annotated[Path | None, typer.Option(help="file; default standard output")] = None,
) -> None:
    """Write a measure of a run for the tools of hyperfine, pyperf or ReBench."""
    from caveatlib import exchange, trials
    from caveatlib.experiments import by_name
    from caveatlib.support.paths import write_files

    experiment = exchange.imported if name == exchange.imported.NAME else by_name(name)
    run = trials.open(experiment, source=source)
    content, failed = exchange.export(run, form.value, measure=measure)
    if failed:
        _say(f"{failed} failed trials have no value, and are not in the file.", err=True)
    if out is None:
        typer.echo(content.decode(), nl=False)
    else:
        write_files(out.parent, {out.name: content})
        _say(f"Written: {out}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON of hyperfine or pyperf")],
    out: Annotated[Path | None, typer.Option(help="folder of the run")] = None,
) -> None:
    """Make a run of what hyperfine or pyperf measured, marked as imported."""
    from caveatlib import exchange

    folder = out or Path("runs") / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    run = exchange.adopt(file, folder)
    _say(repr(run), *run.experiment.summarize(run.trials).to_string().split("\n"))
    _say(f"Written: {folder}")


@app.command()
def record(
    name: Annotated[str, typer.Argument(help="experiment")],
    version: Annotated[int, typer.Option(help="version of the recorded data")],
    folders: Annotated[list[Path], typer.Option("--from", help="run; several make one package")],
) -> None:
    """Promote live runs to recorded data; --from data/NAME-vN as well keeps that version's runs."""
    from caveatlib import store
    from caveatlib.experiments import by_name
    from caveatlib.measuring.experiment import complete

    _say(f"Written: data/{store.record(complete(by_name(name)), folders, version=version).name}")


@app.command()
def clean() -> None:
    """Remove what an aborted run left; touch nothing else."""
    from caveatlib.measuring import live
    from caveatlib.places import leases, leftovers

    removed, undecided, unanswered = leftovers.sweep()
    removed += live.sweep()
    for line in removed:
        _say(f"Removed {line}")
    if undecided:
        _say(
            f"Left alone: {', '.join(undecided)}. This may be of another machine that uses your "
            "Docker engine. Remove it with `docker` if it is not."
        )
    if unanswered:
        _say(f"Your Docker engine was not looked at. {unanswered}")
    if leases.closed():
        _say("What root's runs keep here only root may look at: sudo .venv/bin/caveatlib clean")
    elif not removed:
        elsewhere = unanswered or undecided
        _say("Elsewhere nothing was left behind." if elsewhere else "Nothing was left behind.")


def main() -> None:
    """Run the command line; turn every expected error into one line and a status."""
    # Matrices are small. Where others run beside, a second thread of OpenBLAS costs more than the
    # work: of 20 decompositions of 2000 by 60, fifty times the CPU time. numpy is not imported yet.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        # Outside its standalone mode typer returns a status, 130 for Ctrl-C.
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False) or 0)
    except _MISTAKE as error:
        _fail(_words(error), 2)
    except MeasurementError as error:
        _fail(error, 1)
    except CaveatError as error:
        _fail(error, 2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # e.g. standard output on a full disk
        _fail(f"The system refused: {error.strerror or error}.", 2)


# typer carries its own copy of click since 0.27; the class it raises is the
# parent of what it exports, in either case.
_MISTAKE = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


def _words(error) -> str:
    """Return what is wrong with the words given, the offending one first."""
    cause = error.__cause__
    if hasattr(cause, "errors"):  # pydantic, which typer converts values with
        first = cause.errors()[0]
        told = first["msg"].rstrip(".")
        return f"Invalid value {first['input']!r} of {error.param.opts[0]}. {told}."
    return error.format_message()


def _fail(error: object, status: int) -> None:
    """Print one line; what comes from outside cannot break out of it."""
    text = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())
    print(f"caveatlib: {text}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
