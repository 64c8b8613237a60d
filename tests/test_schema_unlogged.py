"""What a library does is in no log while an address is a secret, whoever else is at it, and all else is in it."""

import logging
import threading

from stability.schema import unlogged


def test_it_is_silent_until_the_last_is_done_and_others_are_not(caplog):
    log, child, other = (logging.getLogger(name) for name in ("talkative", "talkative.pool", "somebody"))
    inside, out = threading.Event(), threading.Event()

    def asks():
        with unlogged("talkative"):
            with unlogged("talkative"):
                log.warning("s3cret 1")
            log.warning("s3cret 2")
            child.warning("s3cret 3")
            other.warning("plain 1")
            inside.set()
            out.wait(60)
            log.warning("s3cret 4")
        log.warning("plain 2")

    thread = threading.Thread(target=asks)
    thread.start()
    inside.wait(60)
    with unlogged("talkative"):
        log.warning("s3cret 5")
    log.warning("s3cret 6")  # the other one is still at it
    out.set()
    thread.join()
    child.warning("plain 3")
    assert caplog.messages == ["plain 1", "plain 2", "plain 3"]


def test_what_goes_wrong_inside_does_not_silence_what_comes_after(caplog):
    log = logging.getLogger("talkative")
    try:
        with unlogged("talkative"):
            raise ValueError
    except ValueError:
        log.warning("plain")
    assert caplog.messages == ["plain"]
