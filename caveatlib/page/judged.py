"""The verdicts of one run as a notebook shows them."""

from __future__ import annotations

from collections.abc import Sequence

from caveatlib import scorecard, trials
from caveatlib.page.cards import card, misleading
from caveatlib.page.sheet import NOTEBOOK
from caveatlib.scorecard import Entry


class Judged:
    """Entries as cards, the same as on the page; lines in a terminal.

    What would mislead a reader of their experiments stands once, below all cards.
    """

    def __init__(self, entries: Sequence[Entry]):
        self.entries = list(entries)

    def __repr__(self):
        return "\n".join(scorecard.lines(scorecard.as_table(self.entries)))

    def _repr_html_(self):
        cards = "".join(card(entry, data=False, traps=False) for entry in self.entries)
        names = dict.fromkeys(entry.experiment for entry in self.entries if entry.verdicts)
        traps = "".join(map(misleading, names))
        below = (
            f"<details><summary>What would mislead you</summary>{traps}</details>" if traps else ""
        )
        return (
            f'<style>{NOTEBOOK}</style><div class="caveats"><div class="cards">{cards}</div>'
            f"{below}</div>"
        )


def verdicts(run: trials.Run) -> Judged:
    """Return what a run decides about the claims of its experiment, as cards of the page."""
    return Judged(scorecard.of_run(run))
