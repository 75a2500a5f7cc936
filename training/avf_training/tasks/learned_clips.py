"""The list of what a model has learned from: learned.parquet in the folder of its run, and beside each saved model.

It has a digest of 16 bytes for each recording, person and film, and for each clip that was learned with its label; so a
million clips of pre-training take 16 MB. A stage inherits the list of the model that it starts from.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from avf_shards.errors import FaultError
from avf_shards.schema.versions import encode_parquet, read_parquet, versioned_schema
from avf_shards.system import durable_io

from avf_training.tasks.relations import ClipIdentity, recording_digest_name

LEARNED = "learned.parquet"
_DIGEST_BYTES = 16
LEARNED_SCHEMA = versioned_schema(
    [("digest", pa.binary(_DIGEST_BYTES)), ("labelled", pa.bool_())], "learned clips"
)  # sorted by both; labelled: the labels of the clips were learned, or they selected an epoch


@dataclass(frozen=True, kw_only=True)
class LearnedClips:
    """Digests of what a model has learned from, itself and in the stages before it."""

    labelled: frozenset[bytes] = frozenset()  # with labels: trained on, or selected an epoch by
    unlabelled: frozenset[bytes] = frozenset()  # without labels, in pre-training

    def __or__(self, other: "LearnedClips") -> "LearnedClips":
        """Return what either of two lists has."""
        return LearnedClips(labelled=self.labelled | other.labelled, unlabelled=self.unlabelled | other.unlabelled)

    def __bool__(self) -> bool:
        return bool(self.labelled or self.unlabelled)

    @classmethod
    def with_labels(cls, clips: Iterable[ClipIdentity]) -> "LearnedClips":
        """Return the list of clips that are learned with their labels."""
        names = (name for clip in clips for each in clip.digest_names().values() for name in each)
        return cls(labelled=frozenset(map(_digest, names)))

    @classmethod
    def from_keys(cls, keys: Iterable[str], *, labelled: bool) -> "LearnedClips":
        """Return the list of clips of which only the keys are at hand: their recordings, and with labels the clips."""
        names = {recording_digest_name(key) for key in keys}
        if labelled:
            names |= {f"clip {key}" for key in keys}
        digests = frozenset(map(_digest, names))
        return cls(labelled=digests) if labelled else cls(unlabelled=digests)

    def labelled_share(self, clip: ClipIdentity, ignored: frozenset[bytes] = frozenset()) -> str | None:
        """Return what of a clip was learned with labels: clip, recording, person or film; None for nothing.

        Args:
            ignored: digests that count as not learned; the clip itself always counts.
        """
        names_of = clip.digest_names()
        names_of["recording"] = [*names_of["recording"], *clip.older_digest_names()]
        for relation, names in names_of.items():
            digests = {_digest(name) for name in names} & self.labelled
            if digests and (relation == "clip" or not digests <= ignored):
                return relation
        return None

    def has_seen(self, clip: ClipIdentity) -> bool:
        """Return whether pre-training without labels saw the recording of a clip."""
        names = (*clip.digest_names()["recording"], *clip.older_digest_names())
        return any(_digest(name) in self.unlabelled for name in names)

    def write(self, folder: Path) -> None:
        """Write FOLDER/learned.parquet: the same list, the same bytes."""
        rows = sorted([(digest, True) for digest in self.labelled] + [(digest, False) for digest in self.unlabelled])
        columns = [pa.array([row[0] for row in rows], LEARNED_SCHEMA.field(0).type), pa.array([row[1] for row in rows])]
        table = pa.Table.from_arrays(columns, schema=LEARNED_SCHEMA)
        durable_io.replace_file(folder / LEARNED, encode_parquet(table, use_dictionary=False))


def read_learned(path: Path) -> LearnedClips:
    """Return the list in a file. Raises UserError for another version, FaultError for a damaged file."""
    table = read_parquet(path, "learned clips")
    if not table.schema.equals(LEARNED_SCHEMA):
        raise FaultError(
            f"{path}: has the columns {', '.join(table.schema.names)}, not those of a list of learned clips"
        )
    rows = list(zip(table["digest"].to_pylist(), table["labelled"].to_pylist(), strict=True))
    return LearnedClips(
        labelled=frozenset(digest for digest, labelled in rows if labelled),
        unlabelled=frozenset(digest for digest, labelled in rows if not labelled),
    )


def copy_list(run: Path, model: Path) -> None:
    """Copy the list of a run, where it has one, beside a saved model, so that the model can be moved away from it."""
    if (run / LEARNED).is_file():
        durable_io.replace_file(model / LEARNED, (run / LEARNED).read_bytes())


def _digest(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()[:_DIGEST_BYTES]
