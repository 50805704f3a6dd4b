"""Measure, run the notebooks, and write the page with the notebooks as files beside it.

Nothing loads anything from anywhere: no script, no font, no style sheet, and a
content security policy that says so to the browser.
"""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path

from caveatlib import claims, host, notebooks, prepare, schedule, scorecard, talk, trials
from caveatlib.errors import CaveatError, DataError, Unavailable, UsageError
from caveatlib.experiments import ALL, by_name, recorded
from caveatlib.measuring.experiment import complete
from caveatlib.page import document, pictures
from caveatlib.page.document import Book
from caveatlib.places import spec
from caveatlib.support.paths import make_folder, storage_error
from caveatlib.support.privacy import scrub

HIGHLIGHTS = 6
AT_ONCE = 4
"""Notebooks at most that run at the same time, each in a kernel of some 250 MB."""


@dataclass
class Report:
    """What `write` wrote.

    Attributes
    ----------
    page : pathlib.Path
    sources : dict
        Experiment -> the source of its numbers, "recorded" or a folder.
    entries : list of scorecard.Entry
    failed : dict
        Experiment or notebook -> last line of the traceback of an error of ours.
    """

    page: Path
    sources: dict[str, str]
    entries: list[scorecard.Entry]
    failed: dict[str, str] = field(default_factory=dict)


def write(
    out: str | os.PathLike = "report",
    *,
    source: str = "auto",
    address: str = "",
    say: Callable = print,
) -> Report:
    """Write ``out/index.html`` and each notebook beside it.

    An error of ours in a live run is never replaced by recorded data: the page shows
    the last line of its traceback, and the result names it.

    Parameters
    ----------
    out : path, optional
    source : {"auto", "live", "recorded"} or path, optional
        ``auto`` measures what decides most claims per second here, see
        `schedule.shares`, and replays the rest, claims that so short a run leaves
        undecided among them; ``live`` measures every experiment for
        its ``VERDICT_S``, and fails where nothing can be measured; a folder is one that
        ``caveatlib measure`` wrote.
    address : str, optional
        Where on the web the folder will be, see `page.document`.
    say : callable, optional
        Is told in a sentence what happens.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        If the source is none of these, or the address is none of the web.
    Unavailable
        If Jupyter is not installed, or nothing can be measured live.
    StorageError
        If the folder cannot be written.
    DataError
        If a notebook fails on recorded data.
    """
    notebooks.need_jupyter()
    given = _given(source)
    address = _checked(address)
    out = make_folder(out)
    if not os.access(out, os.W_OK | os.X_OK):
        raise storage_error("write to", out, PermissionError(13, "Permission denied"))
    made = Report(out / "index.html", given, [])
    reasons: dict[str, str] = {}
    if not given:
        reasons = _measure(made, out, source, say)
    _judge(made, reasons, say)
    made.entries = _with_failed(_entries(made.sources, fill=source == "auto"), made.failed)
    books, pictured = _shown(made, out, reasons, say)
    replayed = {entry.id for entry in made.entries if entry.undecided}
    undecided = {e.id for e in made.entries if e.word in (claims.OPEN, claims.NOT_MEASURED)}
    told = highlights(made.sources, replayed=replayed, undecided=undecided)
    page = document(made.entries, told, books, address=address)
    _replace(made.page, page.encode())
    folder = make_folder(out / "cards")
    for name, content in pictured.items():
        _replace(folder / name, content)
    return made


def _entries(sources: Mapping[str, str], *, fill: bool) -> list[scorecard.Entry]:
    """Return the scorecard; if asked for, what a short run leaves undecided is replayed in it."""
    listed = scorecard.entries(sources)
    live = {name: "recorded" for name, source in sources.items() if source != "recorded"}
    return scorecard.filled(listed, scorecard.entries(live)) if fill and live else listed


def _with_failed(
    listed: Sequence[scorecard.Entry], failed: Mapping[str, str]
) -> list[scorecard.Entry]:
    """Let claims whose judging failed say so: without a verdict they would have no experiment."""
    return [
        replace(entry, verdicts=(_failed(entry.decision, failed[entry.experiment]),))
        if entry.decision and not entry.verdicts and entry.experiment in failed
        else entry
        for entry in listed
    ]


def _failed(decision: claims.Decision, error: str) -> claims.Verdict:
    reason = f"Judging what was measured here failed: {error}"
    return claims.not_measured(decision.claim, reason)


def _shown(
    made: Report, out: Path, reasons: Mapping[str, str], say: Callable
) -> tuple[list[Book], dict[str, bytes]]:
    """Run the notebooks, several at once, and draw a picture of each card meanwhile.

    Nothing is measured any more: nothing of this falls on a trial.
    """
    # Whole, before there are threads that do so: matplotlib must not look into half of it.
    import IPython  # noqa: F401

    with notebooks.kernels() as shared, ThreadPoolExecutor(min(host.cores(), AT_ONCE)) as pool:
        try:
            books = pool.map(lambda p: _book(p, out, made, reasons, say, shared), notebooks.files())
            talked = pool.map(lambda p: _talk(p, out, say, shared), notebooks.talks())
            pictured = _previews(made.entries)
            return [*books, *talked], pictured
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # those that run come to their end
            raise


def _checked(address: str) -> str:
    """Return an address that ends in a slash, or nothing."""
    if address and not re.fullmatch(r"https?://[^\s?#]+", address):
        raise UsageError(
            f"Address {address!r}. Must be of the web, 'https://example.org/caveats/'."
        )
    return f"{address.rstrip('/')}/" if address else ""


def _previews(listed: list[scorecard.Entry]) -> dict[str, bytes]:
    """Return a picture of each card by its name, for sites that show one beside a link."""
    told = [entry for entry in listed if entry.word != scorecard.NOT_YET]
    return {
        f"{entry.id}.{kind}": content
        for entry in told
        for kind, content in pictures.preview(entry).items()
    }


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _given(source: str) -> dict[str, str]:
    """Return where every experiment's numbers come from, empty if they are to be measured."""
    if source in ("auto", "live"):
        return {}
    if source != "recorded":
        source = str(Path(source).absolute())  # notebooks run elsewhere
    return {e.NAME: trials.source_of(e, source) or "recorded" for e in ALL}


def _measure(made: Report, out: Path, source: str, say: Callable) -> dict[str, str]:
    """Measure what can be measured here; return why the others are replayed, for the reader.

    What an experiment lacks is prepared right before it is measured, so that the first
    verdicts do not wait for the last one's; the time that takes is not measured in.
    """
    folder, began = out / "runs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"), time.monotonic()
    made.sources, reasons, errors = {e.NAME: "recorded" for e in ALL}, {}, []
    replayed, shares = [experiment.NAME for experiment in recorded()], _shares(source)

    def replay(name: str, reason: str) -> None:
        reasons[name] = scrub(reason).rstrip(".")
        say(f"{_instead(name, replayed)}: {reason.rstrip('.')}.")

    for share in (share for share in shares if not share.seconds):
        replay(share.experiment.NAME, share.reason)
    for share in (share for share in shares if share.seconds):
        experiment, name = share.experiment, share.experiment.NAME
        try:
            _prepare(share, say)
            seconds = share.seconds
            if source == "auto":
                seconds = schedule.left_s(share, time.monotonic() - began)
            if not seconds:
                replay(name, f"no time was left for it; `caveatlib measure {name}` measures it")
                continue
            more = f" {share.reason}." if share.reason else ""
            say(f"Measuring {name} for about {seconds:.0f} s.{more}")
            trials.measure(
                experiment,
                out=folder,
                budget_s=seconds,
                places=share.places or None,
                watch=schedule.told(experiment, say, began),
            )
            made.sources[name] = str(folder.resolve())
        except CaveatError as error:
            errors.append(str(error))
            reasons[name] = scrub(error).rstrip(".")
            say(f"{_instead(name, replayed)}: {error}")
        except Exception as error:  # an error of ours: said, and never replayed in silence
            made.failed[name] = _last_line(error)
            reasons[name] = f"measuring it here failed: {made.failed[name]}"
            say(f"Measuring {name} failed: {made.failed[name]}")
    if source == "live" and len(errors) == len(ALL):
        raise Unavailable(f"Nothing can be measured live here. {errors[0]}")
    return reasons


def _prepare(share: schedule.Share, say: Callable) -> None:
    """Make what an experiment lacks: all of it, or for its first verdicts what needs no download.

    What its places lacked before is looked for again.
    """
    experiment = complete(share.experiment)
    wanted = experiment.ARTEFACTS if share.whole else prepare.programs(experiment.ARTEFACTS)
    missing = prepare.missing(wanted)
    prepare.run(say, missing)
    if missing:
        spec.forget(experiment.PLACES.values())


def _instead(name: str, replayed: list[str]) -> str:
    """Say what happens to an experiment that is not measured."""
    if name in replayed:
        return f"Replaying {name} from recorded data"
    return f"Leaving {name} out, which is not recorded yet"


def _shares(source: str) -> list[schedule.Share]:
    """Return what is measured for how long; asked for live numbers alone, everything."""
    if source == "auto":
        return schedule.shares()
    return [schedule.Share(e, complete(e).VERDICT_S, (), "") for e in ALL]


def _judge(made: Report, reasons: dict[str, str], say: Callable) -> None:
    """Leave out what cannot be judged for an error of ours, and say why, for the reader."""
    for name, source in list(made.sources.items()):
        if source == "recorded":
            continue
        try:
            scorecard.verdicts({name: source})
        except Exception as error:
            made.failed[name] = _last_line(error)
            del made.sources[name]
            reasons[name] = f"judging what was measured here failed: {made.failed[name]}"
            say(f"Judging {name} failed: {made.failed[name]}")


def _last_line(error: BaseException) -> str:
    """Return the last line of an error's traceback; a cell's own where a cell raised it."""
    if name := getattr(error, "ename", ""):
        return scrub(f"{name}: {error.evalue}")
    return scrub(traceback.format_exception_only(error)[-1])


def highlights(
    sources: dict[str, str] | None = None,
    *,
    replayed: Collection[str] = (),
    undecided: Collection[str] = (),
) -> list:
    """Return the first findings of each experiment in turn, `HIGHLIGHTS` at most.

    Parameters
    ----------
    sources : dict, optional
        Experiment -> the source of its trials; default as `trials.source_of`.
    replayed : collection of str
        Claims that a run left undecided: their findings are those of the recorded trials.
    undecided : collection of str
        Claims that nothing decides: what was estimated of them is not a finding.
    """
    if sources is None:
        sources = {e.NAME: trials.source_of(e) or "recorded" for e in ALL}
    told = []
    for experiment in ALL:
        source = sources.get(experiment.NAME)
        if source is None:
            continue
        found = _highlights(experiment, source)
        if replayed:
            known = [] if source == "recorded" else _highlights(experiment, "recorded")
            found = [h for h in found if h.claim not in replayed]
            found += [h for h in known if h.claim in replayed]
        told.append([h for h in found if h.claim not in undecided])
    turns = [h for turn in zip_longest(*told) for h in turn if h is not None]
    return turns[:HIGHLIGHTS]


def _highlights(experiment, source: str) -> list:
    """Return what an experiment's trials of one source found, on the first of their machines."""
    if source == "recorded" and experiment not in recorded():
        return []
    found = trials.get(experiment, source=source)
    machine = found["machine"].iloc[0] if len(found) else ""
    told = complete(experiment).highlights(found[found["machine"] == machine])
    where = "recorded" if source == "recorded" else "measured here"
    return [h._replace(source=where) for h in told]


def _book(
    path: Path, out: Path, made: Report, reasons: Mapping[str, str], say: Callable, shared: Path
) -> Book:
    """Run a notebook, write it beside the page, and say where its numbers come from."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    title, error = notebook.metadata.get("caveatlib", {}).get("title") or path.stem, ""
    names = notebooks.experiments_of(notebook)
    live = {n: made.sources[n] for n in names if made.sources.get(n, "recorded") != "recorded"}
    note = _origin(names, live, reasons)
    say(f"Running {path.name}.")
    try:
        source = next(iter(live.values()), "recorded")
        notebooks.run(notebook, source, figures="svg", shared=shared)
        if live:
            _answer_live(notebook, {name: made.sources.get(name, "recorded") for name in names})
    except Exception as raised:  # a cell's own, a time limit, or a kernel that died
        error = _last_line(raised)
        if not live:
            raise DataError(f"Notebook {path.name!r} fails on recorded data: {error}") from None
        made.failed[path.name] = error
        note += f" The notebook ended in {error}"
        say(f"{path.name} failed: {error}")
    file = f"{path.stem}.html"
    _replace(out / file, notebooks.as_page(title, note, notebooks.body_of(notebook)).encode())
    return Book(file, title, note, error)


def _talk(path: Path, out: Path, say: Callable, shared: Path) -> Book:
    """Run a talk on recorded trials, whatever was measured, and write its slides."""
    say(f"Running {path.name}.")
    try:
        notebook = notebooks.execute(path, "recorded", figures="svg", shared=shared)
    except Exception as raised:
        raise DataError(
            f"Notebook {path.name!r} fails on recorded data: {_last_line(raised)}"
        ) from None
    title = notebook.metadata["caveatlib"]["title"]
    file = f"{path.stem}.html"
    _replace(out / file, talk.document(notebook).encode())
    return Book(file, title, "Slides, from recorded data. PageDown goes on.")


def _origin(names: Sequence[str], live: Collection[str], reasons: Mapping[str, str]) -> str:
    """Say where the numbers of a notebook come from, experiment by experiment if they differ."""
    replayed = [name for name in names if name not in live]
    why = "; ".join(dict.fromkeys(reasons[name] for name in replayed if name in reasons))
    why = f": {why}" if why else ""
    if not live:
        return f"Replayed from recorded data{why}."
    if not replayed:
        return "Measured on this machine."
    return f"Measured on this machine: {', '.join(live)}. Replayed: {', '.join(replayed)}{why}."


def answer(sources: Mapping[str, str]) -> str:
    """Return the answers of a notebook's experiments, each from its source, in a row."""
    return " ".join(trials.open(by_name(n), source=s).answer() for n, s in sources.items())


def _answer_live(notebook, sources: Mapping[str, str]) -> None:
    """Let a notebook's text say what the trials of this run say, not the recorded ones."""
    if not notebooks.ANSWER.search(notebook.cells[0].source):
        return
    here = {name: source for name, source in sources.items() if source != "recorded"}
    others = {name: source for name, source in sources.items() if source == "recorded"}
    told = f"**Answer, measured on this machine:** {notebooks.in_points(_as_text(answer(here)))}"
    if others:
        recorded = notebooks.in_points(_as_text(answer(others)))
        told += f"\n\n**From the recorded trials:** {recorded}"
    notebooks.put_answer(notebook, told)


def _as_text(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    plain = re.sub(r"\s+", " ", text)
    return re.sub(r"[^\w .,;%-]|_", lambda found: f"&#{ord(found[0])};", plain)
