"""Sound that would take gigabytes is refused before it takes them."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import av
import psutil
import pytest
from avf_curation.media.audio_runs import SoundLimits, place_frames
from avf_curation.media.container import open_container
from avf_curation.media.declared_samples import declared_memory_bytes
from avf_curation.media.decode import MediaFile
from avf_curation.media.input_file import InputFile
from avf_curation.media.types import MediaError
from support import bombs
from support.curation_runs import make_recipe
from support.videos import make_video

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


def test_sound_of_billions_of_samples_a_second_is_refused(tmp_path: Path) -> None:
    """A flipped bit in the rate of a WAV: the filter that resamples it took 1.2 GB."""
    bombs.write_wav(tmp_path / "a.wav", 0x47003E80 >> 1, 19_200)
    with MediaFile(tmp_path / "a.wav", make_recipe().defaults.media) as media, pytest.raises(MediaError) as caught:
        media.audio(0)
    assert caught.value.kind == "absurd_sound"
    assert len(list(place_frames(hours(1, 768_000), limits(10**9)))) == 1


# In a process of its own: one that has freed memory before may open the file in that.
PROGRAM = """
import sys
from pathlib import Path
from types import SimpleNamespace
import psutil
from avf_curation.media.container import open_container
from avf_curation.media.types import MediaError
psutil.virtual_memory = lambda: SimpleNamespace(available=10**10)  # a full machine says nothing about the file
try:
    open_container(Path(sys.argv[1]))
except MediaError as error:
    print(error.kind, error)
# ru_maxrss counts what the parent had when it forked.
print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) * 1024)
"""


def test_a_file_that_declares_more_memory_than_its_size_needs_is_refused(tmp_path: Path) -> None:
    bombs.write_mp4(tmp_path / "a.mp4", 200, 2_000_000)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "a.mp4")]
    refusal, peak_bytes = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert re.fullmatch(r"memory_limit opening its \d+ bytes asks for more than 50\d MB of memory", refusal)
    assert int(peak_bytes) < 1e9


def test_a_refusal_for_what_a_file_declares_does_not_depend_on_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=0))
    bombs.write_mp4(tmp_path / "a.mp4", 3, 2**32 - 1)
    with pytest.raises(MediaError, match="memory") as caught:
        open_container(tmp_path / "a.mp4")
    assert caught.value.kind == "memory_limit"


LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
import av
from avf_curation.media.container import open_container
from avf_curation.media.types import MediaError
def fail(*_, **__):
    raise MemoryError
av.open = fail  # as it does where its memory ends, by our limit or another
if sys.argv[2] == "ulimit":
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmSize:")]
    allowed = int(line.split()[1]) * 1024 + 100_000_000
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
try:
    open_container(Path(sys.argv[1]))
except MediaError as error:
    print(error.kind)
except MemoryError:
    print("the machine's")
"""


@pytest.mark.parametrize(("limit", "cause"), [("none", "memory_limit"), ("ulimit", "the machine's")])
def test_memory_that_a_ulimit_takes_away_says_nothing_about_the_file(tmp_path: Path, limit: str, cause: str) -> None:
    (tmp_path / "a.mp4").write_bytes(bytes(100))
    command = [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path / "a.mp4"), limit]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == cause


def test_the_samples_and_tracks_that_a_file_declares_are_counted(tmp_path: Path) -> None:
    bombs.write_mp4(tmp_path / "bomb.mp4", 3, 2**32 - 1)
    bombs.write_mp4(tmp_path / "tracks.mp4", 200, 10)
    (tmp_path / "film.mp4").write_bytes(make_video(40, sound_from_s=None))
    (tmp_path / "text.txt").write_bytes(b"\0\0\0\1mdax" + bytes(100))
    declared = {"bomb.mp4": (3, 3 * (2**32 - 1)), "tracks.mp4": (200, 2000), "film.mp4": (1, 40), "text.txt": (0, 0)}
    for name, (tracks, samples) in declared.items():
        file = InputFile(tmp_path / name)
        assert declared_memory_bytes(file) == 8_000_000 * tracks + 24 * samples
        assert file.tell() == 0
        file.close()


def test_a_small_file_with_many_tracks_is_refused_before_ffmpeg_opens_a_decoder_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg may crash where its memory ends, as it did with 200 tracks of ten thousand samples."""
    bombs.write_mp4(tmp_path / "many.mp4", 200, 10)
    bombs.write_mp4(tmp_path / "few.mp4", 32, 10)
    open_container(tmp_path / "few.mp4").close()
    monkeypatch.setattr(av, "open", None)
    with pytest.raises(MediaError) as caught:
        open_container(tmp_path / "many.mp4")
    assert caught.value.kind == "memory_limit"
