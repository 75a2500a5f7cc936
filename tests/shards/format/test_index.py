"""The sidecar of a shard names the shard beside it, and no file elsewhere."""

import pytest
from avf_shards.errors import FaultError
from avf_shards.format.index import ShardIndex, parse_index


def make_index(shard: str) -> bytes:
    return ShardIndex(shard=shard, size_bytes=512, sha256="0" * 64, clips={}, seconds={}, members=()).to_json()


def test_a_sidecar_is_read_back() -> None:
    assert parse_index(make_index("talks-000001.tar"), "talks").shard == "talks-000001.tar"


@pytest.mark.parametrize("shard", ["../talks.tar", "/talks.tar", "a/talks.tar", "..", "", "talks.zip"])
def test_a_sidecar_that_names_a_file_elsewhere_is_refused(shard: str) -> None:
    with pytest.raises(FaultError, match=r"talks: shard '.*' must be the name of a \.tar file beside it"):
        parse_index(make_index(shard), "talks")
