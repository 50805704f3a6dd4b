"""What a notebook's last cell shows: trials made, conditions, what others have published."""

from __future__ import annotations

from collections.abc import Sequence

from caveatlib import literature, trials
from caveatlib.page.frame import Shown, show
from caveatlib.page.markup import text


class Folded:
    """Tables below each other, each behind its title until it is unfolded."""

    def __init__(self, tables: Sequence[Shown]):
        self.tables = list(tables)

    def __repr__(self):
        return "\n\n".join(map(repr, self.tables))

    def _repr_html_(self):
        return "".join(
            f"<details><summary>{text(table.title)}</summary>{table.inner_html()}</details>"
            for table in self.tables
        )


def appendix(run: trials.Run, *places: str, area: str = "") -> Folded:
    """Return which trials of a run succeeded, on what, and figures that others published.

    Parameters
    ----------
    run : trials.Run
    *places : str
        Whose facts are shown beside the machine's own; default all.
    area : str
        Of `literature`; none if not given.
    """
    conditions = run.conditions(*places)
    tables = [
        show(run.succeeded(), title="Trials: succeeded of made, by design"),
        show(conditions, rows=len(conditions), title="Conditions: machine, engine, versions"),
    ]
    cited = literature.cited(area) if area else ()
    if len(cited):  # figures for context only stand beside nothing
        about = "Published by others: to compare with, never pooled with the measurements"
        tables.append(show(cited, rows=len(cited), title=about))
    return Folded(tables)
