"""A request to stop is never lost, whatever code it interrupts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from charlstm.cli.signals import Signals
from charlstm.cli.stopped import Stopped


class Asked:
    """In place of a trainer."""

    asked = False

    def request_stop(self) -> None:
        self.asked = True


class Interrupted:
    """An object that is interrupted while it is deleted, where no exception can be raised."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def handle_all_errors() -> None:
    try:
        interrupt()
    except Exception:
        pytest.fail("taken for an error")


def replace_by_another() -> None:
    try:
        interrupt()
    except BaseException as error:  # as C modules do while they are being imported
        raise ImportError("it cannot be imported") from error


def drop() -> None:
    Interrupted()


@pytest.mark.parametrize("code", [interrupt, handle_all_errors, replace_by_another, drop])
def test_before_training_a_signal_ends_all(
    code: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Stopped) as caught, Signals():
        code()
    assert caught.value.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert capsys.readouterr().err == ""


def test_a_lost_signal_stops_the_trainer() -> None:
    trainer = Asked()
    with Signals() as signals:
        drop()
        signals.attach(trainer)
    assert trainer.asked
    assert signals.received == signal.SIGINT


def test_a_lost_signal_stops_at_the_next_check() -> None:
    checked: list[bool] = []
    with pytest.raises(Stopped), Signals() as signals:  # noqa: PT012 - in the block, not at its end
        drop()
        checked.append(True)
        signals.check()
        checked.append(False)
    assert checked == [True]
