"""JupyterLab as a reader starts it, in a real browser: every notebook runs from its first cell.

The copies that are opened hold no outputs, so whatever is seen was made here. Each is looked
at in windows of two sizes (`SIZES`), with all that is folded unfolded: what is wider than the
room for it, or a figure higher than the window, is found by its place in the page.
``CAVEATLIB_SCREENS=report/screens`` keeps a picture of each first screen and of each notebook
from end to end. The guards are seen to fail in `test_what_goes_wrong_is_seen`, on every run.
"""

import http.client
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import browser as browsers
import matplotlib.font_manager  # noqa: F401  # fills its cache; in a cell it may warn
import nbformat
import psutil
import pytest
from playwright.sync_api import Page

from caveatlib import claims, notebooks

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PATHS = notebooks.files()
START_S, RUN_S, SHOWN_S, END_S = 180, 600, 90, 60
SIZES = ((1280, 720), (1440, 900))
"""Of a projector and of a laptop: width and height in pixels."""
HIGHEST_PX = 40_000
PICTURE_PX = 16_000
"""A browser draws no higher picture."""
SCREENS = os.environ.get("CAVEATLIB_SCREENS")
SETTINGS = {  # else a question lies over the page: whether to fetch news
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
BROKEN = {
    "warns": "import sys; print('a warning', file=sys.stderr)",
    "text": "'<img src=\"data:image/png;base64,AAAA\">'",
    "raises": "1 / 0",
    "never": "1",
}
FITS = {"wide": "from IPython.display import HTML, SVG",
        "table": "HTML('<table><tr>' + 200 * '<td>abc</td>' + '</tr></table>')",
        "figure": "import pylab; _ = pylab.figure(figsize=(4, 30)).add_axes((0, 0, 1, 1))",
        "code": f"'{200 * '0'}'"}  # fmt: skip
"""Cells of which only the first fits into a window."""

OPENED = """name => {
    const shown = window.jupyterapp?.shell?.currentWidget;
    return shown?.context?.isReady && shown.context.path === name
        && shown.sessionContext.session?.kernel?.status === "idle";
}"""
COUNTS = """window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code").map(cell => cell.model.executionCount)"""
DRAWN = """window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code")
    .every(cell => cell.isAttached && cell.node.querySelector(".jp-InputPrompt"))"""
RUN = """() => {
    const done = window.jupyterapp.commands.execute("notebook:run-all-cells");
    done.then(() => { window.allCellsRan = true; });
}"""
AT_REST = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
END = "window.jupyterapp.shell.currentWidget.sessionContext.shutdown().then(() => true)"
OVERLAID = "[...document.querySelectorAll('.jp-Dialog, .Toastify__toast')].map(n => n.innerText)"
HEIGHT = """(() => {  // not scrollHeight: there is room for scrolling past the last cell
    const scrolled = document.querySelector(".jp-Notebook .jp-WindowedPanel-outer");
    const last = [...scrolled.querySelectorAll(".jp-Cell")].at(-1);
    scrolled.scrollTop = 0;
    const below = window.innerHeight - scrolled.getBoundingClientRect().bottom;
    return Math.ceil(last.getBoundingClientRect().bottom + below + 20);
})()"""
CELLS = """window.jupyterapp.shell.currentWidget.content.widgets
    .filter(cell => cell.model.type === "code")
    .map(cell => {
        const all = selector => [...cell.node.querySelectorAll(".jp-OutputArea-output")]
            .flatMap(n => n.matches(selector) ? [n] : [...n.querySelectorAll(selector)]);
        return {
            source: cell.model.sharedModel.getSource(),
            prompt: cell.node.querySelector(".jp-InputPrompt").textContent.trim(),
            errors: all("[data-mime-type$='jupyter.stderr'], [data-mime-type$='jupyter.error']")
                .map(n => n.innerText.trim())
                .concat(all("*").filter(n => n.children.length === 0)
                    .map(n => n.innerText ?? "")
                    .filter(t => /^Error (displaying|creating|rendering)/.test(t))),
            pictures: all("img").filter(n => n.complete && n.naturalWidth > 100
                    && n.getBoundingClientRect().width > 100)
                .map(n => n.src),
            tables: all("table").length,
            cards: all("[data-mime-type='text/html'] article.card")
                .filter(n => getComputedStyle(n).borderLeftWidth === "5px")
                .map(n => n.querySelector("h3 .chip").innerText),
        };
    })"""
UNFOLD = "document.querySelectorAll('.jp-Notebook details').forEach(d => { d.open = true; })"
CUT = """seen => [...document.querySelectorAll(".jp-Notebook .jp-Cell")].flatMap((cell, i) => {
    const shown = cell.closest(".jp-WindowedPanel-outer"), place = shown.getBoundingClientRect();
    const right = place.x + shown.clientWidth;
    const height = seen - window.innerHeight + place.height;
    const all = [...cell.querySelectorAll(".jp-OutputArea-output, .jp-RenderedMarkdown")]
        .flatMap(part => [part, ...part.querySelectorAll("*")])
        .concat([...cell.querySelectorAll(".cm-scroller")])
        .filter(n => !n.closest(".vh") && !n.parentElement.closest("svg"));
    const found = (n, what) => `cell ${i + 1}: ${n.tagName} ${what}: ${n.innerText?.slice(0, 60)}`;
    const cut = all.flatMap(n => {
        const at = n.getBoundingClientRect(), style = getComputedStyle(n);
        if (!at.width || !at.height) return [];
        const wide = n.scrollWidth - n.clientWidth, high = n.scrollHeight - n.clientHeight;
        return [
            style.overflowX !== "visible" && wide > 1 && found(n, `is ${wide} px too wide`),
            style.overflowY !== "visible" && high > 1 && found(n, `is ${high} px too high`),
            at.right > right + 1 && found(n, `ends ${at.right - right} px outside`),
            n.matches("img, svg, .lm-Panel") && at.height > height
                && found(n, `is ${at.height} px high, ${height} are seen at once`),
        ].filter(Boolean);
    });
    const ticks = [...cell.querySelectorAll(".axis .ax i")];
    return cut.slice(0, 1).concat(ticks.slice(1).filter((n, k) =>
            n.getBoundingClientRect().left < ticks[k].getBoundingClientRect().right)
        .map(n => found(n, "overlaps the one before")));
})"""
SLIDERS = """[...document.querySelectorAll(".jp-OutputArea-output .noUi-handle")].map(n => {
    const at = n.getBoundingClientRect(), row = n.closest(".widget-slider");
    return {
        x: at.x + at.width / 2, y: at.y + at.height / 2,
        name: row.querySelector(".widget-label").innerText,
        value: row.querySelector(".widget-readout").innerText,
    };
})"""


def wait_for(condition, what, seconds: float):
    """Return the first true value of a condition; fail if none comes."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"{what() if callable(what) else what}, within {seconds} s"
        time.sleep(0.2)
    return value


def _environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of the user's own settings is read or written."""
    for path, value in SETTINGS.items():
        file = folder / "settings" / "@jupyterlab" / f"{path}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CAVEATLIB_", "JUPYTER"))}
    return kept | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
    }


@contextmanager
def jupyter_lab(folder: Path):
    """Start JupyterLab on the notebooks in a folder; end it and its kernels."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    token, log = secrets.token_hex(16), folder / "jupyter.log"
    command = [
        str(Path(sys.executable).with_name("jupyter")),
        *("lab", "notebooks", "--no-browser", "--LabApp.expose_app_in_browser=True"),
        *(f"--ServerApp.token={token}", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *("--ServerApp.ip=127.0.0.1", *(["--allow-root"] if os.geteuid() == 0 else [])),
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_for(
            lambda: process.poll() is not None or _answers(port, token),
            lambda: f"JupyterLab did not answer: {log.read_text()[-2000:]}",
            START_S,
        )
        assert process.poll() is None, log.read_text()[-2000:]
        yield SimpleNamespace(own=f"http://127.0.0.1:{port}/", token=token, folder=folder)
    finally:
        _end(process)


def _answers(port: int, token: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/api/status", headers={"Authorization": f"token {token}"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen) -> None:
    """End a server politely, and whatever it leaves by force."""
    if process.poll() is not None:
        return
    started = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(timeout=END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(timeout=END_S)
    _, alive = psutil.wait_procs(started, timeout=END_S)
    for left in alive:
        left.kill()
    assert not alive, f"JupyterLab left {[p.name() for p in alive]}"


def _copy(path: Path, folder: Path) -> None:
    """Copy a notebook without anything that an earlier run left in it."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(notebook, folder / path.name)


def _written(path: Path, sources: dict[str, str]) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in sources.values()]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, path)


@pytest.fixture(scope="module")
def lab(require, tmp_path_factory):
    """Return a running JupyterLab and a browser."""
    require(browsers.PROGRAM)
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    for path in PATHS:
        _copy(path, folder / "notebooks")
    _written(folder / "notebooks" / "broken.ipynb", BROKEN)
    _written(folder / "notebooks" / "fits.ipynb", FITS)
    with jupyter_lab(folder) as started, browsers.browser(scrollbars=True) as running:
        started.context = running.new_context()  # one, so that JupyterLab is loaded once
        yield started


@contextmanager
def ran(lab, name: str):
    """Open a notebook, run all its cells, and say what stands on the page then."""
    asked = []
    width, height = SIZES[0]
    page = lab.context.new_page()
    page.set_viewport_size({"width": width, "height": height})
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{lab.own}lab/tree/{name}?reset&token={lab.token}", timeout=1000 * START_S)
    page.wait_for_function(OPENED, arg=name, timeout=1000 * START_S)
    before = page.evaluate(COUNTS)
    began = time.monotonic()
    page.evaluate(RUN)
    page.wait_for_function("window.allCellsRan", timeout=1000 * RUN_S)
    page.wait_for_function(AT_REST, timeout=1000 * SHOWN_S)
    ran_s = time.monotonic() - began
    _keep(page, f"{name}-{width}x{height}")
    _show_all(page, width)
    cells = page.evaluate(CELLS)
    cut = {size: _cut(page, name, *size) for size in SIZES}
    print(f"{name}: all cells ran in {ran_s:.1f} s, seen after {time.monotonic() - began:.1f} s")
    yield SimpleNamespace(
        name=name, own=lab.own, page=page, asked=asked, before=before, cells=cells, cut=cut
    )
    page.evaluate(END)
    page.close()


def _cut(page: Page, name: str, width: int, height: int) -> list[str]:
    """Return what does not fit into a window of a size."""
    if SCREENS:
        _show_all(page, width)
        _keep(page, f"{name}-{width}")
    page.evaluate(UNFOLD)
    _show_all(page, width)
    return page.evaluate(CUT, height)


def _keep(page: Page, name: str) -> None:
    """Keep a picture, if somebody asked for it."""
    if SCREENS:
        size = page.viewport_size
        clip = {"x": 0, "y": 0, **size, "height": min(size["height"], PICTURE_PX)}
        path = Path(SCREENS) / f"{name.replace('.ipynb', '')}.png"
        page.screenshot(path=path, clip=clip, timeout=60_000)


def _show_all(page: Page, width: int) -> None:
    """Make the window as high as the notebook, until all cells are drawn and nothing moves.

    A cell out of sight may not be drawn, and heights out of sight are guesses until they are seen.
    """
    end, height, before = time.monotonic() + SHOWN_S, 0, -1
    while height != before or not page.evaluate(DRAWN):
        assert time.monotonic() < end, f"cells are not drawn within {SHOWN_S} s"
        before, height = height, min(max(page.evaluate(HEIGHT), SIZES[0][1]), HIGHEST_PX)
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(200)


@pytest.fixture(scope="module", params=[p.name for p in PATHS], ids=[p.stem for p in PATHS])
def run(lab, request):
    """Return what each notebook shows after all its cells ran."""
    with ran(lab, request.param) as result:
        yield result


def test_every_cell_runs_in_order(run):
    """Every code cell has its number, and had none before."""
    assert set(run.before) == {None}
    prompts = [cell["prompt"] for cell in run.cells]
    assert prompts == [f"[{n}]:" for n in range(1, len(prompts) + 1)]


def test_no_output_is_an_error(run):
    """Nothing was raised, nothing written to stderr, no widget failed to show."""
    assert {c["source"]: c["errors"] for c in run.cells if c["errors"]} == {}


def test_nothing_lies_over_the_page(run):
    """No dialog asks for a kernel, no notice covers the notebook."""
    assert run.page.evaluate(OVERLAID) == []


def test_figures_are_shown(run):
    """A cell that draws shows a picture that is part of the page; others need none."""
    for cell in run.cells:
        if "plots.show(" in cell["source"] or "sliders(" in cell["source"]:
            assert len(cell["pictures"]) >= 1, cell["source"]
            assert all(src.startswith("data:image/") for src in cell["pictures"])


def test_tables_and_verdicts_are_shown_as_html(run):
    """Verdicts are cards with their coloured edge, and every notebook shows a table."""
    assert sum(cell["tables"] for cell in run.cells) > 0
    for cell in run.cells:
        if "page.verdicts(" in cell["source"]:
            assert cell["cards"], cell["source"]
            assert all(title.endswith(claims.VERDICTS) for title in cell["cards"]), cell["cards"]


def test_nothing_is_cut_off(run):
    """On a projector and on a laptop: no table, no code, no figure is larger than its room."""
    assert run.cut == {size: [] for size in SIZES}


def test_no_other_machine_is_asked(run):
    """The page works without a network: it asks nobody but its own server."""
    assert len(run.asked) > 10
    assert [u for u in run.asked if not u.startswith((run.own, "data:", "blob:"))] == []


NAMES = [
    "Limit (CPUs)",
    "Period (ms)",
    "Cores",
    "Threads in a burst",
    "Mean use of the limit (%)",
]


def test_each_slider_draws_anew(run):
    """Notebook 04 has sliders; moving one changes its value, no other's, and the picture below."""
    cells = [cell for cell in run.cells if "sliders(" in cell["source"]]
    assert bool(cells) == run.name.startswith("04")
    if not cells:
        return
    mouse = run.page.mouse

    def picture():
        cell = next(c for c in run.page.evaluate(CELLS) if c["source"] == cells[0]["source"])
        assert cell["errors"] == []
        return cell["pictures"]

    assert [slider["name"] for slider in run.page.evaluate(SLIDERS)] == NAMES
    for i in (1, 2, 3, 4, 0):  # with a limit as wide as the last, nothing else would matter
        before, drawn = run.page.evaluate(SLIDERS), picture()
        x, y = before[i]["x"], before[i]["y"]
        mouse.move(x, y)
        mouse.down()
        mouse.move(x - 80 if i else x + 80, y)
        mouse.up()
        wait_for(
            lambda drawn=drawn: picture() not in ([], drawn),
            lambda i=i, before=before: f"moving {NAMES[i]} drew nothing: {before}",
            SHOWN_S,
        )
        after = run.page.evaluate(SLIDERS)
        assert [s["name"] for s, was in zip(after, before, strict=True) if s != was] == [NAMES[i]]


def test_what_goes_wrong_is_seen(lab):
    """An error, a line on stderr, a cell that never ran and a picture in words are told apart."""
    with ran(lab, "broken.ipynb") as run:
        cells = dict(zip(BROKEN, run.cells, strict=True))
    assert cells["warns"]["errors"] == ["a warning"]
    assert "ZeroDivisionError" in cells["raises"]["errors"][0]
    assert cells["text"]["errors"] == []
    assert cells["text"]["pictures"] == []
    assert cells["never"]["prompt"] == "[ ]:"
    assert cells["raises"]["prompt"] == "[3]:"


def test_what_does_not_fit_is_seen(lab):
    """Of a table, a figure and a line of code that are too large each is named."""
    with ran(lab, "fits.ipynb") as run:
        for found in run.cut.values():
            assert [line[:7] for line in found] == ["cell 2:", "cell 3:", "cell 4:"], found
            assert "too wide" in found[0]
            assert "seen at once" in found[1]
            assert "too wide" in found[2]
