"""Folders of picture shards that were not packed from a run."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.picture_record import PictureRecord, StoredPicture, Subset, make_picture_key
from avf_shards.format.run_folder import PackedClip, write_part
from avf_shards.format.shard_manifest import ShardManifest
from avf_shards.packing.pack import list_shard
from avf_shards.schema.labels import Labels
from PIL import Image


def make_picture(
    picture_id: str,
    image_HWC: np.ndarray,
    *,
    source: str = "pictures",
    labels: Mapping[str, str] | None = None,
    identity: str | None = None,
    subset: Subset | None = None,
    extension: str = "jpg",
) -> StoredPicture:
    """Return a picture that is stored as it is, (H, W, 3) of 8 bits, with a record without checks."""
    buffer = io.BytesIO()
    Image.fromarray(image_HWC).save(buffer, "PNG" if extension == "png" else "JPEG")
    data = buffer.getvalue()
    height, width = image_HWC.shape[:2]
    record = PictureRecord(
        key=make_picture_key(source, picture_id),
        source=source,
        picture_id=picture_id,
        group_id=identity or picture_id,
        path=f"{picture_id}.{extension}",
        record=None,
        identity=identity,
        subset=subset,
        width_px=width,
        height_px=height,
        source_width_px=width,
        source_height_px=height,
        window_px=None,
        face_px=None,
        input_sha256=hashlib.sha256(data).hexdigest(),
        input_bytes=len(data),
        fingerprint="f" * 16,
        backends={},
        checks=(),
        labels=None if labels is None else Labels(values=labels),
    )
    return StoredPicture(record=record, data=data, extension=extension)


def write_picture_shards(shards: Path, pictures: Sequence[StoredPicture], pictures_per_shard: int = 4) -> None:
    """Write pictures as shards of each source, and the manifest; a folder that readers and streams take."""
    shards.mkdir(parents=True, exist_ok=True)
    by_source: dict[str, list[StoredPicture]] = {}
    for picture in pictures:
        by_source.setdefault(picture.record.source, []).append(picture)
    entries = []
    for source, members in sorted(by_source.items()):
        for number, first in enumerate(range(0, len(members), pictures_per_shard)):
            name = f"{source}-{number:06d}.tar"
            write_part(shards, name, map(_pack, members[first : first + pictures_per_shard]))
            entries.append(list_shard(shards / name))
    manifest = ShardManifest(
        fingerprint="",
        inputs_sha256="",
        ledger_sha256="",
        selection={},
        selection_sha256="",
        shards=tuple(entries),
        sources={},
        content="pictures",
    )
    (shards / MANIFEST).write_bytes(manifest.to_json())


def _pack(picture: StoredPicture) -> PackedClip:
    record = picture.record
    members = {picture.extension: picture.data, "json": record.to_json()}
    return PackedClip(key=record.key, source=record.source, frames=record.span.frames, members=members)
