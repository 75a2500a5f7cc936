"""A file that crashes or hangs its decoder, or fills the memory, costs one preview; the next is made."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from avf_curation.media.preview import Preview
from avf_curation.media.types import MediaError
from avf_curation.reports import preview_process
from avf_curation.reports.preview_process import PreviewLimits, PreviewProcess
from support import previews


@pytest.fixture
def process() -> Iterator[PreviewProcess]:
    with PreviewProcess(PreviewLimits(cpu_s=1000, memory_mb=10_000)) as process:
        yield process


def refusal(process: PreviewProcess, function: Callable[[], Preview]) -> tuple[str, str]:
    with pytest.raises(MediaError) as caught:
        process.make(function)
    return caught.value.kind, str(caught.value)


def test_one_process_makes_many_previews_and_ends_with_its_block() -> None:
    with PreviewProcess(PreviewLimits(cpu_s=1000, memory_mb=10_000)) as process:
        first, second = (process.make(previews.make_gray_preview) for _ in range(2))
    assert first.mp4 == second.mp4, "the number of the process"
    assert first.frames_THWC[0][1, 1, 1] == 128
    assert not Path(f"/proc/{first.mp4.decode()}").exists()


def test_ctrl_c_of_a_terminal_does_not_reach_it(process: PreviewProcess) -> None:
    """The command ends it. It would print a traceback of its own."""
    assert os.getpgid(int(process.make(previews.make_gray_preview).mp4)) != os.getpgid(0)


def test_a_crash_costs_one_preview(process: PreviewProcess) -> None:
    assert refusal(process, previews.crash) == ("killed", "its process died of SIGSEGV")
    assert process.make(previews.make_gray_preview).still[0, 0, 0] == 128


def test_errors_arrive_as_they_were_raised_and_leave_the_process_alive(process: PreviewProcess) -> None:
    pid = process.make(previews.make_gray_preview).mp4
    assert refusal(process, previews.divide_by_zero) == ("exception", "ZeroDivisionError: by zero")
    with pytest.raises(OSError, match="Input/output error") as caught:
        process.make(previews.lose_the_disk)
    assert (caught.value.errno, caught.value.filename) == (5, "/data/a.mp4")
    assert process.make(previews.make_gray_preview).mp4 == pid


@pytest.mark.parametrize(
    ("function", "limits", "kind"),
    [
        (previews.spin, PreviewLimits(cpu_s=4, memory_mb=10_000), "cpu_limit"),
        (previews.fill_memory, PreviewLimits(cpu_s=1000, memory_mb=600), "memory_limit"),
        (previews.wait, PreviewLimits(cpu_s=0.5, memory_mb=10_000), "time_limit"),
    ],
)
def test_what_takes_too_much_is_ended(
    function: Callable[[], Preview], limits: PreviewLimits, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "time_limit":
        monkeypatch.setattr(preview_process, "_LOADING_S", 0)
        monkeypatch.setattr(preview_process, "_cpu_s", lambda process: 0.0)  # loading takes some
    with PreviewProcess(limits) as process:
        assert refusal(process, function)[0] == kind
