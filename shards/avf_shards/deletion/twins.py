"""Clips with the same sound as one that is taken down: another cut or coding of a recording. People decide on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.format.denied_inputs import denied_rows
from avf_shards.format.denylist import Denylist
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.near_duplicates import Fingerprint, NearDuplicateConfig, NearDuplicateIndex
from avf_shards.packing.pack import read_fingerprints


@dataclass(frozen=True, kw_only=True)
class SoundTwin:
    """A clip that sounds like one that is taken down."""

    key: str  # of the twin
    twin_of: str  # key of the clip that is taken down
    similarity: float  # share of equal bits of the two fingerprints where they overlap; unrelated sound has 0.5


def find_sound_twins(
    run: RunFolder, table: pa.Table, denylist: Denylist
) -> tuple[tuple[SoundTwin, ...], tuple[str, ...]]:
    """Return the kept clips that sound like a kept clip which the denylist forbids, the most similar first.

    The second value has a sentence for each damaged clip or unit, whose sound could not be compared.

    Args:
        table: the ledger of the run.
    """
    kept_rows = table.filter(pc.equal(table["status"], "kept"))
    denied = denied_rows(kept_rows, denylist)
    if not any(denied):
        return (), ()
    clips = list(
        zip(
            kept_rows["source"].to_pylist(),
            kept_rows["video_id"].to_pylist(),
            kept_rows["clips"].to_pylist(),
            strict=True,
        )
    )
    videos = {key: f"{source}/{video}" for source, video, keys in clips for key in keys}
    gone = {key for (_, _, keys), deny in zip(clips, denied, strict=True) if deny for key in keys}
    faults: list[str] = []
    fingerprints = read_fingerprints(run, table, lambda error: faults.append(str(error)))
    return _match_sound(fingerprints, videos, gone), tuple(faults)


def _match_sound(
    fingerprints: Mapping[str, Fingerprint], videos: Mapping[str, str], gone: set[str]
) -> tuple[SoundTwin, ...]:
    """Return the twins of the clips of `gone`; two clips of one video are none, as people in it share its sound."""
    index = NearDuplicateIndex(
        fingerprints, {key: videos.get(key, key) for key in fingerprints}, NearDuplicateConfig(), seed=0
    )
    best: dict[str, SoundTwin] = {}
    for key in sorted(gone & fingerprints.keys()):
        others = set(fingerprints) - gone
        while (match := index.find(key, others)) is not None:
            others.remove(match.duplicate_of)
            twin = SoundTwin(key=match.duplicate_of, twin_of=key, similarity=round(1 - match.error, 4))
            if twin.key not in best or best[twin.key].similarity < twin.similarity:
                best[twin.key] = twin
    return tuple(sorted(best.values(), key=lambda twin: (-twin.similarity, twin.key)))
