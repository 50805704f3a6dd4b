"""The notebooks that ship: listed, run in kernels of their own, and shown as pages of HTML."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

from caveatlib import plots
from caveatlib.errors import Unavailable
from caveatlib.page.document import POLICY
from caveatlib.page.markup import text
from caveatlib.page.sheet import BOOK, NOTEBOOK
from caveatlib.support import shipped
from caveatlib.support.privacy import scrub
from caveatlib.talk.pages import INTERACTIVE

ANSWER = re.compile(r"\*\*Answer.*?:\*\* .*(?:\n\n?\* .*)*")
"""The answer in a notebook's first cell, see `in_points`."""
CELL_TIMEOUT_S = 600
KERNEL_TIMEOUT_S = 10
"""How long nbclient waits for a new kernel to say what it is. It reads nothing of the answer that
is needed here, and now and then the answer never comes."""
HERE = "here"
"""Tag of cells that show the reader's own machine: empty in the files until they are run."""
PARTS = ("answer", "figure", "reading", "table", "verdicts", "doubts", "appendix")
"""Tags of the cells with which the parts of a notebook begin, in order."""
ON_THE_PAGE = "on-the-page"
"""Tag of cells that the page has no need of: it has its own scorecard."""


def files() -> list[Path]:
    """Return the notebooks that ship with caveatlib, in the order of reading."""
    return sorted(shipped.folder("notebooks").glob("[0-9][0-9]-*.ipynb"))


def talks() -> list[Path]:
    """Return the notebooks whose cells are slides."""
    return sorted(shipped.folder("notebooks").glob("talk*.ipynb"))


def contents():
    """Return the notebooks in the order of reading, as links with what each shows, in Markdown."""
    import nbformat
    from IPython.display import Markdown

    lines = []
    for path in files():
        about = nbformat.read(path, as_version=4).metadata["caveatlib"]
        lines.append(f"* [{path.stem}]({path.name}): {about['about']}")
    return Markdown("\n".join(lines))


def execute(path: Path, source: str, *, figures: str = "png", shared: Path | None = None):
    """Read a notebook, `run` it on a source of trials, and return it."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    run(notebook, source, figures=figures, shared=shared)
    return notebook


def run(notebook, source: str, *, figures: str = "png", shared: Path | None = None) -> None:
    """Run a notebook in a fresh kernel on a source of trials; its outputs are filled in.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
    source : str
        A folder by its absolute path: the notebook runs in a folder of its own.
    figures : {"png", "svg"}
        How `plots.show` shows figures, see there.
    shared : path, optional
        Of `kernels`, where several notebooks run.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises. A cell that takes too long, or ends its kernel, is an error too.
    """
    from nbclient import NotebookClient

    if shared is None:
        with kernels() as shared:
            return run(notebook, source, figures=figures, shared=shared)
    # Where no cell gets to, after an error, nothing stays of the trials that it was stored with.
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        cell.outputs, cell.execution_count = [], None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        client = NotebookClient(
            notebook,
            timeout=KERNEL_TIMEOUT_S,
            timeout_func=lambda cell: CELL_TIMEOUT_S,
            kernel_name="python3",
            resources={"metadata": {"path": folder}},
            record_timing=False,
            extra_arguments=["--log-level=ERROR"],  # or each kernel warns of its transport
        )
        # What a widget captures stays with the cell. nbclient would answer the widget on the socket
        # whose reply it awaits, and a reply that comes during that answer is not noticed.
        client.comm_open_handlers.clear()
        environment = os.environ | {
            "CAVEATLIB_SOURCE": source,
            "IPYTHONDIR": folder,
            "MPLCONFIGDIR": str(shared),  # fonts are looked for once
            "OPENBLAS_NUM_THREADS": "1",  # several run at once: more threads only spin
            plots.FORMAT: figures,
        }
        asyncio.run(client.async_execute(env=environment))


@contextmanager
def kernels() -> Iterator[Path]:
    """Make a folder for what kernels share: their connections, and the list of fonts."""
    with tempfile.TemporaryDirectory(prefix="caveatlib-report-") as folder:
        # Who starts a kernel looks into IPython's folder, too, and makes one if there is none.
        with _environment(JUPYTER_RUNTIME_DIR=folder, IPYTHONDIR=folder):
            yield Path(folder)


def experiments_of(notebook) -> list[str]:
    """Return the names of the experiments that a notebook shows, in its order."""
    told = notebook.metadata.get("caveatlib", {}).get("experiment", [])
    return [told] if isinstance(told, str) else list(told)


def in_points(answer: str) -> str:
    """Return an answer of more than two sentences as the first of them and points below it."""
    first, *others = re.split(r"(?<=\.) (?=[A-Z\d])", answer)
    if len(others) < 2:
        return answer
    return "\n".join([first, "", *(f"* {sentence}" for sentence in others)])


def put_answer(notebook, answer: str) -> None:
    """Let the answer in a notebook's first cell be this one, if it has any."""
    first = notebook.cells[0]
    first.source = ANSWER.sub(lambda _: answer, first.source)


def as_page(title: str, note: str, body: str) -> str:
    """Return a page of HTML that loads nothing: where the numbers come from, then the notebook."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{BOOK}</style></head>"
        '<body class="caveats"><header class="top"><a href="index.html"><b>caveatlib</b></a>'
        f'</header><main class="book"><p class="origin">{text(note)}</p>{body}</main>'
        "</body></html>\n"
    )


def body_of(notebook) -> str:
    """Return the cells of a notebook that was run as HTML without scripts, figures in line.

    Of an error its last line is left, without what names a person or a machine.
    """
    from nbconvert import HTMLExporter

    notebook.cells = [c for c in notebook.cells if ON_THE_PAGE not in c.metadata.get("tags", [])]
    for cell in notebook.cells:
        if INTERACTIVE in cell.metadata.get("tags", []):
            cell.outputs = []  # a page without scripts has no sliders
    # Widgets would become scripts, which the page has none of: their text stands for them.
    notebook.metadata.pop("widgets", None)
    drawn: dict[str, str] = {}
    for output in (o for cell in notebook.cells for o in cell.get("outputs", ())):
        if output.output_type == "error":  # its traceback names folders of this machine
            output.traceback = [scrub(f"{output.ename}: {output.evalue}")]
        data = output.get("data", {})
        data.pop("application/vnd.jupyter.widget-view+json", None)
        if svg := data.pop("image/svg+xml", ""):  # in line, where it has the page's colours
            stand_in = f"svg-{secrets.token_hex(8)}"  # which the exporter need not take apart
            drawn[stand_in] = svg
            data["text/html"] = f"<figure>{stand_in}</figure>"
        elif shown := data.get("text/html"):
            data["text/html"] = _without_styles("".join(shown))
    exporter = HTMLExporter(
        template_name="basic",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        filters={"highlight_code": _code},
    )
    body = exporter.from_notebook_node(notebook)[0]
    for stand_in, svg in drawn.items():
        body = body.replace(stand_in, svg)
    return re.sub(r'href="(\d\d-[\w-]+)\.ipynb"', r'href="\1.html"', body)


def _without_styles(shown: str) -> str:
    """Return what a cell shows without the rules that its page has once, for all cells."""
    return shown.replace(f"<style>{NOTEBOOK}</style>", "").replace(' style="text-align:left"', "")


def _code(source: str, language: str | None = None, metadata: object = None) -> str:
    """Return code as HTML: the page has one colour for all of it."""
    return f"<pre>{escape(source)}</pre>"


def need_jupyter() -> None:
    """Raise `Unavailable` where what runs notebooks is not installed."""
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
