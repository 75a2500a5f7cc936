"""Takedowns as `avf-shards delete` carries them out, in a run alone and in shards alone."""

from pathlib import Path

from avf_shards.deletion.both_places import TakedownOptions, take_down_in_both
from avf_shards.deletion.requests import DeletionRequest
from avf_shards.deletion.shard_deletion import DeletionReport
from avf_shards.format.run_folder import RunFolder


def take_down(run: RunFolder, request: DeletionRequest) -> tuple[str, ...]:
    """Take the request down in a run; return the keys of the clips that this call erased."""
    return take_down_in_both(None, run, request, TakedownOptions()).erased_in_run


def delete_clips(shards: Path, request: DeletionRequest, reason: str = "") -> DeletionReport:
    """Take the request down in shards; return what was deleted."""
    report = take_down_in_both(shards, None, request, TakedownOptions(reason=reason)).shards
    assert report is not None
    return report
