"""Sound that would take gigabytes is refused before it takes them."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from avf_curation.media.audio_runs import SoundLimits, place_frames
from avf_curation.media.container import open_container
from avf_curation.media.types import MediaError
from support import bombs

HOUR = 3600
RATE_HZ = 16_000


def hours(count: int, rate_hz: int = RATE_HZ) -> Iterator[SimpleNamespace]:
    return (
        SimpleNamespace(sample_rate=rate_hz, samples=HOUR * rate_hz, pts=n * HOUR, time=float(n * HOUR))
        for n in range(count)
    )


def limits(file_bytes: int) -> SoundLimits:
    return SoundLimits(max_duration_s=12 * HOUR, file_bytes=file_bytes, until_s=None, joins_s=())


def test_hours_of_sound_in_a_few_bytes_are_refused() -> None:
    assert len(list(place_frames(hours(3), limits(100)))) == 3
    with pytest.raises(MediaError, match=r"100 bytes hold more than 4\.0 h of sound"):
        list(place_frames(hours(4), limits(100)))
    assert len(list(place_frames(hours(12), limits(1_700_000)))) == 12, "twelve hours of silence in FLAC"


def test_sound_of_a_few_samples_a_second_is_refused() -> None:
    with pytest.raises(MediaError, match="the sound has 8 samples a second"):
        list(place_frames(hours(1, 8), limits(10**9)))
    assert len(list(place_frames(hours(1, 5512), limits(10**9)))) == 1


def test_a_file_that_declares_more_memory_than_its_size_needs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A machine that is full itself says nothing about the file.
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**10))
    bombs.write_mp4(tmp_path / "a.mp4", 60, 2_000_000)
    with pytest.raises(MediaError, match=r"opening its \d+ bytes asks for more than 50\d MB of memory"):
        open_container(tmp_path / "a.mp4")
