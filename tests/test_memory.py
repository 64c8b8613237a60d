"""How much memory a block took at its height."""

import numpy as np

from stability.workbench.memory import Peak


def test_what_was_taken_and_given_back_is_seen():
    with Peak() as peak:
        taken = np.ones(25_000_000)  # 200 MB, each page written
        taken[:] = 2
        del taken
    assert 150e6 < peak.bytes < 400e6


def test_a_block_that_takes_nothing_takes_nothing():
    with Peak() as peak:
        pass
    assert peak.bytes < 20e6
    assert 0 < peak.seconds < 10


def test_a_block_that_fails_is_measured_and_fails():
    peak = Peak()
    try:
        with peak:
            taken = np.ones(10_000_000)
            raise KeyError(taken.sum())
    except KeyError:
        pass
    assert peak.bytes > 50e6
