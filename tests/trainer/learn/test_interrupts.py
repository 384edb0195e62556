import os
import signal

import pytest

from trainer.learn.interrupts import Interrupts


class Swallowing:
    """Is destroyed while Ctrl-C comes: what a destructor raises, Python prints and forgets."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):  # Python hears signals between steps
            pass


def test_interrupt_that_a_destructor_swallows_is_raised_at_the_next_check(capfd: pytest.CaptureFixture[str]) -> None:
    with Interrupts() as interrupts:
        interrupts.check()
        thing = Swallowing()
        del thing
        with pytest.raises(KeyboardInterrupt):
            interrupts.check()
    assert "Traceback" not in capfd.readouterr().err


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
