"""Pictures of one or several folders of shards under one numbering."""

from collections.abc import Sequence
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.picture_record import PictureRecord

from avf_training.data.shard_folders import ShardFolders
from avf_training.data.storage import StorageConfig
from avf_training.tasks.labelled_shards import concat_corpora

PICTURE = "picture"
"""Name of the encoded picture among the files of an item of a stream."""
LABELS = "labels"
"""Name of the label among them: float32 values in the columns of a task, nan where not valid."""


class PictureShards(ShardFolders[PictureRecord]):
    """Reader over folders of picture shards, with the interface of a `ClipSource`."""

    def __init__(self, shards: Sequence[str | Path], storage: StorageConfig) -> None:
        """Read the manifests. Raises UserError for a folder of clips, or without a manifest."""
        if not shards:
            raise UserError("no shards are given; name a folder of picture shards")
        super().__init__(shards, storage, "pictures", PictureRecord.from_json)
        self.corpus = self.corpora[0] if len(self.corpora) == 1 else concat_corpora(self.corpora)

    def read(self, clip: int) -> dict[str, bytes]:
        """Return the encoded picture. Raises FaultError."""
        reader, index = self.locate(clip)
        return {PICTURE: reader.read_picture(index).data}
