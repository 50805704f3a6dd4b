"""Orders in which the arms of a design run: Williams squares, rows and labels at random.

What an arm leaves behind (warm caches, memory not given back, a throttled clock) falls on the
trial after it. In plain random orders it falls on some arms more often than on others by
chance; in a Williams square of n arms each arm runs once at each position, and each follows
each other arm equally often [1]_. An odd number of arms needs the square and its mirror
image, 2n rows.

References
----------
.. [1] E. J. Williams (1949), Experimental designs balanced for the estimation of residual
   effects of treatments, Australian Journal of Scientific Research A 2, 149-168.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def williams(arms: int) -> np.ndarray:
    """Return a Williams square.

    Parameters
    ----------
    arms : int
        At least 1.

    Returns
    -------
    ndarray of int, shape (arms, arms), or (2 * arms, arms) if `arms` is odd and above 1
        Each row is an order of the arms. Over all rows each arm is at each position
        equally often, and right after each other arm: once, or twice if `arms` is odd.
    """
    zigzag = np.array([(i + 1) // 2 * (1 if i % 2 else -1) for i in range(arms)])
    square = (zigzag + np.arange(arms)[:, None]) % arms
    return square if arms % 2 == 0 or arms == 1 else np.vstack([square, square[:, ::-1]])


def order(arms: int, block: int, rng: Callable[[int], np.random.Generator]) -> np.ndarray:
    """Return the order of the arms in one block of a design.

    The blocks go through one Williams square after another, its rows in random order and its
    columns' arms labelled at random: each block by itself is a random permutation, and no
    part of a square holds a pair of neighbours more often than the square.

    Parameters
    ----------
    arms : int
    block : int
        Number of the block within the design.
    rng : callable
        Number of a square -> a fresh generator, the same for the same number: so the order
        of a block does not hang on which blocks this process has run.

    Returns
    -------
    ndarray of int, shape (arms,)
    """
    square = williams(arms)
    number, row = divmod(block, len(square))
    draw = rng(number)
    labels, rows = draw.permutation(arms), draw.permutation(len(square))
    return labels[square[rows[row]]]
