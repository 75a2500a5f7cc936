"""SIGINT and SIGTERM end a command with KeyboardInterrupt, also after a library has set a handler of its own."""

import signal

import pytest
from avf_curation.execution.signals import check_interrupt, remember_interrupt, restore_handlers


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_and_is_remembered(number: signal.Signals) -> None:
    handlers = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    with remember_interrupt():
        signal.signal(number, lambda *_: None)  # as Ray does
        signal.raise_signal(number)
        check_interrupt()  # the other handler has it
        restore_handlers()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            check_interrupt()
    check_interrupt()
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_handlers_are_restored_only_where_they_were_set() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    restore_handlers()
    assert signal.getsignal(signal.SIGTERM) is handler
