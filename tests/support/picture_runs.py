"""Runs of face pictures in tests: what was decided, and what their shards hold."""

from pathlib import Path

from avf_shards.format.picture_record import StoredPicture, read_stored_picture
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.ledger import Decision, table_to_decisions

from support.shard_folders import read_clips

STORE_WHOLE = ("picture.store=whole", "gates.faces=skip")  # no detector is asked


def decisions_of_pictures(run: RunFolder) -> dict[str, Decision]:
    """Return the decision of each picture by its id."""
    return {decision.video_id: decision for decision in table_to_decisions(run.ledger())}


def pack_pictures(run: RunFolder, shards: Path) -> dict[str, StoredPicture]:
    """Pack a run and return the pictures of the shards by their id."""
    pack_shards(run, shards, Selection(clips_per_shard=2))
    assert verify_shards(shards) == []
    pictures = [read_stored_picture(files, key) for key, files in read_clips(shards).items()]
    return {picture.record.picture_id: picture for picture in pictures}
