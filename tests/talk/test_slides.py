"""The slides: few, each asks first, letters that the last row reads, a badge on every number.

Seen to fail: with the badge left out of a figure, and with letters of 20 px.
"""

import browser as browsers
import left
import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from caveatlib import claims, notebooks, plots, talk
from caveatlib.errors import UsageError
from caveatlib.experiments import layers, quota, startup
from caveatlib.talk import pages, shown
from caveatlib.talk.stage import FALLBACK, LIVE, Scene

(PATH,) = notebooks.talks()
MOST_SLIDES, LEAST_PX = 12, 28
BADGES = ("LIVE, ", "RECORDED", "SIMULATED", "PUBLISHED", "READ ")


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(PATH, as_version=4)


@pytest.mark.beside
def test_there_are_few(notebook):
    """Ten minutes, and each slide asks before it answers."""
    slides = pages.slides(notebook)
    assert 1 < len(slides) <= MOST_SLIDES
    for cells in slides:
        assert cells[0].source.startswith("# ")
        assert "**Predict first:** " in cells[0].source
        assert cells[0].source.rstrip().endswith("?")
        assert any(cell.cell_type == "code" for cell in cells)


@pytest.mark.beside
def test_it_asks_no_other_machine(notebook):
    """RISE's own themes ask a font server; this one does not. What grows, grows downwards."""
    assert notebook.metadata["rise"] == {"center": False, "scroll": True, "theme": "white"}


@pytest.mark.beside
def test_cells_are_one_line(notebook):
    """The audience reads them."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all("\n" not in cell.source for cell in code[1:])
    kept = [c for c in code[1:] if pages.INTERACTIVE not in c.metadata.get("tags", [])]
    assert all(cell.outputs for cell in kept)
    assert all(cell.execution_count for cell in code)


@pytest.mark.beside
def test_every_answer_has_a_badge(notebook):
    """In words, in whatever is shown."""
    for cells in pages.slides(notebook):
        for cell in cells:
            for output in cell.get("outputs", ()):
                said = output["data"]["text/plain"] + str(output.get("metadata", ""))
                assert any(badge in said for badge in BADGES), cell.source


@pytest.mark.beside
def test_no_tiles_are_missing(notebook):
    """A slide with tiles of words that no statement comes to would be empty."""
    cells = [cell for cell in notebook.cells if "talk.tiles(" in cell.source]
    assert len(cells) == 2
    for cell in cells:
        assert '<span class="t ' in cell.outputs[0]["data"]["text/html"], cell.source


@pytest.mark.beside
def test_what_is_said_is_so():
    """Sentences on slides that no cell makes are held against the recorded trials."""
    judged = {v.claim: v.verdict for v in talk.recorded(startup).run.verdicts()}
    assert judged["C23"] == claims.NOT_MEASURED
    told = talk.recorded(quota).run.experiment.highlights(talk.recorded(quota).trials)
    count, of = next(h for h in told if h.claim == "C07").number.split(" of ")
    assert int(count) > int(of) / 2
    assert len(claims.ledger()) == 37


@pytest.mark.beside
def test_the_page_has_a_question_before_each_answer(notebook):
    """Twice as many sections as slides; the question is answered on the next."""
    page = pages.document(notebook)
    slides = pages.slides(notebook)
    assert page.count("<section") == 2 * len(slides)
    assert page.count('<section class="asked">') == len(slides)
    assert "interactive(children" not in page
    assert "<script" not in page


@pytest.mark.beside
@pytest.mark.parametrize(
    ("kind", "words"), [(LIVE, "LIVE, measured just now"), (FALLBACK, "NOT LIVE. RECORDED on")]
)
def test_a_figure_says_where_its_numbers_come_from(monkeypatch, kind, words):
    """In the picture itself, and in the sentence that stands in for it."""
    scene = Scene(talk.recorded(startup).run, kind, "no engine" if kind == FALLBACK else "")
    seen = []
    monkeypatch.setattr(plots, "show", lambda ax: seen.append(ax))
    talk.figure(startup.plot, scene)
    (ax,) = seen
    badge = ax.figure.texts[0]
    assert badge.get_text().startswith(words)
    assert badge.get_bbox_patch().get_facecolor()[:3] == pytest.approx(
        plt.matplotlib.colors.to_rgb(shown.COLOURS[kind])
    )
    assert words in plots.describe(ax)
    plt.close(ax.figure)


@pytest.mark.beside
def test_a_table_says_why_it_is_not_live():
    """The reason cannot steer the page."""
    run = talk.recorded(layers).run
    scene = Scene(run, FALLBACK, "<b>no engine</b>")
    html = talk.finding("layers-opened", scene)._repr_html_()
    assert "Not live: &lt;b&gt;no engine&lt;/b&gt;" in html
    assert 'class="framed fallback"' in html
    day = pd.Timestamp(run.trials["started_at"].min())
    assert f"RECORDED on {day.day} {day:%B %Y}" in html
    with pytest.raises(UsageError, match="'C99'"):
        talk.finding("C99", scene)


SIZES = """[...document.querySelectorAll('section *')]
    .filter(e => [...e.childNodes].some(c => c.nodeType === 3 && c.textContent.trim()))
    .filter(e => parseFloat(getComputedStyle(e).opacity) > 0)
    .map(e => {
        const m = e.getScreenCTM ? e.getScreenCTM() : null;
        const scale = m ? Math.hypot(m.a, m.b) : 1;
        return [parseFloat(getComputedStyle(e).fontSize) * scale, e.textContent.trim()];
    })"""
CUT = """[...document.querySelectorAll('section')].map(s => [
    s.getBoundingClientRect().height,
    ...[...s.querySelectorAll('*')].map(e => e.getBoundingClientRect())
        .filter(r => r.width && (r.right > innerWidth || r.left < 0)).map(r => r.right)])"""


@pytest.mark.browser
@pytest.mark.slow
def test_nothing_is_cut_off_at_1280_by_720(require, tmp_path, bars):
    """Each section is one screen, all letters are large, nothing is asked for."""
    require(browsers.PROGRAM)
    path = tmp_path / "talk.html"
    made = notebooks.execute(PATH, "recorded", figures="svg")
    path.write_text(pages.document(made), encoding="utf-8")
    with browsers.browser() as running:
        asked = browsers.visit(running, path.as_uri())
        page = running.new_page(viewport={"width": 1280, "height": 720})
        page.goto(path.as_uri())
        sizes, screens = page.evaluate(SIZES), page.evaluate(CUT)
        page.keyboard.press("PageDown")
        assert left.until(lambda: page.evaluate("scrollY") == 720, 30)
    assert (asked.requests, asked.messages) == ([], [])
    assert screens == [[720]] * len(screens)
    smallest = min(sizes)
    assert smallest[0] >= LEAST_PX - 0.5, smallest
    bars.append(("talk: smallest letter", f"{smallest[0]:.1f} px", ">= 28 px"))
