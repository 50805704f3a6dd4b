"""Execute the notebooks and write one self-contained page.

The page loads nothing from anywhere: no script, no font, no style sheet, and a
content security policy that says so to the browser.
"""

from __future__ import annotations

import html
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from caveatlib import scorecard, trials
from caveatlib.errors import CaveatError, DataError, Unavailable
from caveatlib.experiments import ALL, by_name
from caveatlib.support import shipped
from caveatlib.support.paths import make_folder, storage_error

if TYPE_CHECKING:
    import pandas as pd

BUDGET_S = 75.0
"""Seconds of measuring per experiment at least, when the report measures by itself."""
LIMIT_S = 180.0
"""An experiment whose verdicts need longer than so many seconds is replayed."""
ANSWER = re.compile(r"\*\*Answer.*?:\*\* .*")
"""The line of the answer in a notebook's first cell."""
CELL_TIMEOUT_S = 600
INTERACTIVE = "interactive"
"""Tag of cells whose output is a widget; a static figure stands before each."""
ON_THE_PAGE = "on-the-page"
"""Tag of cells that the page has no need of: it begins with its own scorecard."""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write(
    out: str | os.PathLike = "report", *, source: str = "auto", say: Callable = print
) -> tuple[Path, dict[str, str], pd.DataFrame]:
    """Write ``out/index.html``.

    Parameters
    ----------
    out : path, optional
    source : {"auto", "live", "recorded"} or path, optional
        ``auto`` measures what this machine can, each experiment for its
        ``VERDICT_S`` and at least `BUDGET_S`, and replays the rest, also what
        needs more than `LIMIT_S`; ``live`` measures that, too, and fails where
        nothing can be measured; a folder is one that ``caveatlib measure`` wrote.
    say : callable, optional
        Is told in a sentence what happens.

    Returns
    -------
    page : pathlib.Path
    sources : dict
        Experiment -> the source of its numbers, "recorded" or a folder.
    card : pandas.DataFrame
        The scorecard on the page, see `scorecard.table`.

    Raises
    ------
    UsageError
        If the source is none of these.
    Unavailable
        If Jupyter is not installed, or nothing can be measured live.
    StorageError
        If the folder cannot be written.
    """
    _need_jupyter()
    given = _given(source)
    out = make_folder(out)
    if not os.access(out, os.W_OK | os.X_OK):
        raise storage_error("write to", out, PermissionError(13, "Permission denied"))
    sources, reasons = (given, {}) if given else _measured(out, source, say)
    card = scorecard.table(sources)
    sections = []
    for path in notebooks():
        sections.append(_section(path, sources, reasons, say))
    # A link from one notebook to another is one to its section here.
    for number, path in enumerate(notebooks()):
        here = (f'href="{path.name}"', f'href="#s{number}"')
        sections = [(title, banner, body.replace(*here)) for title, banner, body in sections]
    page = out / "index.html"
    partial = out / ".index.html.partial"
    shown = scorecard.Scorecard(card)._repr_html_()
    partial.write_text(_page(shown, sections), encoding="utf-8")
    partial.replace(page)
    return page, sources, card


def notebooks() -> list[Path]:
    """Return the notebooks that ship with caveatlib, in the order of reading."""
    return sorted(shipped.folder("notebooks").glob("[0-9][0-9]-*.ipynb"))


def execute(path: Path, source: str):
    """Run a notebook in a fresh kernel on a source of trials; return it executed.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises. A cell that takes too long, or ends its kernel, is an error too.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory(prefix="caveatlib-report-") as folder:
        with _environment(
            CAVEATLIB_SOURCE=source,
            JUPYTER_RUNTIME_DIR=folder,
            IPYTHONDIR=folder,
            MPLCONFIGDIR=folder,
        ):
            NotebookClient(
                notebook,
                timeout=CELL_TIMEOUT_S,
                kernel_name="python3",
                resources={"metadata": {"path": folder}},
                record_timing=False,
                extra_arguments=["--log-level=ERROR"],  # or each kernel warns of its transport
            ).execute()
    return notebook


def _given(source: str) -> dict[str, str]:
    """Return where every experiment's numbers come from, empty if they are to be measured."""
    if source in ("auto", "live"):
        return {}
    return {e.NAME: trials.source_of(e, source) or "recorded" for e in ALL}


def _measured(out: Path, source: str, say: Callable) -> tuple[dict[str, str], dict[str, str]]:
    """Measure what can be measured here; the rest is recorded, and it is said why.

    Returns
    -------
    sources : dict
        Experiment -> "recorded" or the run's folder.
    reasons : dict
        Experiment -> why it takes too long here, to be said above its notebook.
    """
    folder = out / "runs" / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    sources, reasons, errors = {e.NAME: "recorded" for e in ALL}, {}, []
    for experiment in ALL:
        name = experiment.NAME
        if source == "auto" and experiment.VERDICT_S > LIMIT_S:
            minutes = f"{experiment.VERDICT_S / 60:.0f} minutes"
            reasons[name] = (
                f"verdicts need about {minutes} of measuring here, `caveatlib measure {name}`"
            )
            say(f"Replaying {name} from recorded data: {reasons[name]}.")
            continue
        try:
            budget_s = max(BUDGET_S, experiment.VERDICT_S)
            say(f"Measuring {name} for about {budget_s:.0f} s.")
            trials.measure(experiment, out=folder, budget_s=budget_s)
            sources[name] = str(folder.resolve())
        except CaveatError as error:
            errors.append(str(error))
            say(f"Replaying {name} from recorded data: {error}")
    if source == "live" and len(errors) == len(ALL):
        raise Unavailable(f"Nothing can be measured live here. {errors[0]}")
    return sources, reasons


def _section(
    path: Path, sources: dict[str, str], reasons: dict[str, str], say: Callable
) -> tuple[str, str, str]:
    """Return title, banner and body of one notebook, live where that works."""
    import nbformat

    about = nbformat.read(path, as_version=4).metadata.get("caveatlib", {})
    name = about.get("experiment")
    source = sources.get(name, "recorded")
    banner = "Measured on this machine."
    if source == "recorded":
        banner = f"Replayed from recorded data{': ' + reasons[name] if name in reasons else ''}."
    say(f"Running {path.name}.")
    try:
        notebook = execute(path, source)
        if source != "recorded":
            _answer_live(notebook, name, source)
    except Exception as error:  # a cell's own, a time limit, or a kernel that died
        what = getattr(error, "ename", type(error).__name__)
        if source == "recorded":
            raise DataError(f"Notebook {path.name!r} fails on recorded data: {what}.") from None
        banner = f"Replayed from recorded data: the live run ended in {what}."
        say(f"{path.name}: {banner}")
        notebook = execute(path, "recorded")
    title = about.get("title") or path.stem
    return title, banner, _body(notebook)


def put_answer(notebook, line: str) -> None:
    """Let the line of the answer in a notebook's first cell be this one, if it has any."""
    first = notebook.cells[0]
    first.source = ANSWER.sub(lambda _: line, first.source)


def _answer_live(notebook, name: str, source: str) -> None:
    """Let a notebook's text say what the trials of this run say, not the recorded ones."""
    if not ANSWER.search(notebook.cells[0].source):
        return
    experiment = by_name(name)
    said = trials.open(experiment, source=source).answer()
    put_answer(notebook, f"**Answer, measured on this machine:** {_as_text(said)}")


def _as_text(text: str) -> str:
    """Return text that Markdown and HTML show as it is, on one line."""
    plain = re.sub(r"\s+", " ", text)
    return re.sub(r"[^\w .,;%-]|_", lambda found: f"&#{ord(found[0])};", plain)


def _body(notebook) -> str:
    from nbconvert import HTMLExporter

    notebook.cells = [c for c in notebook.cells if ON_THE_PAGE not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        if INTERACTIVE in cell.metadata.get("tags", []):
            cell.outputs = []  # a page without scripts has no sliders
    # Widgets would become scripts, which the page has none of: their text stands for them.
    notebook.metadata.pop("widgets", None)
    for output in (o for cell in notebook.cells for o in cell.get("outputs", ())):
        output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    return exporter.from_notebook_node(notebook)[0]


def _page(card: str, sections: list[tuple[str, str, str]]) -> str:
    links = "".join(f'<a href="#s{i}">{html.escape(t)}</a>' for i, (t, _, _) in enumerate(sections))
    bodies = "".join(
        f'<section id="s{i}"><p class="banner">{html.escape(banner)}</p>{body}</section>'
        for i, (_, banner, body) in enumerate(sections)
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>caveatlib report</title><style>{_STYLE}</style></head><body>"
        f"<header><h1>Docker caveats, checked on a machine</h1>"
        f'<nav><a href="#scorecard">Scorecard</a>{links}</nav></header>'
        f'<section id="scorecard"><h2>Scorecard</h2>{card}</section>'
        f"{bodies}</body></html>\n"
    )


def _need_jupyter() -> None:
    try:
        import nbclient  # noqa: F401
        import nbconvert  # noqa: F401
    except ImportError as error:
        raise Unavailable(
            f"{error.name} is not installed. Install the notebooks: pip install "
            "'caveatlib[notebooks]'"
        ) from None


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:0 1rem 4rem}
header{position:sticky;top:0;background:Canvas;border-bottom:1px solid #8886;padding:.3rem 0}
h1{font-size:1.5rem;margin:.3rem 0}nav a{margin-right:1rem}
section{margin-top:2rem;border-top:1px solid #8886;padding-top:.5rem;overflow-x:auto}
.banner{font-weight:600}
pre{font-size:.85rem;line-height:1.35;overflow-x:auto;padding:.4rem .6rem;margin:.4rem 0}
.input pre,.highlight pre{background:#8881;border-radius:4px}
table{border-collapse:collapse;font-size:.85rem;margin:.5rem 0}
td,th{padding:.2rem .5rem;border-bottom:1px solid #8884;text-align:right;vertical-align:top}
.scorecard td,.scorecard th{text-align:left}
img{max-width:100%;height:auto;background:#fff}
.scorecard b{white-space:nowrap}
.not-measured-yet{opacity:.6}
.holds b{color:#0a7d4f}.does-not-hold b{color:#c2410c}
@media (prefers-color-scheme:dark){.holds b{color:#4ade80}.does-not-hold b{color:#fb923c}}
"""
