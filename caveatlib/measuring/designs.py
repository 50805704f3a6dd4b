"""What an experiment compares: arms, in designs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from caveatlib.stats import MIN_PAIRS, Contrast
from caveatlib.support.arguments import check_number

ENOUGH = MIN_PAIRS
"""Fewer than six pairs of blocks have no 95 % signed-rank interval."""


@dataclass(frozen=True)
class Arm:
    """A place and the conditions of a trial in it."""

    place: str
    conditions: Mapping[str, object] = field(default_factory=dict)

    def where(self) -> dict[str, object]:
        """Return the filter of its trials."""
        return {"place": self.place, **self.conditions}

    def over(self, baseline: Arm | None, measure: str, name: str = "", **options) -> Contrast:
        """Return the contrast of a measure in this arm over another, or over none.

        It is called `name`, default the measure; options are those of `stats.Contrast`.
        """
        return Contrast(
            name or measure,
            measure,
            self.where(),
            baseline.where() if baseline else None,
            **options,
        )


@dataclass(frozen=True, repr=False)
class Design:
    """Arms that are compared with each other: each once per block, see `orders.order`.

    Attributes
    ----------
    name : str
    arms : tuple of Arm
    block_s : float
        About how many seconds each arm once takes.
    blocks_per_session : int
        Blocks in each session it takes part in.
    every : int
        It takes part in the first session and every `every`-th after it.
    sessions : int, optional
        Number of sessions that it takes part in; default all that are due.
    warmup : bool
        Whether each session begins with a trial of each arm that is kept apart.
    lead_in : bool
        Whether each block begins with one more trial of the arm that is its first, kept
        apart. Then each arm follows itself as often as each other arm, and what an arm
        leaves behind for the next trial falls on all alike: it lengthens them, and no
        longer biases their ratio.
    optional : bool
        Under a time budget it waits until the others have `ENOUGH` blocks, then
        catches up on those it missed; no block of it begins that would end after
        the budget.
    """

    name: str
    arms: tuple[Arm, ...]
    block_s: float
    blocks_per_session: int = 1
    every: int = 1
    sessions: int | None = None
    warmup: bool = False
    lead_in: bool = False
    optional: bool = False

    def __post_init__(self):
        check_number(f"block_s of design {self.name!r}", self.block_s, above=0)
        counts = {"blocks_per_session": self.blocks_per_session, "every": self.every}
        if self.sessions is not None:
            counts["sessions"] = self.sessions
        for name, count in counts.items():
            check_number(f"{name} of design {self.name!r}", count, least=1, whole=True)

    def __repr__(self):
        places = ", ".join(dict.fromkeys(arm.place for arm in self.arms))
        count = len(self.arms)
        return f"Design {self.name!r}: {count} arms in {places}; {self.block_s:g} s a block"

    def due(self, session: int) -> bool:
        """Whether the design takes part in this session."""
        within = self.sessions is None or session // self.every < self.sessions
        return within and session % self.every == 0

    def with_arms(self, arms: tuple[Arm, ...]) -> Design:
        """Return the design with other arms."""
        return replace(self, arms=arms)

    def trials_in(self, blocks: int) -> int:
        """Return how many trials a session takes for so many blocks, those kept apart included."""
        return len(self.arms) * (blocks + self.warmup) + self.lead_in * blocks

    def lasts_s(self) -> float:
        """Return about how many seconds one block takes, its lead-in included."""
        return self.block_s * (1 + self.lead_in / len(self.arms))

    def blocks_by(self, session: int) -> int:
        """Return how many blocks there are once this session is over."""
        return self.blocks_per_session * sum(self.due(s) for s in range(session + 1))
