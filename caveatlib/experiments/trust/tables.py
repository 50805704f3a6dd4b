"""Tables of `trust`: what the trials of one machine show, frame in, frame out."""

from __future__ import annotations

import re

import pandas as pd

from caveatlib import stats
from caveatlib.experiments.kit.tables import per_machine
from caveatlib.experiments.trust.designs import DAY_S, TAKES
from caveatlib.experiments.trust.planted import PLANTS, TOLD
from caveatlib.experiments.trust.schema import FETCH, PLANTED, UPDATES
from caveatlib.experiments.trust.tampering import CONTROLS, TAMPERINGS

ACCEPTED, CHANGED = "accepted", "accepted, changed"


@per_machine
def summarize(trials: pd.DataFrame) -> pd.DataFrame:
    """Summarise each tool and form: n, failed, how often it accepted, what it left, how long."""
    rows = trials[trials["work"] == FETCH]
    return stats.summarize(rows, ["accepted", "left_files", "took_s"], by=["place", "form"])


def outcomes(here: pd.DataFrame) -> pd.DataFrame:
    """Return one row per tool, form and tampering of one machine, untouched images left out.

    Returns
    -------
    pandas.DataFrame
        `place`, `form`, `tampering`, and `refused`: the share of its trials in which the
        tool refused the image.
    """
    keys = ["place", "form", "tampering"]
    rows = here[(here["work"] == FETCH) & here["ok"] & ~here["tampering"].isin(CONTROLS)]
    accepted = rows.groupby(keys)["accepted"].mean()
    return (1 - accepted.dropna().clip(upper=1)).rename("refused").reset_index()


@per_machine
def matrix(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each tool did about each tampering, in words.

    Returns
    -------
    pandas.DataFrame
        Indexed by tool and form, a column per tampering: the check that refused the image,
        ``"accepted"`` or ``"accepted, changed"`` (what the tool then held is not what was
        published); where its trials differ, joined by "/"; empty where it was not tried.
    """
    rows = trials[(trials["work"] == FETCH) & trials["ok"]]
    keys = ["place", "form", "tampering"]
    seen = rows[keys].assign(words=_words(rows)).drop_duplicates().sort_values("words")
    found: dict[tuple[str, str, str], str] = {}
    for *cell, words in seen.itertuples(index=False):
        key = (cell[0], cell[1], cell[2])
        found[key] = f"{found[key]}/{words}" if key in found else words
    tried = {cell[:2] for cell in found}
    pairs = [(tool, form) for tool, forms in TAKES.items() for form in forms]
    index = pd.MultiIndex.from_tuples(
        [pair for pair in pairs if pair in tried], names=["tool", "form"]
    )
    columns = {
        what: [found.get((*pair, what), "") for pair in index]
        for what in TAMPERINGS
        if any(what == tampering for _, _, tampering in found)
    }
    return pd.DataFrame(columns, index=index, dtype=object)


@per_machine
def answers(trials: pd.DataFrame) -> pd.DataFrame:
    """Return what each tool did, a line per tool and form: `matrix`, read along its rows.

    Returns
    -------
    pandas.DataFrame
        Indexed by tool and form; `refused` (the check, and what it refused), `accepted` and
        `accepted, changed` (tamperings).
    """
    table, rows = matrix(trials), []
    for _, cells in table.iterrows():
        by_words: dict[str, list[str]] = {}
        for what, words in cells[cells != ""].items():
            by_words.setdefault(words, []).append(re.sub(", (.+)", r" (\1)", str(what)))
        taken = {words: ", ".join(by_words.pop(words, [])) for words in (ACCEPTED, CHANGED)}
        refused = (f"{check}: {', '.join(what)}" for check, what in by_words.items())
        rows.append({"refused": "; ".join(refused)} | taken)
    return pd.DataFrame(rows, columns=["refused", ACCEPTED, CHANGED], index=table.index)


def _words(rows: pd.DataFrame) -> pd.Series:
    changed = rows["same_content"] == 0
    words = pd.Series(ACCEPTED, index=rows.index, dtype=object).mask(changed, CHANGED)
    refused = rows["accepted"] == 0
    return words.mask(refused, rows["check"].astype(object).fillna("refused"))


@per_machine
def left(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per tool and form, how many layers lay on the disk after refusals.

    Of Docker those that it had not removed again: what it wrote meanwhile is not counted.

    Returns
    -------
    pandas.DataFrame
        Indexed by place and form: `refusals`, and `left_least` and `left_most` of them.
    """
    rows = trials[(trials["work"] == FETCH) & (trials["accepted"] == 0)]
    grouped = rows.groupby(["place", "form"])["left_files"]
    return grouped.agg(refusals="size", left_least="min", left_most="max")


@per_machine
def hidden(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per tool and history, how many of the planted things it named, and of how many."""
    rows = trials[(trials["work"] == PLANTED) & trials["ok"]]
    rows = rows.assign(form=rows["form"].replace(TOLD))
    table = rows.groupby(["place", "form"])[["named", "false_alarms"]].median()
    return table.assign(planted=len(PLANTS))


@per_machine
def ages(trials: pd.DataFrame) -> pd.DataFrame:
    """Return, per age in days, the share of days with an update lacking, and the mean number."""
    rows = trials[(trials["work"] == UPDATES) & trials["ok"]]
    rows = rows.assign(age_days=(rows["image_age_s"] / DAY_S).round())
    return rows.groupby("age_days")[["lacking_share", "lacking_mean"]].median()
