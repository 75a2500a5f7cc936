"""An allocation beyond a limit fails, and the limit ends with its block."""

import resource
import subprocess
import sys
import threading

import pytest
from avf_shards.system.memory_limit import limit_memory, reserved_memory_bytes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits what a process reserves")


def test_an_allocation_beyond_the_limit_fails() -> None:
    with limit_memory(100e6), pytest.raises(MemoryError):
        bytearray(500_000_000)
    assert len(bytearray(500_000_000)) == 500_000_000


def test_a_limit_inside_another_raises_no_limit() -> None:
    with limit_memory(100e6), limit_memory(10e9), pytest.raises(MemoryError):
        bytearray(500_000_000)


def test_work_below_the_limit_goes_on() -> None:
    before = reserved_memory_bytes()
    assert before is not None
    with limit_memory(400e6):
        block = bytearray(100_000_000)
        inside = reserved_memory_bytes()
        assert inside is not None
        assert inside >= before + len(block) // 2


def test_blocks_of_several_threads_leave_no_limit_behind() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    first_is_inside, second_is_inside = threading.Event(), threading.Event()

    def enter_first_and_leave_first() -> None:
        with limit_memory(1e9):
            first_is_inside.set()
            second_is_inside.wait(10)

    thread = threading.Thread(target=enter_first_and_leave_first)
    thread.start()
    first_is_inside.wait(10)
    with limit_memory(1e9):
        second_is_inside.set()
        thread.join()
        assert resource.getrlimit(resource.RLIMIT_DATA) != before
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


@pytest.mark.parametrize(("before", "expected"), [("unlimited", "600 700"), ("500", "500 500"), ("650", "600 650")])
def test_a_lowered_limit_keeps_what_the_shell_had_set(before: str, expected: str) -> None:
    script = (
        "import resource; from avf_shards.system.memory_limit import lower_limit; "
        "lower_limit(resource.RLIMIT_CPU, 600, 700); print(*resource.getrlimit(resource.RLIMIT_CPU))"
    )
    command = ["bash", "-c", f'ulimit -t {before}; exec "$0" -c "$1"', sys.executable, script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.strip() == expected


@pytest.mark.parametrize(("option", "megabytes"), [("-v", 3000), ("-d", 2000)])
def test_a_ulimit_is_known_and_memory_beyond_it_cannot_be_reserved(option: str, megabytes: int) -> None:
    script = (
        "from avf_shards.system.memory_limit import can_reserve, inherited_limit_bytes; "
        "print(inherited_limit_bytes(), can_reserve(10**8), can_reserve(4 * 10**9))"
    )
    command = ["bash", "-c", f'ulimit {option} {megabytes * 1000}; exec "$0" -c "$1"', sys.executable, script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert done.stdout.split() == [str(megabytes * 1_024_000), "True", "False"]
