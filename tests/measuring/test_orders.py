"""The orders of arms within blocks: balanced, and drawn so that nothing is favoured."""

import itertools
from collections import Counter

import numpy as np
import pytest

from caveatlib.measuring.orders import order, williams

pytestmark = pytest.mark.beside

SIZES = (2, 3, 4, 5, 7, 8, 18, 41)


def drawn(arms, blocks, seed=0):
    """Return the orders of so many blocks of one run."""

    def rng(square):
        return np.random.default_rng([seed, square])

    return np.array([order(arms, block, rng) for block in range(blocks)])


def following(rows):
    """Count which arm runs right after which."""
    return Counter(pair for row in rows.tolist() for pair in itertools.pairwise(row))


@pytest.mark.parametrize("arms", SIZES)
def test_a_square_is_balanced(arms):
    """Each arm is at each position, and right after each other arm, equally often."""
    square = williams(arms)
    times = 1 if arms % 2 == 0 else 2
    assert square.shape == (arms * times, arms)
    assert set(map(tuple, np.sort(square, axis=1))) == {tuple(range(arms))}
    for column in square.T:
        assert set(Counter(column.tolist()).values()) == {times}
    counts = following(square)
    assert len(counts) == arms * (arms - 1)
    assert set(counts.values()) == {times}


def test_four_arms_as_williams_has_them():
    """The first row of the square of four is 0, 1, 3, 2."""
    assert williams(4).tolist() == [[0, 1, 3, 2], [1, 2, 0, 3], [2, 3, 1, 0], [3, 0, 2, 1]]
    assert williams(1).tolist() == [[0]]


@pytest.mark.parametrize("arms", SIZES)
def test_blocks_go_through_whole_squares(arms):
    """After each square the balance is whole; in a part of it no pair comes more often."""
    times = 1 if arms % 2 == 0 else 2
    rows = drawn(arms, 2 * arms * times)
    for square in np.split(rows, 2):
        assert set(following(square).values()) == {times}
        assert max(following(square[: arms // 2 + 1]).values()) <= times
    assert not np.array_equal(*np.split(rows, 2))


def test_a_block_does_not_hang_on_those_before_it():
    """The order of a block is the same whether or not this process has run the others."""
    rows = drawn(5, 25)
    for block in (24, 3, 11):
        alone = order(5, block, lambda square: np.random.default_rng([0, square]))
        assert np.array_equal(alone, rows[block])


@pytest.mark.parametrize("block", [0, 1, 2, 5])
def test_each_order_is_as_likely_as_any_other(block):
    """Over seeds, a block of three arms has each of its six orders in one of six runs."""
    found = Counter(tuple(drawn(3, block + 1, seed)[block]) for seed in range(1200))
    assert len(found) == 6
    assert all(150 <= count <= 250 for count in found.values())  # 200 expected, 4 sd = 52
