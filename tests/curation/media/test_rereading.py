"""Spans are read a second time with a number of decoded frames that does not depend on how many spans there are."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from avf_curation.media.decode import MediaFile
from avf_curation.media.video_decoder import DecodedFrame, VideoDecoder
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.numbered_video import make_numbered_video, read_number

CONFIG = make_recipe().defaults.media
FRAMES = 600


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of frames that were decoded, in a list of one element."""
    count = [0]
    describe = VideoDecoder._describe

    def count_frame(decoder: VideoDecoder, *arguments: Any) -> DecodedFrame:
        count[0] += 1
        return describe(decoder, *arguments)

    monkeypatch.setattr(VideoDecoder, "_describe", count_frame)
    return count


@pytest.mark.parametrize(
    ("container", "group", "reads"),
    [
        ("matroska", 9999, 2),  # one key frame
        ("matroska", 9999, 3),  # of two people
        ("h264", 25, 2),  # no timestamps to seek by
        ("mp4", 15, 2),
    ],
)
def test_all_spans_in_order_cost_one_decode_for_each_read(
    tmp_path: Path, decoded: list[int], container: str, group: int, reads: int
) -> None:
    options = {"g": str(group), "bf": "0", "sc_threshold": "0", "preset": "ultrafast"}
    numbers = [n % 256 for n in range(FRAMES)]
    (tmp_path / "film").write_bytes(make_numbered_video(range(FRAMES), container=container, options=options))
    with MediaFile(tmp_path / "film", CONFIG) as media:
        assert sum(1 for _ in media.frames()) == FRAMES
        decoded[0] = 0
        for start, _ in itertools.product(range(0, FRAMES, 30), range(reads)):
            span = Span(start, start + 28)
            assert [read_number(frame) for frame in media.read(span)] == numbers[start : start + 28]
    assert decoded[0] <= (reads + 0.1) * FRAMES


def test_spans_are_read_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(make_numbered_video(range(100), container="matroska", options={"g": "9999"}))
    with MediaFile(tmp_path / "film", CONFIG) as media:
        list(media.frames())
        for span in (Span(90, 100), Span(10, 20), Span(50, 60), Span(0, 5), Span(95, 100), Span(40, 41)):
            assert [read_number(frame) for frame in media.read(span)] == list(range(span.start_frame, span.stop_frame))


@pytest.mark.parametrize(("container", "group"), [("mp4", 15), ("matroska", 9999), ("h264", 25)])
def test_spans_may_be_read_at_the_same_time(tmp_path: Path, container: str, group: int) -> None:
    options = {"g": str(group), "bf": "2", "preset": "ultrafast"}
    (tmp_path / "film").write_bytes(make_numbered_video(range(100), container=container, options=options))
    spans = [Span(40, 60), Span(10, 30), Span(40, 60), Span(5, 25), Span(70, 90)]
    with MediaFile(tmp_path / "film", CONFIG) as media:
        list(media.frames())
        rows = [tuple(map(read_number, frames)) for frames in zip(*map(media.read, spans), strict=True)]
        assert rows == [tuple(span.start_frame + n for span in spans) for n in range(20)]
        abandoned = media.read(Span(0, 50))
        next(abandoned)
        abandoned.close()
        assert [read_number(frame) for frame in media.read(Span(50, 55))] == list(range(50, 55))
