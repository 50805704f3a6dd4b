"""Text from outside (names, labels, errors) stays text: in every renderer and in a real browser.

Seen to fail: with `html.escape` taken out of `claims.cards._markup`, of
`page.markup.text` and of `notebooks.as_page` in turn.
"""

import ast
import hashlib
import html
import http.server
import io
import json
import re
import sys
import tarfile
import threading
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import browser as browsers
import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from caveatlib import (
    claims,
    cli,
    frames,
    images,
    notebooks,
    page,
    plots,
    report,
    scorecard,
    stats,
    trials,
)
from caveatlib.experiments import startup
from caveatlib.experiments.kit.highlights import Bar, Highlight
from caveatlib.measuring import finish
from caveatlib.measuring.experiment import complete, tables_of
from caveatlib.page.document import Book

pytestmark = pytest.mark.beside

ROOT = Path(__file__).parents[1]
URL = "http://127.0.0.1:{port}/hit/{n}"
SCRIPTS = (
    "<script>alert({n})</script>",
    '"><script>alert({n})</script>',
    "'><script>alert({n})</script>",
    "</td></tr></table><script>alert({n})</script>",
    "</pre><script>alert({n})</script>",
    "</style><script>alert({n})</script>",
    "</title><script>alert({n})</script>",
    "</textarea><script>alert({n})</script>",
    "--><script>alert({n})</script>",
    "<img src=x onerror=alert({n})>",
    '"><img src=x onerror=alert({n})>',
    "<IMG SRC=x OnErRoR=alert({n})>",
    "<svg onload=alert({n})>",
    "<svg><script>alert({n})</script></svg>",
    "<svg><animate onbegin=alert({n}) attributeName=x dur=1s>",
    '<iframe srcdoc="<script>parent.alert({n})</script>"></iframe>',
    '<iframe src="javascript:parent.alert({n})"></iframe>',
    "<details open ontoggle=alert({n})>",
    "<video><source onerror=alert({n})></video>",
    "<audio src=x onerror=alert({n})>",
    "<input autofocus onfocus=this.onfocus=null;alert({n})>",
    "<style onload=alert({n})></style>",
    "<marquee onstart=alert({n})>",
)
"""Each runs by itself where it is put into a page as it is."""
LOADS = (
    f"<img src={URL}>",
    f"<link rel=stylesheet href={URL}>",
    f"<style>@import '{URL}';</style>",
    f'<object data="{URL}"></object>',
    f'<embed src="{URL}">',
    f"<b style=\"background:url('{URL}')\">x</b>",
)
"""Each asks for something."""
OTHERS = (
    f'<meta http-equiv=refresh content="0;url={URL}">',
    f'<base href="{URL}">',
    "' onmouseover='alert({n})",
    '" onfocus="alert({n})" autofocus tabindex="1',
    '<a href="javascript:alert({n})">a</a>',
    "&lt;script&gt;alert({n})&lt;/script&gt;",
    "\x1b[31mred\x1b[2J\x1b]0;alert({n})\x07",
    f"\x1b]8;;{URL}\x07a\x1b]8;;\x07\x9b31m",
    "a\r\nC01 holds {n}\n\x00\x08\x7f",
    "\u202egnp.{n}\u2066\u200b\u2028",
    "$\\frac{{{n}}}$ $ \\href{{javascript:alert({n})}}{{a}}$",
)
"""These need a hand, an attribute, a terminal or a typesetter to do harm."""


def payloads(port: int = 9) -> list[str]:
    """Return all payloads; those that load something ask this port of 127.0.0.1."""
    every = SCRIPTS + LOADS + OTHERS
    return [text.format(n=n, port=port) for n, text in enumerate(every)]


ALL = payloads()


def printable(text: str) -> str:
    """Return the payload without what a data package refuses: control characters."""
    return "".join(c for c in text if c.isprintable())


# What turns text from outside into HTML, each given one such text.


def _frames(text: str) -> list[str]:
    """Return tables with the text as value, as names, and as names of names."""
    plain = pd.DataFrame({"error": [text], "place": [f"a{text}"]})
    named = pd.DataFrame([[1]], index=[text], columns=[text])
    named.index.name, named.columns.name = text, text
    deep = pd.DataFrame([[1.0]], columns=pd.MultiIndex.from_tuples([("a", text)]))
    return [
        frame._repr_html_()
        for frame in (plain, named, deep, plain.groupby("place").size().to_frame())
    ]


def _verdict(text: str, kind: str = claims.HOLDS) -> claims.Verdict:
    return claims.Verdict(
        claim=text, experiment=text, verdict=kind, effect=2.0, unit=text, machine=text,
        source=text, because=text, quote=text, kind=text,
    )  # fmt: skip


def _cards(text: str) -> list[str]:
    found = claims.Verdicts(_verdict(text, kind) for kind in claims.VERDICTS)
    then = claims.ThenAndNow(*[text] * 6)
    return [found._repr_html_(), found[0]._repr_html_(), then._repr_html_()]


def _entries(text: str) -> list[scorecard.Entry]:
    """Return entries whose every text is this one: a whole with parts, a ratio, history, none."""
    claim = claims.Claim(text, text, "ours", text, "startup")
    whole = claims.Whole(claim=claim, parts=(f"{text}/a",), labels={"a": text})
    ratio = replace(_verdict(text), unit="x", low=1.5, high=2.5, threshold=1.0)
    rows = pd.DataFrame({"run": ["2026-01-01"], "error": [text], "place": [text]})
    told = {"section": text, "quote": text, "kind": "ours", "experiment": "startup", "tests": text}
    return [
        scorecard.Entry(
            text, verdicts=(ratio,), parts={f"{text}/a": (replace(ratio, claim=f"{text}/a"),)},
            recorded=(ratio,), decision=whole, evidence={text: rows},
            prediction=claims.Prediction(text, text, 0.1, 0.2, text, text), **told,
        ),
        scorecard.Entry("C01", history=claims.ThenAndNow(*[text] * 6), **told),
        scorecard.Entry("C02", **told),
    ]  # fmt: skip


def _scorecards(text: str) -> list[str]:
    return [page.Overview(_entries(text))._repr_html_()]


def _page(text: str) -> str:
    bars = (Bar(text, 1.0, text),)
    return page.document(
        _entries(text), [Highlight(text, text, text, bars)], [Book(text, text, text, text)]
    )


def _notebook(texts: list[str]) -> str:
    """Return the body of a notebook whose outputs hold the texts as a notebook's own kinds do."""
    cells = []
    for text in texts:
        outputs = [
            nbformat.v4.new_output("stream", name="stderr", text=text),
            nbformat.v4.new_output("execute_result", data={"text/plain": repr(text) + text}),
            nbformat.v4.new_output(
                "display_data",
                data={"image/png": "iVBORw0KGgo="},
                metadata={"image/png": {"alt": text}},
            ),
            nbformat.v4.new_output("error", ename="Error", evalue=text, traceback=[text]),
        ]
        cells.append(nbformat.v4.new_code_cell("1", outputs=outputs, execution_count=1))
    return notebooks.body_of(nbformat.v4.new_notebook(cells=cells))


def _image_tables(texts: list[str]) -> list[str]:
    """Return the tables of an image whose files, links and history carry the texts."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for number, text in enumerate(texts):
            name = f"d{number}/" + text.replace("/", "\\").replace("\0", "")
            tar.addfile(tarfile.TarInfo(name))
            link = tarfile.TarInfo(f"l{number}")
            link.type, link.linkname = tarfile.SYMTYPE, name
            tar.addfile(link)
    said = " ".join(texts)
    config = {
        "rootfs": {"type": "layers", "diff_ids": []},
        "history": [{"created_by": said}],
        "config": {"Labels": {said: said}, "Env": [said]},
        "architecture": "amd64",
        "os": "linux",
    }
    config["rootfs"]["diff_ids"] = ["sha256:" + hashlib.sha256(layer.getvalue()).hexdigest()]
    manifest = [{"Config": "c.json", "Layers": ["l/layer.tar"], "RepoTags": None}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, content in (
            ("l/layer.tar", layer.getvalue()),
            ("c.json", json.dumps(config).encode()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    image = images.read_stream(io.BytesIO(archive.getvalue()))
    with pd.option_context("display.max_rows", None, "display.max_colwidth", None):
        return [
            frame.to_frame().T._repr_html_()
            if isinstance(frame, pd.Series)
            else frame._repr_html_()
            for frame in (image.layers, image.files, image.summary)
        ]


class _Tags(HTMLParser):
    """Every tag with its attributes, and all text."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, tuple(sorted(name for name, _ in attrs))))

    def handle_data(self, data):
        self.text += data


def shape(markup: str) -> list:
    """Return the tags and names of attributes of a piece of HTML, without any text."""
    parser = _Tags()
    parser.feed(markup)
    parser.close()
    return parser.tags


@pytest.mark.parametrize("render", [_frames, _cards, _scorecards, lambda t: [_page(t)]],
                         ids=["frames", "cards", "scorecard", "page"])  # fmt: skip
def test_text_adds_no_tag_and_no_attribute(render):
    """What a renderer makes of a hostile text has the tags that it makes of a harmless one."""
    wanted = [shape(piece) for piece in render("harmless")]
    assert sum(map(len, wanted))
    for text in ALL:
        with pd.option_context("display.max_colwidth", None):
            assert [shape(piece) for piece in render(text)] == wanted, text


def test_outputs_of_a_notebook_add_no_tag():
    """Streams, plain results, errors and alternative texts are text in the report's body."""

    def tags(texts):  # colours that a text asks a terminal for become spans
        return [tag for tag in shape(_notebook(texts)) if tag[0] != "span"]

    assert tags(ALL) == tags(["harmless"] * len(ALL))


def test_there_are_forty():
    """All distinct."""
    assert len(set(ALL)) == len(ALL) == 40


def test_names_of_files_add_no_tag():
    """Files, links and history of a hostile image are text in its tables."""

    def tags(texts):
        return [{tag for tag, _ in shape(piece)} for piece in _image_tables(texts)]

    assert tags(ALL) == tags(["harmless"] * len(ALL))


STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028\u202e\u2066]")


def test_a_terminal_is_never_steered():
    """Reprs and the scorecard's lines have no control character; one text stays on one line."""
    for text in ALL:
        lines = "\n".join(scorecard.lines(scorecard.as_table(_entries(text)[:1])))
        for said, count in (
            (repr(_verdict(text)), 2),
            (repr(claims.ThenAndNow(*[text] * 6)), 4),
            (lines, 2),
            (repr(page.Overview(_entries(text)[:1])), 3),
        ):
            assert not STEERS.search(said), text
            assert said.count("\n") == count - 1


@pytest.fixture(scope="module")
def measured():
    """Return all tables of the recorded `startup`, as if somebody had just measured them."""
    found = {
        name: trials.get(startup, source="recorded", table=name)
        for name in tables_of(complete(startup))
    }
    return found | {"trials": found["trials"].assign(source="live")}


def _hostile_run(out, tables, texts):
    """Write a run whose places, machine, errors and conditions carry the texts."""
    rows, facts = tables["trials"], tables["conditions"]
    quick = rows[(rows["place"] == "namespaces") & (rows["design"] == "start")]
    times = frames.measures(startup.Trials)
    # no copies: the guards would refuse them
    extra = [
        quick.assign(place=text, **(quick[times] * (1 + number / 1000)))
        for number, text in enumerate((*texts[:3], texts[-1]), start=1)
    ]
    failed = rows.head(1).assign(ok=False, design="failed")
    bad = [
        failed.assign(error=text, place=text, position=position)
        for position, text in enumerate(texts)
    ]
    bad = pd.concat(bad).assign(**dict.fromkeys(times, float("nan")))
    fact = facts.iloc[0].to_dict() | {"machine": texts[0]}
    more = pd.DataFrame([fact | {"place": t, "name": t, "value": t} for t in texts])
    tables = tables | {
        "trials": pd.concat([rows, *extra, bad]).assign(machine=texts[0]),
        "conditions": pd.concat([facts, more]),
    }
    finish.write_package(
        out / "startup",
        "startup",
        tables,
        tables_of(complete(startup)),
        title=texts[0],
        summary=pd.DataFrame(),
        verdicts=[],
    )
    return out


@pytest.fixture
def hostile(tmp_path, measured):
    """Return a folder with a run that somebody else made."""
    texts = [printable(text) for text in ALL]
    return _hostile_run(tmp_path / "run", measured, texts), texts


def test_a_hostile_run_is_summarised_and_drawn(hostile):
    """Names with dollars, braces and percent signs break neither table nor figure."""
    folder, _ = hostile
    runs = trials.get(startup, source=folder)
    summary = startup.summarize(runs)
    assert shape(summary._repr_html_())
    for draw in (startup.plot, startup.plot_phases, startup.plot_at_once):
        ax = draw(runs)
        ax.figure.canvas.draw()
        assert plots.describe(ax)
        plt.close(ax.figure)
    assert stats.quality(runs[runs["design"] == "start"], "first_output_s") is not None


def test_names_in_figures_are_no_formulas():
    """A name with dollars, which typesetting would choke on, is drawn as it is."""
    name = ALL[-1]
    trial = pd.DataFrame({"place": [name, "b"], "x": [1, 2], "y_s": [1.0, 2.0]})
    named = pd.DataFrame({name: [1.0], "estimate": [1.0], "low": [0.9], "high": [1.1]}, [name])
    same = {"by": "place", "unit": "s"}
    for ax in (
        plots.dots(trial, "y_s", label="y", **same),
        plots.lines(trial, "x", "y_s", xlabel="x", ylabel="y", **same),
        plots.stacked(named, unit="s", label="y"),
        plots.effects(named, label="y"),
    ):
        ax.figure.canvas.draw()
        assert name in plots.describe(ax)
        plt.close(ax.figure)


def _command(monkeypatch, capsys, *words) -> tuple[int, str]:
    """Run the command; return its status and all that it printed."""
    monkeypatch.setattr(sys, "argv", ["caveatlib", *words])
    status = 0
    try:
        cli.main()
    except SystemExit as end:
        status = end.code or 0
    return status, "".join(capsys.readouterr())


EVIL = "\x1b[31mred\x9b2J\u202e"


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["measure", EVIL], 2),
        (["scorecard", "--source", EVIL], 2),
        (["report", "--source", EVIL], 2),
        (["measure", "startup", "--places", EVIL], 2),
        (["measure", "startup", "--engine", f"tcp://{EVIL}"], 2),
        (["measure", "startup", "--engine", "own"], 2),
        (["measure", "startup", "--places=process", "--budget-s=0.1", "--out", f"out{EVIL}"], 0),
        (["measure", "startup", "--places=process", "--out", EVIL], 130),
    ],
)
def test_the_command_line_prints_no_control_characters(
    monkeypatch, capsys, tmp_path, words, status
):
    """Words, addresses and paths with escape sequences reach the terminal spelled out."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / EVIL).mkdir()
    monkeypatch.setenv("DOCKER_HOST", f"unix:///{EVIL}")
    if status == 130:
        monkeypatch.setattr(
            trials, "measure", lambda *a, **o: (_ for _ in ()).throw(KeyboardInterrupt)
        )
    found, said = _command(monkeypatch, capsys, *words)
    assert found == status, said
    assert "red" in said or "out" in said
    assert not STEERS.search(said)


def test_results_of_a_hostile_run(hostile, monkeypatch, capsys):
    """What `measure` and `scorecard` print of places, errors and machines is spelled out."""
    folder, texts = hostile
    cli._results(startup, folder)
    said = capsys.readouterr().out
    assert f"{texts[0]}: 1 without a result: {texts[0]}" in said
    assert not STEERS.search(said)
    get = trials.get
    monkeypatch.setattr(
        trials, "get", lambda *a, **o: get(*a, **o).assign(machine=EVIL, error=f"{EVIL}\nC01 holds")
    )
    cli._results(startup, folder)
    said = capsys.readouterr().out
    assert not STEERS.search(said)
    assert "\nC01 holds" not in said
    status, said = _command(monkeypatch, capsys, "scorecard", "--source", str(folder))
    assert (status, STEERS.search(said)) == (0, None)


# In a real browser.

LOOK = """({
  handlers: [...document.querySelectorAll('*')].flatMap(e =>
    [...e.attributes].filter(a => /^on/i.test(a.name)).map(a => a.name)),
  scripted: [...document.querySelectorAll('[href],[src],[action],[data]')].map(e =>
    e.getAttribute('href') || e.getAttribute('src') || '').filter(u => /^\\s*javascript:/i.test(u)),
  tags: [...new Set([...document.body.querySelectorAll('*')].map(e => e.localName))],
  text: document.body.textContent
})"""
HARMFUL = {"script", "iframe", "object", "embed", "svg", "math", "link", "meta", "base", "form",
           "input", "video", "audio", "details"}  # fmt: skip


@pytest.fixture
def shown(require):
    """Return a running browser."""
    require(browsers.PROGRAM)
    with browsers.browser() as running:
        yield running


@pytest.fixture
def listener():
    """Return the port of a server on 127.0.0.1 and the list of what it was asked for."""
    hits = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            hits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, hits
    server.shutdown()
    server.server_close()


def _assert_quiet(page, hits, texts, ours=frozenset()):
    """Fail if a page did something, holds what could, or lacks a text; `ours` are its own tags."""
    assert page.dialogs == []
    assert page.requests == []
    assert hits == []
    assert page.found["handlers"] == []
    assert page.found["scripted"] == []
    assert not (HARMFUL - ours) & set(page.found["tags"])
    missing = [t for t in texts if " ".join(t.split()) not in " ".join(page.found["text"].split())]
    assert not missing


@pytest.mark.browser
def test_the_browser_sees_what_is_not_escaped(shown, listener, tmp_path, bars):
    """The watch itself works: unescaped, the payloads do run and load."""
    port, hits = listener
    raw = payloads(port)[: len(SCRIPTS) + len(LOADS)]
    (tmp_path / "raw.html").write_text(
        "<!doctype html><meta charset=utf-8><body>" + "\n".join(f"<div>{t}</div>" for t in raw)
    )
    page = browsers.visit(shown, (tmp_path / "raw.html").as_uri(), evaluate=LOOK, settle_s=4)
    ran, loaded = set(page.dialogs), set(hits)
    bars.append(("escaping: payloads that run when not escaped", len(ran), ">= 15 (control)"))
    assert len(ran) >= 15
    assert len(loaded) >= 4
    assert len([u for u in page.requests if "/hit/" in u]) >= 4
    assert page.found["handlers"]


@pytest.mark.browser
def test_every_renderer_in_a_browser(shown, listener, tmp_path, bars):
    """Without any policy that would hide it: no dialog, no script, no request."""
    port, hits = listener
    texts = payloads(port)
    pieces = [p for t in texts for f in (_frames, _cards, _scorecards) for p in f(t)]
    pieces += [_notebook(texts), *_image_tables(texts)]
    pieces += [re.sub(r"(?s).*<body[^>]*>(.*)</body>.*", r"\1", _page(t)) for t in texts]
    (tmp_path / "all.html").write_text(
        '<!doctype html><html><head><meta charset="utf-8"></head><body>'
        + "\n".join(pieces).replace("\0", "")
        + "</body></html>",
        encoding="utf-8",
    )
    page = browsers.visit(shown, (tmp_path / "all.html").as_uri(), evaluate=LOOK)
    _assert_quiet(page, hits, [t for t in texts if t.isprintable()], ours={"details", "input"})
    done = f"0 of {len(texts)}"
    bars.append(("escaping: payloads that run or load, all renderers", done, "0"))


@pytest.mark.browser
@pytest.mark.slow
def test_a_report_of_a_hostile_run(shown, listener, tmp_path, measured, monkeypatch, bars):
    """Measured by somebody else, executed, rendered, opened: still only text."""
    port, hits = listener
    texts = [printable(t) for t in payloads(port)]
    folder = _hostile_run(tmp_path / "run", measured, texts)
    said, own = [], [p for p in notebooks.files() if "startup" in p.name]
    monkeypatch.setattr(notebooks, "files", lambda: own)
    monkeypatch.setattr(notebooks, "talks", lambda: [])
    made = report.write(tmp_path / "page", source=str(folder), say=said.append)
    assert made.sources["startup"] == str(folder)
    assert said == [f"Running {own[0].name}."]
    written = [made.page, made.page.with_name(f"{own[0].stem}.html")]
    ours = {"details", "input", "svg"}
    for path in written:
        opened = browsers.visit(shown, path.as_uri(), evaluate=LOOK, settle_s=2)
        _assert_quiet(opened, hits, texts if path != made.page else [], ours)
        # The policy alone would have stopped them: without it they are text, too.
        bare = re.sub(r"<meta http-equiv[^>]*>", "", path.read_text(encoding="utf-8"), count=1)
        (tmp_path / "bare.html").write_text(bare, encoding="utf-8")
        opened = browsers.visit(shown, (tmp_path / "bare.html").as_uri(), evaluate=LOOK, settle_s=2)
        _assert_quiet(opened, hits, texts if path != made.page else [], ours)
    bars.append(("escaping: report of a hostile run, in a browser", "0 dialogs, 0 requests", "0"))


def test_html_escape_is_what_the_page_shows():
    """Quotations, sentences and titles stand in the page as the text they are."""
    for text in filter(str.isprintable, ALL):
        assert _page(text).count(html.escape(text)) >= 20


def styled(code: str) -> list[int]:
    """Return the lines of Python code that ask anything for its style, or name pandas' Styler."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(code))
        if (isinstance(node, ast.Attribute) and node.attr in ("style", "Styler"))
        or (isinstance(node, ast.alias) and "style" in node.name.lower())
    ]


def sources():
    """Yield (file, code) of every module of the package and every cell of the notebooks."""
    for path in ROOT.glob("caveatlib/**/*.py"):
        yield path.name, path.read_text(encoding="utf-8")
    for path in ROOT.glob("notebooks/*.ipynb"):
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                yield path.name, cell.source


def test_no_table_is_styled():
    """`DataFrame.style` escapes nothing by default: neither the package nor a notebook uses it."""
    assert styled("a\nframe.style.format()") == [2]
    assert styled("from pandas.io.formats.style import Styler") == [1]
    every = list(sources())
    assert {"report.py", "04-cpu-quota.ipynb"} <= {name for name, _ in every}
    assert [(name, line) for name, code in every for line in styled(code)] == []
