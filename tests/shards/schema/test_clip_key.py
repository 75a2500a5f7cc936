"""A key names one video only, and keys of older shards are still read."""

import hashlib

import pytest
from avf_shards.schema.clip_key import (
    is_key,
    key_frames,
    key_source,
    make_clip_key,
    make_video_prefix,
    video_prefix,
    video_prefixes,
)
from avf_shards.timeline import Span

COLLISION = ("talk_21921551.mp4", "talk_25910993.mp4")
OLD = f"s-{hashlib.sha256(b'a.mp4').hexdigest()[:12]}-0000000-0000050-0"


def test_a_key_holds_128_bits_of_its_video() -> None:
    key = make_clip_key("s", "a.mp4", Span(0, 50), 0)
    assert key == f"s-{hashlib.sha256(b'a.mp4').hexdigest()[:32]}-0000000-0000050-0"
    assert is_key(key)
    assert video_prefix(key) == make_video_prefix("s", "a.mp4")


def test_two_names_whose_first_48_bits_agree_have_different_keys() -> None:
    """The names were searched for, among forty million."""
    first, second = COLLISION
    digests = [hashlib.sha256(name.encode()).hexdigest() for name in COLLISION]
    assert digests[0][:12] == digests[1][:12]
    assert make_clip_key("s", first, Span(0, 50), 0) != make_clip_key("s", second, Span(0, 50), 0)


def test_the_key_of_an_older_shard_belongs_to_its_video() -> None:
    assert is_key(OLD)
    assert video_prefix(OLD) in video_prefixes("s", "a.mp4")
    assert video_prefix(OLD) not in video_prefixes("s", "b.mp4")
    assert not is_key(OLD.replace("-0000000", "0-0000000"))


@pytest.mark.parametrize("digits", ["0123456789ab", "0123456789abcdef0123456789abcdef"])
def test_the_parts_of_a_key_are_read_from_both_lengths(digits: str) -> None:
    key = f"vox_2-{digits}-0000050-12345678-1"
    assert (key_source(key), key_frames(key)) == ("vox_2", (50, 12345678))
