"""A store that is away is asked again by its client alone, which says so: not by each reader of a file once more."""

from pathlib import Path

import pytest
from avf_shards.stores.fsspec_store import RefusedError, StoreError
from avf_shards.system import storage_faults
from avf_shards.system.storage_faults import retry_read


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (StoreError(5, "out of reach", "s3://bucket/a.mp4"), 1),
        (RefusedError(13, "the store does not allow this", "s3://bucket/a.mp4"), 1),
        (OSError(5, "Input/output error"), 4),
    ],
)
def test_only_errors_of_disks_are_read_again(error: OSError, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_faults, "RETRY_PAUSES_S", (0.0, 0.0, 0.0))
    asked = []

    def read() -> bytes:
        asked.append("once")
        raise error

    with pytest.raises(type(error), match=r"out of reach|does not allow|Input") as raised:
        retry_read(read, Path("a.mp4"))
    assert raised.value is error
    assert len(asked) == tries
