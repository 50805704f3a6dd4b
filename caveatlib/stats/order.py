"""What the order of trials did to them: carry-over from trial to trial, ageing within a session.

Both are read from how far each trial lies from its arm's usual value, so that an arm's own
effect is in neither. They are doubts about a comparison, never corrections of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from caveatlib.stats.contrasts import MIN_PAIRS
from caveatlib.stats.ranks import hodges_lehmann, signed_rank_p
from caveatlib.support.quantities import percent

PERMUTATIONS, AT_ONCE = 999, 111
"""How many there are, and how many of them are made before it is looked whether all are needed."""
CARRY_P = 0.03
"""How rare an effect of the arm before must be by chance to be called one, over all arms that
come before. In simulation at most 5 % of runs without one are called so, whichever the noise."""
AGEING, AGEING_P = 0.05, 0.01
"""How far the last third of the sessions' trials must lie from the first, and how rare that
must be by chance, to be called ageing."""

FEWEST = 6
"""Trials of a session of which a last third can be laid beside a first one."""

_SESSION = ["run", "session"]
_BLOCK = [*_SESSION, "design", "block"]


class CarryOver(NamedTuple):
    """The arm that changes the trials right after it most.

    Attributes
    ----------
    after : str
        That arm.
    ratio : float
        Trials right after it over those after the others.
    p : float
        Share of permutations in which any arm does as much, in (0, 1].
    """

    after: str
    ratio: float
    p: float


class Ageing(NamedTuple):
    """How trials late in a session compare with early ones, whatever the arm.

    Attributes
    ----------
    ratio : float
        Last third over first third of a session's trials.
    p : float
        Of the signed-rank test over sessions.
    sessions : int
    """

    ratio: float
    p: float
    sessions: int


def carry_over(trials: pd.DataFrame, measure: str, arm: str | Sequence[str]) -> CarryOver | None:
    """Test whether a trial's value depends on which arm ran right before it in its block.

    Freedman and Lane's permutation test [1]_: residuals of a model of arms, blocks and
    being the first of a block are permuted within blocks, and the largest share of their
    variance that any arm before explains is compared with the one observed: a test of all
    such arms at once.

    Parameters
    ----------
    trials : pandas.DataFrame
        All trials of one design on one machine: what ran before is among them.
    measure : str
        Its values above zero are compared as ratios.
    arm : str or sequence of str
        Columns that make an arm. The same arm twice (``replicate``) is better left one arm.

    Returns
    -------
    CarryOver or None
        None where it cannot be told: fewer than 6 blocks, or two arms, of which one always
        comes before the other.

    References
    ----------
    .. [1] D. Freedman and D. Lane (1983), A nonstochastic interpretation of reported
       significance levels, Journal of Business & Economic Statistics 1(4), 292-298.
    """
    return _carry_over(trials, measure, arm, give_up=1.0)


def _carry_over(
    trials: pd.DataFrame, measure: str, arm: str | Sequence[str], *, give_up: float
) -> CarryOver | None:
    """Test as `carry_over`; None as soon as it is certain that p is larger than `give_up`."""
    rows = _positive(_after_whom(trials, arm), measure)
    block = rows.groupby(_BLOCK).ngroup().to_numpy(dtype=np.intp)  # rows are sorted by it
    if len(np.unique(block)) < MIN_PAIRS:
        return None
    arms, _ = pd.factorize(rows["_arm"])
    before, names = pd.factorize(rows["_before"])
    usual, follows = _model(block.tobytes(), arms.tobytes(), before.tobytes())
    length = np.sqrt((follows**2).sum(axis=0))
    told = length > 1e-6 * math.sqrt(len(rows))  # else it is a matter of arm, block or first
    off = _centred(np.log(rows[[measure]].to_numpy(dtype=float)), block)[:, 0]
    off -= usual @ (usual.T @ off)
    if not told.any() or np.abs(off).max() < 1e-9:
        return None
    names, length = names[told], length[told]
    unit = follows[:, told] / length
    share = (off @ unit) ** 2 / (off**2).sum()
    most = int(share.argmax())
    rng, as_much = np.random.default_rng(len(rows)), 0
    for begun in range(0, PERMUTATIONS, AT_ONCE):
        count = min(AT_ONCE, PERMUTATIONS - begun)
        shuffled = off[np.argsort(block + rng.random((count, len(rows))), axis=1)]
        # of a permutation, too, counts only what arms leave: residuals vary less than errors
        left = (off**2).sum() - ((shuffled @ usual) ** 2).sum(axis=1)
        chance = _share(((shuffled @ unit) ** 2).max(axis=1), left, (off**2).sum())
        as_much += int(np.sum(chance >= share[most] * (1 - 1e-9)))
        p = (1 + as_much) / (1 + PERMUTATIONS)
        if p > give_up:
            return None
    return CarryOver(str(names[most]), math.exp(off @ unit[:, most] / length[most]), p)


@lru_cache(maxsize=4)
def _model(block: bytes, arm: bytes, before: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return a basis of what arms, blocks and being first explain, and the rest of who came before.

    Parameters are the numbers of each trial's block, arm and arm before (-1: none), as bytes:
    measures that the same trials have share a model.
    """
    blocks, arms, befores = (np.frombuffer(of, dtype=np.intp) for of in (block, arm, before))
    own = arms[:, None] == np.arange(arms.max() + 1)
    usual = _basis(_centred(np.hstack([own, befores[:, None] < 0]), blocks))
    follows = _centred(befores[:, None] == np.arange(befores.max() + 1), blocks)
    return usual, follows - usual @ (usual.T @ follows)


def ageing(trials: pd.DataFrame, measure: str, arm: str | Sequence[str]) -> Ageing | None:
    """Compare the last third of each session's trials with its first third, whatever the arm.

    Parameters
    ----------
    trials : pandas.DataFrame
        All trials of one design on one machine.
    measure : str
        Its values above zero are compared as ratios.
    arm : str or sequence of str
        Columns that make an arm.

    Returns
    -------
    Ageing or None
        None with fewer than 6 sessions of 6 trials.
    """
    if (trials.groupby(_SESSION).size() >= FEWEST).sum() < MIN_PAIRS:
        return None
    rows = _positive(_in_order(trials, arm), measure)
    logs = rows[measure].astype(float).transform(np.log)
    off = (logs - logs.groupby(rows["_arm"]).transform("median")).to_numpy()
    session = rows.groupby(_SESSION).ngroup().to_numpy()  # rows are sorted by it
    changes = []
    for own in np.split(off, np.flatnonzero(np.diff(session)) + 1):
        third = len(own) // 3
        if third >= 2:
            changes.append(np.median(own[-third:]) - np.median(own[:third]))
    if len(changes) < MIN_PAIRS:
        return None
    change = float(hodges_lehmann(changes)[0])
    return Ageing(math.exp(change), float(signed_rank_p(changes)), len(changes))


def order_doubts(
    trials: pd.DataFrame,
    measure: str,
    arm: str | Sequence[str],
    *,
    apart: Sequence[str] = (),
) -> list[str]:
    """Say in sentences what the order of the trials of one machine did to a measure.

    Parameters
    ----------
    trials : pandas.DataFrame
        Of one machine; designs are kept apart, and must be whole.
    measure : str
    arm : str or sequence of str
        Columns that make an arm.
    apart : sequence of str
        Columns that make groups of arms which may age each in its own way.

    Returns
    -------
    list of str
        Empty if nothing is to be said.
    """
    said = []
    for _, design in trials.groupby("design", sort=True):
        said += carry_over_doubts(design, measure, arm)
        groups = design.groupby(list(apart), sort=True) if len(apart) else [((), design)]
        for name, group in groups:
            said += ageing_doubts(group, measure, arm, ", ".join(map(str, name)))
    return said


def carry_over_doubts(design: pd.DataFrame, measure: str, arm: str | Sequence[str]) -> list[str]:
    """Say of one design if a trial's value depends on which arm ran before, see `carry_over`."""
    left = _carry_over(design, measure, arm, give_up=CARRY_P)
    if not left:
        return []
    return [
        f"Trials after {left.after}: {measure} is {_more(left.ratio)} than after the others "
        f"(permutation p = {left.p:.3g}): carry-over; more sessions do not remove it."
    ]


def ageing_doubts(
    trials: pd.DataFrame, measure: str, arm: str | Sequence[str], name: str = ""
) -> list[str]:
    """Say of trials of one design, which may have a name, if they change within a session."""
    aged = ageing(trials, measure, arm)
    if not aged or abs(aged.ratio - 1) < AGEING or aged.p >= AGEING_P:
        return []
    return [
        f"{f'{name}: within' if name else 'Within'} a session {measure} changes: the last third of "
        f"the trials reads {_more(aged.ratio)} than the first third ({aged.sessions} sessions, "
        f"p = {aged.p:.2g}); what was opened for the session ages."
    ]


def _more(ratio: float) -> str:
    return f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'}"


def _in_order(trials: pd.DataFrame, arm: str | Sequence[str]) -> pd.DataFrame:
    """Return the trials in their order, with `_arm`: a name of the columns in which arms differ."""
    columns = [arm] if isinstance(arm, str) else list(arm)
    differ = [c for c in columns if trials[c].nunique(dropna=False) > 1] or columns[:1]
    named = [trials[c].map(lambda v: f"{v:g}" if isinstance(v, float) else str(v)) for c in differ]
    label = [", ".join(of) for of in zip(*named, strict=True)]
    return trials.assign(_arm=label).sort_values([*_BLOCK, "position"])


def _after_whom(trials: pd.DataFrame, arm: str | Sequence[str]) -> pd.DataFrame:
    """Return the trials in their order, with `_arm` and `_before`, the arm right before it."""
    rows = _in_order(trials, arm)
    block = rows.groupby(_BLOCK).ngroup()  # rows are sorted by it
    follows = (block.diff() == 0) & (rows["position"].diff() == 1)
    return rows.assign(_before=rows["_arm"].shift().where(follows))


def _positive(rows: pd.DataFrame, measure: str) -> pd.DataFrame:
    values = rows[measure].astype(float)
    return rows[rows["ok"].astype(bool) & (values > 0)]


def _share(follows: np.ndarray, left: np.ndarray, whole: float) -> np.ndarray:
    """Return which share of what arms leave over is explained by an arm before.

    Where arms leave nothing, of `whole` before them, it is all of it: that permutation counts as
    one that does as much.
    """
    some = left > 1e-9 * whole
    return np.where(some, follows / np.where(some, left, 1.0), 1.0)


def _centred(columns: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Return columns less their means over each block; rows are sorted by block."""
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    sums = np.add.reduceat(columns.astype(float), starts, axis=0)
    return columns - (sums / np.bincount(block)[:, None])[block]


def _basis(columns: np.ndarray) -> np.ndarray:
    """Return an orthonormal basis of what columns span."""
    basis, size, _ = np.linalg.svd(columns, full_matrices=False)
    return basis[:, size > 1e-9 * max(1.0, size[0])]
