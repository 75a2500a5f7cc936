"""A film whose media lie behind 5 GiB, where offsets need more than 32 bits, is read as without them."""

import struct
from pathlib import Path

import numpy as np
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import AudioTrack
from avf_shards.timeline import Span
from support.curation_runs import make_recipe
from support.numbered_video import make_numbered_video, read_number

GAP_BYTES = 5 << 30
PARENTS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the boxes in `data` as (kind, content)."""
    listed, position = [], 0
    while position < len(data):
        size, kind = struct.unpack_from(">I4s", data, position)
        listed.append((kind, data[position + 8 : position + size]))
        position += size
    return listed


def with_far_offsets(kind: bytes, content: bytes) -> bytes:
    """Return a box whose offsets of chunks are 64 bits wide and `GAP_BYTES` larger."""
    if kind in PARENTS:
        content = b"".join(with_far_offsets(*box) for box in boxes(content))
    elif kind == b"stco":
        count = struct.unpack_from(">I", content, 4)[0]
        offsets = np.frombuffer(content, ">u4", count, 8).astype(">u8") + GAP_BYTES
        kind, content = b"co64", content[:8] + offsets.astype(">u8").tobytes()
    return struct.pack(">I4s", len(content) + 8, kind) + content


def write_far(path: Path, film: bytes) -> None:
    """Write an MP4 file whose index is at its end, with a hole of `GAP_BYTES` on the disk behind its first box."""
    first, *others = boxes(film)
    assert others[-1][0] == b"moov", "else the wider index would move the media"
    with path.open("wb") as file:
        file.write(with_far_offsets(*first))
        start = file.tell()
        file.write(struct.pack(">I4sQ", 1, b"free", GAP_BYTES))
        file.seek(start + GAP_BYTES)
        for box in others:
            file.write(with_far_offsets(*box))


def read(path: Path) -> tuple[list[int], list[int], AudioTrack]:
    """Return the numbers of the pictures, those of a second read of the middle, and the sound."""
    with MediaFile(path, make_recipe().defaults.media) as media:
        numbers = [read_number(entry.frame) for entry in media.frames()]
        again = [read_number(frame) for frame in media.read(Span(20, 40))]
        audio = media.audio(len(numbers))
    assert audio is not None
    return numbers, again, audio


def test_media_behind_four_gigabytes_are_read_as_before(tmp_path: Path) -> None:
    film = make_numbered_video(range(60), container="mp4", beeps_s=[1.0, 2.0])
    (tmp_path / "near.mp4").write_bytes(film)
    write_far(tmp_path / "far.mp4", film)
    near, far = read(tmp_path / "near.mp4"), read(tmp_path / "far.mp4")
    assert (tmp_path / "far.mp4").stat().st_size > GAP_BYTES
    assert near[0] == list(range(60))
    assert far[:2] == near[:2]
    assert np.array_equal(far[2].samples, near[2].samples)
    assert np.abs(far[2].samples).max() > 3000
