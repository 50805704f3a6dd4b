"""The slides as one page without a script: sections that the browser snaps to."""

from __future__ import annotations

import re
from collections.abc import Sequence

from caveatlib.page.document import POLICY
from caveatlib.page.markup import text
from caveatlib.talk.sheet import SLIDES

PAGE = "page"
"""Tag of cells that stand on the page only, instead of a slider."""
INTERACTIVE = "interactive"
"""Tag of cells whose output is a widget, which needs a script."""
TITLE = "Docker caveats: a talk"
SHEET = """
html { scroll-snap-type: y mandatory; background: #fff; color: #1b1f24; color-scheme: light;
  font: 32px/1.3 system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { margin: 0; }
section { box-sizing: border-box; min-height: 100vh; scroll-snap-align: start; padding: 14px 40px;
  display: flex; flex-direction: column; justify-content: center; gap: 8px;
  border-bottom: 1px solid #ddd; overflow-wrap: anywhere; }
td, th { overflow-wrap: normal; }
section > * { max-width: 1200px; }
h1, h2 { font-size: 44px; line-height: 1.15; margin: 0; }
p { margin: 0; }
.asked h1 { font-size: 76px; }
.asked p { font-size: 44px; }
.take { font-size: 32px; font-weight: 600; }
figure { margin: 0; } figure svg { width: 1100px; max-width: 100%; height: auto; display: block; }
@media print { section { break-after: page; min-height: 0; } }
"""


def document(notebook) -> str:
    """Return an executed notebook's slides as HTML: each question, then its answer.

    Parameters
    ----------
    notebook : nbformat.NotebookNode
        A cell of the slide type ``slide`` begins a slide; ``skip`` and ``notes`` are left out.

    Returns
    -------
    str
    """
    sections = "".join(_sections(slide) for slide in slides(notebook))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{TITLE}</title><style>{_one_line(SHEET)}{SLIDES}</style></head>"
        f"<body><main>{sections}</main></body></html>\n"
    )


def slides(notebook) -> list[list]:
    """Return the cells of each slide, without those that no slide shows."""
    found: list[list] = []
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type", "-")
        if kind == "slide":
            found.append([])
        instead = PAGE in cell.metadata.get("tags", [])
        drawn = INTERACTIVE in cell.metadata.get("tags", [])
        if found and not drawn and (kind not in ("skip", "notes") or instead):
            found[-1].append(cell)
    return found


def _sections(cells: Sequence) -> str:
    """Return a slide's question, then the question's title with the answer below it."""
    asked = _markdown(cells[0].source)
    title = asked[: asked.find("</h1>") + len("</h1>")].replace("h1", "h2")
    title = title.replace("<h2>", '<h2 class="again">')
    answer = "".join(map(_cell, cells[1:]))
    return f'<section class="asked">{asked}</section><section>{title}{answer}</section>'


def _cell(cell) -> str:
    if cell.cell_type == "markdown":
        return f'<div class="take">{_markdown(cell.source)}</div>'
    return "".join(map(_output, cell.outputs))


def _output(output) -> str:
    data = output.get("data", {})
    if svg := data.get("image/svg+xml"):
        return f"<figure>{''.join(svg)}</figure>"
    if html := data.get("text/html"):  # the page has the style once
        return re.sub(r"<style>.*?</style>", "", "".join(html), flags=re.S)
    return f"<p>{text(said)}</p>" if (said := "".join(data.get("text/plain", ""))) else ""


def _markdown(source: str) -> str:
    from nbconvert.filters import markdown2html

    html = markdown2html(source)
    return re.sub(
        r'<h1 id="[^"]*">(.*?)(<a class="anchor-link".*?</a>)?</h1>', r"<h1>\1</h1>", html
    )


def _one_line(sheet: str) -> str:
    return re.sub(r"\s+", " ", sheet)
