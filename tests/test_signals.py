"""Signals: the first one interrupts, at once or where it does no harm; further ones are a request already heard."""

import logging
import signal
import threading

import pytest

from stability.workbench.signals import terminate_as_interrupt

ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def heard():
    """Signals that mean something here, also where the tests themselves run under `nohup` or with `&` in a script."""
    before = [signal.signal(n, signal.default_int_handler) for n in ENDS]
    yield
    for number, handler in zip(ENDS, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_interrupts_once(number, caplog):
    with terminate_as_interrupt() as ending:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        with caplog.at_level(logging.WARNING):
            signal.raise_signal(number)
        assert ending.asked
    assert "ending already" in caplog.text


@pytest.mark.parametrize("number", ENDS)
def test_where_it_is_deferred_it_interrupts_at_the_next_check(number):
    with terminate_as_interrupt() as ending:
        with ending.deferred():
            ending.check()
            signal.raise_signal(number)
            with pytest.raises(KeyboardInterrupt):
                ending.check()
        assert ending.asked


def test_what_was_set_before_is_set_again():
    before = [signal.getsignal(n) for n in ENDS]
    with terminate_as_interrupt():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(n) for n in ENDS] == before


def test_what_is_ignored_from_outside_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminate_as_interrupt() as ending:
            signal.raise_signal(signal.SIGHUP)
            assert not ending.asked
    finally:
        signal.signal(signal.SIGHUP, before)


def test_in_another_thread_nothing_is_changed():
    before, seen = signal.getsignal(signal.SIGINT), []

    def elsewhere():
        with terminate_as_interrupt() as ending:
            seen.append((signal.getsignal(signal.SIGINT), ending.asked))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [(before, False)]
