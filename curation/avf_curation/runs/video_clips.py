"""Clips of the people in videos without a verdict on any of them: for a trained model to predict on.

OUT/in     a link to the video, where one file is given
OUT/run    the run of the recipe `clip`
OUT/shards the clips
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection, select_clips
from avf_shards.schema.ledger import Decision, table_to_decisions

from avf_curation.detectors.detector_set import BackendSelection, resolve_backends
from avf_curation.detectors.weights import default_weights_folder
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.runs.progress import Progress

SOURCE = "clip"
_MAX_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class VideoClips:
    """The clips of one or more videos."""

    run: RunFolder  # its ledger holds the spans of each clip
    shards: Path  # packed clips; missing where there is no clip
    backends: BackendSelection  # the detectors that found the people
    keys: tuple[str, ...]  # of the clips in `shards`
    missed: dict[str, str]  # name of a video that gave no clip -> a sentence with its path and why
    copies: dict[str, str]  # name of a video whose clips another one of the same bytes gave -> a sentence with both


def clip_videos(
    videos: Path,
    out: Path,
    *,
    settings: Sequence[str] = (),
    weights: Path | None = None,
    follow_symlinks: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> VideoClips:
    """Cut a clip of each person in each shot of a video, or of every video in a folder, into the folder `out`.

    Called again with the same videos, it continues or returns what is there. Raises UserError.

    Args:
        settings: settings of the recipe `clip`, as "track.min_present=0.5".
        weights: folder of model files; None: the default folder.
        follow_symlinks: take also what links name outside the folder `videos`.
    """
    if not videos.exists():
        raise UserError(f"{videos}: no such file or folder")
    recipe = load_recipe(Path("clip"), settings)
    backends = resolve_backends(recipe, weights or default_weights_folder())
    source = videos if videos.is_dir() else _link_video(videos, out / "in")
    # The folder with the link to a single video is ours. A video that fails is missed, with its reason.
    follow = follow_symlinks or not videos.is_dir()
    options = RunOptions(engine="inline", max_fault_share=1.0, follow_symlinks=follow)
    run = curate(recipe, backends, {SOURCE: source}, out / "run", options, on_progress=on_progress)
    decisions = table_to_decisions(run.ledger())
    copies = {
        clip.key: clip.duplicate_of
        for clip in select_clips(run.ledger(), Selection()).rejected
        if clip.duplicate_of is not None
    }
    keys = tuple(key for decision in decisions for key in decision.clips if key not in copies)
    shards = out / "shards"
    if keys:
        pack_shards(run, shards, Selection())
    return VideoClips(
        run=run,
        shards=shards,
        backends=backends,
        keys=keys,
        missed=_describe_missed(videos, decisions),
        copies=_describe_copies(videos, decisions, copies),
    )


def _link_video(video: Path, folder: Path) -> Path:
    """Return `folder` as a source that holds this video alone. Raises UserError when it holds another."""
    folder.mkdir(parents=True, exist_ok=True)
    others = [path for path in folder.iterdir() if path.resolve() != video.resolve()]
    if others:
        raise UserError(f"{folder.parent}: was made for {others[0].name}; name a new folder for {video.name}")
    link = folder / video.name
    if not link.is_symlink():
        os.symlink(video.resolve(), link)
    return folder


def _describe_missed(videos: Path, decisions: Sequence[Decision]) -> dict[str, str]:
    """Return why a video has no clip, by its name: the reasons that hold for most seconds first."""
    folder = videos if videos.is_dir() else videos.parent
    clipped = {decision.video_id for decision in decisions if decision.clips}
    seconds: dict[str, dict[str, float]] = {}
    for decision in decisions:
        if decision.video_id not in clipped:
            text = decision.message or decision.error or f"{decision.reason} ({decision.stage})"
            reasons = seconds.setdefault(decision.video_id, {})
            reasons[text.replace("_", " ")] = reasons.get(text.replace("_", " "), 0.0) + decision.span.seconds
    return {
        name: f"{folder / name}: no clip can be cut from it: {_join_reasons(reasons)}"
        for name, reasons in seconds.items()
    }


def _describe_copies(videos: Path, decisions: Sequence[Decision], copies: Mapping[str, str]) -> dict[str, str]:
    """Return, by its name, of which video each video without clips of its own is a copy.

    Args:
        copies: clip of a copy -> clip of the same bytes, which is packed.
    """
    folder = videos if videos.is_dir() else videos.parent
    video_of = {key: decision.video_id for decision in decisions for key in decision.clips}
    return {
        video_of[key]: f"{folder / video_of[key]}: has the same bytes as {folder / video_of[packed]}, "
        "whose clips stand for both"
        for key, packed in copies.items()
    }


def _join_reasons(seconds: dict[str, float]) -> str:
    longest_first = sorted(seconds.items(), key=lambda item: -item[1])[:_MAX_REASONS]
    return ", ".join(f"{reason} for {length:.1f} s" if length else reason for reason, length in longest_first)
