"""The reader of packed JPEG finds the images of the writer, and names damage."""

import pytest
from avf_shards.errors import FaultError
from avf_shards.schema.packed_jpeg import image_offsets, pack_images

IMAGES = [b"first", b"2", b"third image"]


def test_images_are_at_their_offsets() -> None:
    packed = pack_images(IMAGES)
    offsets = image_offsets(packed)
    assert [packed[start:stop] for start, stop in zip(offsets, offsets[1:], strict=False)] == IMAGES
    assert packed[:8] == b"AVFJ\x03\x00\x00\x00"
    assert image_offsets(pack_images([])).tolist() == [12]


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"", "no packed JPEG"),
        (b"AVFX" + pack_images(IMAGES)[4:], "no packed JPEG"),
        (b"AVFJ\xff\xff\xff\xff", "ends before its table of 4294967295 pictures"),
        (pack_images(IMAGES)[:-1], "table of pictures is damaged"),
        (pack_images([b"a", b"", b"b"]), "table of pictures is damaged"),
    ],
)
def test_damaged_packed_jpeg_is_refused_with_the_reason(packed: bytes, words: str) -> None:
    with pytest.raises(FaultError, match=words):
        image_offsets(packed)
