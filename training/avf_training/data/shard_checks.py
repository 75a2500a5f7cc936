"""Folders of shards are looked at before torch is loaded for them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from avf_shards.format.content import Content


def require_shards(folders: Sequence[str], content: "Content | None" = None) -> None:
    """Raise UserError for a local folder without finished shards, before torch is loaded for them.

    An address is left to the command, which reads it once.

    Args:
        folders: of shards, or addresses.
        content: what they must hold; None: the command looks itself.
    """
    from avf_shards.format.corpus import list_corpus, require_content
    from avf_shards.format.shard_manifest import read_manifest

    for folder in folders:
        if "://" not in folder:
            manifest = read_manifest(Path(folder))
            if content is not None:
                require_content(list_corpus(manifest, folder), content, folder)
