"""Findings for a first screen: a number, one sentence, and bars that show it."""

from __future__ import annotations

from typing import NamedTuple


class Bar(NamedTuple):
    """One bar: its label, its value with the unit in words, and whether it is the point.

    Attributes
    ----------
    label : str
    value : float
        In the same unit for all bars of a highlight; at least 0.
    text : str
        The value as it is read, ``"155 ms"``.
    marked : bool
    """

    label: str
    value: float
    text: str
    marked: bool = False


class Highlight(NamedTuple):
    """What one claim found, in a number.

    Attributes
    ----------
    claim : str
        Id of the claim that it belongs to.
    number : str
        ``"1.8 %"``.
    sentence : str
        What the number is, to be read after it.
    bars : tuple of Bar
    source : str
        Where its trials come from, in words; empty where nobody needs to be told.
    """

    claim: str
    number: str
    sentence: str
    bars: tuple[Bar, ...]
    source: str = ""
