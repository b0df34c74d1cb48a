"""Ctrl-C at the right moment."""

import os
import signal

import pytest

from backend.cli.signals import ENDING, interruptible, uninterrupted


def interrupted(number: signal.Signals) -> bool:
    """Whether a signal to this process ends an interruptible block."""
    try:
        with interruptible():
            os.kill(os.getpid(), number)
    except KeyboardInterrupt:
        return True
    return False


@pytest.mark.parametrize("number", ENDING)
def test_every_signal_that_ends_a_process_interrupts(number: signal.Signals) -> None:
    assert interrupted(number)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_in_an_uninterrupted_block_interrupts_right_after_it(number: signal.Signals) -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            os.kill(os.getpid(), number)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    with interruptible(), uninterrupted():
        assert [signal.getsignal(number) for number in ENDING] != before
    assert [signal.getsignal(number) for number in ENDING] == before


def test_a_failure_in_an_uninterrupted_block_is_not_lost() -> None:
    with pytest.raises(ValueError, match="lost"), uninterrupted():
        raise ValueError("lost")
