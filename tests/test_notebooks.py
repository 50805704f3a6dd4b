"""Guards over every notebook: run in order, no definitions, nothing private, figures in words."""

import base64
import json
import re

import nbformat
import pytest
from nbclient.output_widget import OutputWidget

from caveatlib import notebooks, plots, report
from caveatlib.experiments import recorded
from caveatlib.support import shipped

pytestmark = pytest.mark.beside

PATHS = notebooks.files()
PRIVATE = (
    r"/home/\w+", r"/root\b", r"/tmp/\w+", r"ipykernel_\d+", r"/Users/\w+",
    r"\b(?:\d{1,3}\.){3}\d{1,3}\b(?!\S*;)", r"\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b",
)  # fmt: skip
ALLOWED_ADDRESSES = {"127.0.0.1"}
LONGEST, WIDEST = 25, 100


def pytest_generate_tests(metafunc):
    """Run each guard over each notebook."""
    if "notebook" in metafunc.fixturenames:
        books = [nbformat.read(path, as_version=4) for path in PATHS]
        metafunc.parametrize("notebook", books, ids=[p.stem for p in PATHS])


def code_cells(notebook):
    """Return the notebook's code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    """Return a cell's tags."""
    return cell.metadata.get("tags", [])


def test_there_are_notebooks():
    """The guards below guard something."""
    assert {p.stem[:2] for p in PATHS} >= {"00", "02"}


def test_cells_ran_in_order(notebook):
    """Cells are executed 1..n: nbval compares nothing in a cell that never ran."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_outputs_tell_no_paths_addresses_or_errors(notebook):
    """No output names a home, a kernel's file, an address; none is an error."""
    for cell in code_cells(notebook):
        assert all(o.output_type != "error" for o in cell.outputs)
        assert all(o.get("name") != "stderr" for o in cell.outputs), "a warning"
        text = re.sub(r'"image/png": "[^"]*"', "", json.dumps(cell.outputs))
        found = {m.group() for p in PRIVATE for m in re.finditer(p, text)}
        assert found <= ALLOWED_ADDRESSES


def test_no_definitions_and_no_loops(notebook):
    """Functions belong in the package; a notebook shows values."""
    for cell in code_cells(notebook):
        assert not re.search(r"^\s*(def|class|for|while|async)\b", cell.source, re.M), cell.source


def test_no_line_of_code_is_cut_off(notebook):
    """In a window of 1280 pixels JupyterLab shows some 104 letters of a line."""
    for cell in code_cells(notebook):
        assert max(map(len, cell.source.splitlines()), default=0) <= WIDEST, cell.source


def test_one_cell_holds_the_parameters(notebook):
    """Papermill finds exactly one cell tagged so, and it has the one switch."""
    if not notebooks.experiments_of(notebook):
        return
    cells = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    assert len(cells) == 1
    assert re.search(r"^SOURCE = None", cells[0].source, re.M)


def test_every_figure_has_words(notebook):
    """Alternative text with a number, which is an output too: nbval holds its digits."""
    for output in figures(notebook):
        alt = output.metadata.get("image/png", {}).get("alt", "")
        assert re.search(r"\d", alt), "no alternative text with a number in it"
        assert alt == "".join(output.data["text/plain"])


def test_every_picture_is_the_one_that_was_compared(notebook):
    """Nbval compares how dark each field is; the picture that is kept is as dark there."""
    for output in figures(notebook):
        kept = plots.shades(base64.b64decode(output.data["image/png"]))
        assert kept == output.data[plots.SHADES]
        assert max(map(max, kept)) > 0


def figures(notebook):
    """Return the outputs of a notebook that have a picture."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    return [output for output in outputs if "image/png" in output.get("data", {})]


def test_what_decides_is_compared_everywhere(notebook):
    """Where packages are not the pinned ones, nbval compares only the cells with this tag."""
    for cell in code_cells(notebook):
        if re.search(r"page\.(verdicts|Overview)\(", cell.source):
            assert "nbval-check-output" in tags(cell), cell.source


def test_a_notebook_is_short(notebook):
    """Whoever scrolls further than that has stopped reading."""
    assert len(notebook.cells) <= LONGEST


def test_the_parts_have_their_order(notebook):
    """What was found comes first, what it was measured on last."""
    if not notebooks.experiments_of(notebook) and "90" not in notebook.cells[0].id:
        return
    found = [tag for cell in notebook.cells for tag in tags(cell) if tag in notebooks.PARTS]
    assert found == list(notebooks.PARTS)
    assert tags(notebook.cells[0]) == ["answer"]


def test_tables_and_verdicts_are_the_pages_own(notebook):
    """Frames are shown for reading, verdicts as the cards of the page."""
    for cell in code_cells(notebook):
        html = "".join(
            "".join(o["data"]["text/html"])
            for o in cell.outputs
            if "text/html" in o.get("data", {})
        )
        assert "dataframe" not in html, cell.source
        assert ".verdicts()" not in cell.source.replace("simulated.verdicts()", ""), cell.source
    shown = sum(cell.source.count("page.verdicts(") for cell in code_cells(notebook))
    assert shown == len(notebooks.experiments_of(notebook))


def test_what_depends_on_the_readers_machine_is_empty(notebook):
    """It would show the author's, and says so; a slider comes after a picture of it."""
    before = None
    for cell in notebook.cells:
        depends = {notebooks.HERE, notebooks.INTERACTIVE} & set(tags(cell))
        if cell.cell_type == "code" and re.search(r"\bhost\.|sliders\(|interact\(", cell.source):
            assert depends or cell.source.startswith("from "), cell.source
        if depends:
            assert cell.outputs == []
            assert "Shift+Enter" in before.source, cell.source
        before = cell


def test_the_slider_is_on_the_first_screens():
    """It is the only thing on Binder that one can play with."""
    notebook = nbformat.read(next(p for p in PATHS if p.stem.startswith("04")), as_version=4)
    at = [i for i, cell in enumerate(notebook.cells) if notebooks.INTERACTIVE in tags(cell)]
    assert at
    assert at[0] <= 8


def test_a_sentence_stands_before_each_value(notebook):
    """No two tables follow each other without a word; pictures may follow their table."""
    silent = 0
    for cell in notebook.cells:
        shows = cell.cell_type == "code" and any(
            "text/html" in o.get("data", {}) for o in cell.outputs
        )
        silent = silent + 1 if shows else 0 if cell.cell_type == "markdown" else silent
        assert silent <= 1


def test_every_cell_has_a_slide_type(notebook):
    """The speaker opens the same notebook."""
    for cell in notebook.cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        assert kind in ("slide", "subslide", "fragment", "skip", "notes", "-"), cell.source[:60]


def test_the_answer_follows_the_data(notebook):
    """The answer in the title is the sentence that the recorded trials give."""
    names = notebooks.experiments_of(notebook)
    if not names:
        return
    said = notebooks.in_points(report.answer(dict.fromkeys(names, "recorded")))
    answer = f"**Answer, from the recorded trials:** {said}"
    assert answer in notebook.cells[0].source
    assert notebooks.ANSWER.search(notebook.cells[0].source)[0] == answer


def test_a_long_answer_is_read_point_by_point():
    """The first sentence leads; a number of a version ends none."""
    two = "It holds. By go 1.24.4 it does not."
    assert notebooks.in_points(two) == two
    assert notebooks.in_points(f"{two} 8 of 9 do. it goes on.") == (
        "It holds.\n\n* By go 1.24.4 it does not.\n* 8 of 9 do. it goes on."
    )


def test_no_times_in_the_metadata(notebook):
    """A notebook that is run again is the same file."""
    assert all("execution" not in cell.metadata for cell in notebook.cells)
    assert "language_info" not in notebook.metadata


def test_every_recorded_experiment_has_its_notebook():
    """Trials that no notebook shows are not shown to anybody."""
    books = [nbformat.read(path, as_version=4) for path in PATHS]
    shown = {name for notebook in books for name in notebooks.experiments_of(notebook)}
    assert {e.NAME for e in recorded()} <= shown


def test_notebooks_ship():
    """They are where a wheel finds them, too."""
    assert shipped.folder("notebooks").is_dir()


@pytest.mark.parametrize("path", PATHS, ids=[p.stem for p in PATHS])
def test_a_title_says_what_it_is_about(path):
    """The report's navigation needs one."""
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata["caveatlib"]["title"]
    assert notebook.cells[0].source.lstrip().startswith("# ")


def test_nothing_is_sent_while_a_reply_is_awaited(monkeypatch):
    """Else a reply that comes just then is noticed only after the cell's time limit."""

    def send(self, *args, **kwargs):
        raise AssertionError("a message to the widget")

    monkeypatch.setattr(OutputWidget, "_publish_msg", send)
    source = "import ipywidgets as w\nwith w.Output() as caught:\n    print(1)\nprint(2)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebooks.run(notebook, "recorded")
    assert "".join(each.text for each in notebook.cells[0].outputs) == "1\n2\n"
