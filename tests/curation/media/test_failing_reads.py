"""A failing read is the machine's: at whichever read of a file it happens, it is raised, and never taken for damage."""

import errno
import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from avf_curation.media import file_clock
from avf_curation.media.container import open_container
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import MediaError
from avf_shards.system.storage_faults import RETRY_PAUSES_S
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.failing_reads import failing_reads
from support.images import write_images
from support.videos import make_video

CONFIG = make_recipe().defaults.media
TRIES = 1 + len(RETRY_PAUSES_S)


def digest_of_everything(path: Path, sound_path: Path | None = None) -> str:
    """Decode a file as the pipeline does: once from start to end, its sound, and a span of it again."""
    digest = hashlib.sha256()
    file_clock._list_clock.cache_clear()  # these would save reads of the passes after the first
    file_clock._read_edit_lists.cache_clear()
    with MediaFile(path, CONFIG, sound_path) as media:
        for shown in media.frames():
            digest.update(shown.frame.to_ndarray(format="gray").tobytes())
        assert media.video_track is not None
        audio_track = media.audio(media.video_track.frames)
        for frame in media.read(Span(10, 20)):
            digest.update(frame.to_ndarray(format="gray").tobytes())
    if audio_track is not None:
        digest.update(audio_track.samples.tobytes())
    return digest.hexdigest()


@pytest.fixture(params=["mp4", "avi", "matroska", "mpegts"])
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A film of 200 kB, in which a read is 32 kB."""
    path = tmp_path / "film"
    noise = {"crf": "0", "preset": "ultrafast"}
    path.write_bytes(make_video(container=request.param, size=(640, 480), options=noise) + bytes(70_000))
    return path


def test_an_error_that_stays_is_raised_at_each_read(film: Path) -> None:
    with failing_reads(film) as counter:
        digest_of_everything(film)
    assert counter.count > 10
    for first in range(1, counter.count + 1):
        with failing_reads(film, lambda count, first=first: count >= first), pytest.raises(OSError) as caught:  # noqa: PT011
            digest_of_everything(film)
        assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(film)), f"operation {first}"


def test_an_error_that_passes_changes_nothing(film: Path) -> None:
    with failing_reads(film) as counter:
        expected = digest_of_everything(film)
    with failing_reads(film, lambda count: count % 3 == 0, errno.ESTALE) as failing:
        assert digest_of_everything(film) == expected
    assert failing.failed > counter.count // 3


NAMED = (
    "EIO ESTALE ENOTCONN ETIMEDOUT EHOSTDOWN ENOMEM EACCES EMFILE ENFILE ENOSPC EDQUOT EROFS ESHUTDOWN EUCLEAN ENODEV"
)
MACHINE_ERRNOS = [*(getattr(errno, name) for name in NAMED.split()), 4000]  # and one that nobody knows


@pytest.mark.parametrize("number", MACHINE_ERRNOS)
def test_every_error_of_a_machine_is_tried_again(number: int, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(make_video(10))
    for first in (1, 3):  # the file does not open, and a read of the header
        with failing_reads(path, lambda count, first=first: count >= first, number) as counter:
            with pytest.raises(OSError, match=str(path)):
                open_container(path)
            assert counter.failed >= TRIES


def test_a_failing_sound_file_is_no_silence(tmp_path: Path) -> None:
    film, sound = tmp_path / "film.mp4", tmp_path / "sound.wav"
    film.write_bytes(make_video(sound_from_s=None))
    soundfile.write(sound, np.zeros(90_000, np.int16), 16_000)
    with failing_reads(sound) as counter:
        digest_of_everything(film, sound)
    for first in range(1, counter.count + 1):
        with (
            failing_reads(sound, lambda count, first=first: count >= first),
            pytest.raises(OSError, match=r"sound\.wav"),
        ):
            digest_of_everything(film, sound)


def test_a_failing_picture_of_a_folder_is_no_damage(tmp_path: Path) -> None:
    write_images(tmp_path, ["img1.jpg", "img2.jpg", "img3.jpg"])
    with failing_reads(tmp_path / "img2.jpg", lambda count: True), pytest.raises(OSError, match=r"img2\.jpg"):
        open_container(tmp_path)


def test_damaged_data_and_a_missing_file_are_still_the_files_own(tmp_path: Path) -> None:
    with pytest.raises(MediaError) as caught:
        open_container(tmp_path / "film.mp4")
    assert caught.value.kind == "missing"
    (tmp_path / "film.mp4").write_bytes(bytes(40_000))
    with pytest.raises(MediaError) as caught:
        open_container(tmp_path / "film.mp4")
    assert caught.value.kind == "not_media"


def test_ffmpeg_opens_no_file_itself(tmp_path: Path) -> None:
    """A container that names another file gets nothing from it: FFmpeg has no protocol to open it with."""
    other = io.BytesIO()
    soundfile.write(other, np.zeros(16_000, np.int16), 16_000, format="WAV")
    (tmp_path / "other.wav").write_bytes(other.getvalue())
    (tmp_path / "list.mp4").write_bytes(b"ffconcat version 1.0\nfile other.wav\n")
    with failing_reads(tmp_path / "other.wav") as counter, pytest.raises(MediaError):
        open_container(tmp_path / "list.mp4")
    assert counter.count == 0
