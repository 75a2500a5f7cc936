"""Learn a sync network from the kept clips of a run, and check it on people that it was not trained on."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from avf_shards.errors import FaultError, UserError
from avf_shards.format.index import ShardReader
from avf_shards.format.run_folder import RunFolder
from avf_shards.sampling.hash_draw import priority
from avf_shards.schema.clip_record import ClipRecord
from avf_shards.system import durable_io
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME

from avf_curation.detectors.face_mesh import FaceMesh
from avf_curation.detectors.sync_calibration import (
    BLANK,
    LENGTHS_S,
    LearningClip,
    PieceScore,
    calibrate,
    cross_validate,
    learning_clip,
)
from avf_curation.detectors.sync_head_file import HeadCard, SyncHeadFile, write_head
from avf_curation.detectors.sync_training import train_towers
from avf_curation.detectors.threads import limit_threads
from avf_curation.detectors.weights import short_digest
from avf_curation.media.crop import crop_for_lr_asd
from avf_curation.media.stored_clip import decode_stored_clip
from avf_curation.media.types import Bytes, MediaError, Samples

if TYPE_CHECKING:  # it imports torch, which is needed only where embeddings are read
    from avf_curation.detectors.lr_asd import Floats, LrAsd

LEAST_S = 60.0  # seconds of clips, below which nothing is learnt
_MAX_CLIP_FRAMES = 15 * FRAMES_PER_SECOND  # of one clip that are read
_COLUMNS = ("source", "status", "speaker", "group_id", "clips", "unit", "attempt")


@dataclass(frozen=True, kw_only=True)
class LearningOptions:
    """What is learnt from."""

    minutes: float = 20.0  # of clips at most, as many of each person as of any other
    seed: int = 0  # of the choice of clips, the first weights and the batches
    #: Weights of LR-ASD, whose embedding of the face is read beside the distances of the lips; None: these alone.
    lr_asd: Path | None = None

    def __post_init__(self) -> None:
        if not LEAST_S / 60 <= self.minutes < math.inf:
            raise UserError(f"--minutes {self.minutes:g}: must be a finite number, at least {LEAST_S / 60:g}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed {self.seed}: must lie between 0 and {2**32 - 1}")


@dataclass(frozen=True, kw_only=True)
class LengthFigures:
    """How pieces of one length of held-out people did."""

    length_s: int  # of the pieces
    pieces: int  # of this length
    right_share: float  # of the pieces: the offset of the highest peak is within two frames of the true one
    told_share: float  # of the pieces: their confidence is 1 or more
    told_right_share: float | None  # of the told pieces; None where none is told


@dataclass(frozen=True, kw_only=True)
class LearningResult:
    """A network that was written, and its figures."""

    path: Path  # of the file
    sha256: str  # of the file
    card: HeadCard  # in the file
    figures: tuple[LengthFigures, ...]  # by length


@dataclass(frozen=True, kw_only=True)
class _ClipRow:
    """Where a kept clip is stored."""

    key: str  # names its members in the part
    source: str  # of its video
    person: str  # the speaker where the corpus names one, else the group of its video
    unit: int  # that holds it
    attempt: int  # of that unit


def learn_sync(
    run: RunFolder,
    out: Path,
    options: LearningOptions,
    on_progress: Callable[[str], None] = lambda text: None,
) -> LearningResult:
    """Train and check a network on the kept clips of a run, and write it to `out`.

    Raises UserError where the clips are too few, of one person, or give no network that can be trusted.
    """
    if run.identity().content != "clips":
        raise UserError(f"{run.root}: is a run of pictures, which have no sound")
    limit_threads()
    clips = read_learning_clips(run, options, on_progress)
    limit_threads()  # a second time, for torch, which training has loaded
    pieces = cross_validate(clips, options.seed, lambda done, folds: on_progress(f"fold {done} of {folds}"))
    trust = calibrate(pieces)
    on_progress("training on all clips")
    weights = train_towers([clip.talk for clip in clips], options.seed)
    card = replace(
        BLANK,
        unit=trust.unit,
        seed=options.seed,
        clips=len(clips),
        seconds=_seconds(clips),
        people=len({(clip.source, clip.person) for clip in clips}),
        sources=tuple(sorted({clip.source for clip in clips})),
        pieces=len(pieces),
        told_share=trust.told_share,
        right_share=trust.right_share,
        lr_asd=None if options.lr_asd is None else short_digest(options.lr_asd),
    )
    durable_io.make_folder(out.parent)
    digest = write_head(out, SyncHeadFile(weights=weights, card=card))
    return LearningResult(path=out, sha256=digest, card=card, figures=tuple(_summarize(pieces, trust.unit)))


def read_learning_clips(
    run: RunFolder, options: LearningOptions, on_progress: Callable[[str], None]
) -> list[LearningClip]:
    """Return mouth and sound of kept clips, drawn by seed and in turn over the people.

    Raises UserError where the run has less than a minute of them.
    """
    mesh, network = FaceMesh.from_program(), _load_lr_asd(options.lr_asd)
    clips: list[LearningClip] = []
    for row in _draw_rows(run, options.seed):
        frames, samples, face_share = _decode_clip(run, row)
        frames = frames[: len(samples) // SAMPLES_PER_FRAME]
        if len(frames) < LENGTHS_S[0] * FRAMES_PER_SECOND:
            continue
        embeddings_TV = None if network is None else embed_stored_face(network, frames, face_share)
        clips.append(learning_clip(mesh, frames, samples, row.source, row.person, embeddings_TV=embeddings_TV))
        on_progress(f"{_seconds(clips):.0f} s of clips read")
        if _seconds(clips) >= 60 * options.minutes:
            break
    if _seconds(clips) < LEAST_S:
        raise UserError(
            f"{run.root}: has {_seconds(clips):.0f} s of kept clips of 3 s and more, and {LEAST_S:.0f} s are needed"
        )
    return clips


def _load_lr_asd(path: Path | None) -> "LrAsd | None":
    """Return the network of a weight file. Raises UserError for a file that does not hold it."""
    if path is None:
        return None
    from avf_curation.detectors.lr_asd import LrAsd

    network = LrAsd.from_file(path)
    limit_threads()  # a second time, for torch, which the network has loaded
    return network


def embed_stored_face(network: "LrAsd", frames: list[Bytes], face_share: float) -> "Floats":
    """Return LR-ASD's embedding of the face in each frame of a stored clip, (T, 128).

    The face is in the middle of the clip, and runs cut it by its box: `face_share` is the side of that box over the
    side of the clip's window.
    """
    middle_px = frames[0].shape[0] / 2
    faces = [crop_for_lr_asd(frame_HWC, (middle_px, middle_px), face_share * middle_px) for frame_HWC in frames]
    return network.embed_span(np.stack(faces))


def _seconds(clips: list[LearningClip]) -> float:
    return sum(len(clip.talk.distances_TD) for clip in clips) / FRAMES_PER_SECOND


def _draw_rows(run: RunFolder, seed: int) -> Iterator[_ClipRow]:
    """Yield the kept clips, one of each person in turn, in an order that depends on their keys and the seed alone."""
    queues: dict[tuple[str, str], list[_ClipRow]] = {}
    for batch in run.ledger_batches(_COLUMNS):
        for values in batch.filter(pc.equal(batch.column("status"), "kept")).to_pylist():
            row = _clip_row(values)
            if row is not None:
                queues.setdefault((row.source, row.person), []).append(row)
    for rows in queues.values():
        rows.sort(key=lambda row: priority(row.key, seed), reverse=True)
    while queues:
        for person in sorted(queues, key=lambda person: priority("\0".join(person), seed)):
            yield queues[person].pop()
            if not queues[person]:
                del queues[person]


def _clip_row(values: dict[str, Any]) -> _ClipRow | None:
    """Return the first clip of a kept span; None where a deletion took it."""
    if not values["clips"]:
        return None
    return _ClipRow(
        key=values["clips"][0],
        source=values["source"],
        person=values["speaker"] or values["group_id"],
        unit=values["unit"],
        attempt=values["attempt"],
    )


def _decode_clip(run: RunFolder, row: _ClipRow) -> tuple[list[Bytes], Samples, float]:
    """Return the frames and the sound of a stored clip, and the side of its face over that of its window.

    Raises FaultError for a clip that is missing or damaged.
    """
    path = run.part(row.attempt, row.unit)
    with ShardReader(path) as reader:
        members = reader.index.by_key().get(row.key, {})
        data = {extension: reader.read(member) for extension, member in members.items()}
    try:
        frames, samples = decode_stored_clip(data, _MAX_CLIP_FRAMES)
        track = ClipRecord.from_json(data["json"], str(path)).measurements.track
        if track is None:
            raise FaultError(f"{path}: clip {row.key}: its record has no track")
        return frames, samples, track.face_px / track.window_px
    except MediaError as error:
        raise FaultError(f"{path}: clip {row.key}: {error}") from None


def _summarize(pieces: list[PieceScore], unit: float) -> Iterator[LengthFigures]:
    for length_s in LENGTHS_S:
        of_length = [piece for piece in pieces if piece.length_s == length_s]
        told = [piece for piece in of_length if piece.peak()[1] >= unit]
        if of_length:
            yield LengthFigures(
                length_s=length_s,
                pieces=len(of_length),
                right_share=sum(piece.is_right for piece in of_length) / len(of_length),
                told_share=len(told) / len(of_length),
                told_right_share=sum(piece.is_right for piece in told) / len(told) if told else None,
            )
