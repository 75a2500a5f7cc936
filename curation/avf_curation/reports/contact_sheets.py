"""The contact sheets of the audit page: sampled spans of each source and verdict, with pictures and short excerpts."""

import base64
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

from avf_shards.errors import FaultError
from avf_shards.format.content import Content
from avf_shards.format.index import ShardReader
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import TAKEDOWN, Decision
from avf_shards.system.mirror_registry import bring
from avf_shards.system.storage_faults import fetch_content

from avf_curation.audit.explain import check_text, verdict_text
from avf_curation.audit.sampling import SpanGroup, sample_verdicts
from avf_curation.media import crop, preview
from avf_curation.media.types import MediaConfig, MediaError, TimeRange
from avf_curation.pipeline.input_check import read_picture_bytes
from avf_curation.recipe import read_run_recipe
from avf_curation.reports.preview_process import PreviewLimits, PreviewProcess
from avf_curation.runs.frozen_plan import planned_videos
from avf_curation.sources.types import Video

MEDIA_BUDGET_BYTES = 5_000_000
"""Most bytes of a page that are pictures and excerpts."""

_MAX_TILES = 400  # on a page, unless there are more groups: each has one if the budget allows

_CPU_S = 60.0  # that one preview may take, and no more than a video may: it is seconds long, and a seek may be slow

_EXCERPT = preview.PreviewConfig(max_s=3.0, side_px=240, crf=32, sound_bits_per_s=32_000)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A sampled span on the page."""

    number: int  # unique on the page
    decision: Decision  # row of the ledger
    story: str  # the decision with every check, as `avf-curate explain` tells them
    verdict: str  # the decision in words
    picture: str | None  # JPEG as base64; None where the span cannot be shown
    excerpt: str | None  # mp4 as base64
    fault: str  # why the span cannot be shown
    content: Content = "clips"  # what the run is of

    @property
    def place(self) -> str:
        """The span in seconds; empty for a picture."""
        if self.content == "pictures":
            return ""
        return f"{self.decision.span.start_s:.2f} to {self.decision.span.stop_s:.2f} s"


@dataclass(frozen=True, kw_only=True)
class ContactSheet:
    """The tiles of one source and verdict."""

    source: str  # name of the source
    verdict: str  # "kept" or "stage/reason"
    spans: int  # in the ledger
    tiles: list[Tile]  # of a random sample
    left_out: int  # sampled spans for which the budget had no room


class SpanPreviews:
    """Makes previews of the spans of a run: of kept spans from the stored clip, of others from the input.

    Files are decoded in another process, which ends with the block.
    """

    def __init__(self, run: RunFolder, roots: dict[str, Path], video_ids: set[str]) -> None:
        self._run, self._roots = run, roots
        self._planned, self.content = planned_videos(run, video_ids), run.identity().content
        recipe = read_run_recipe(run.identity())
        self._media: MediaConfig = recipe.defaults.media
        cpu_s = min(recipe.run.video_cpu_s, _CPU_S)
        self._process = PreviewProcess(PreviewLimits(cpu_s=cpu_s, memory_mb=recipe.run.video_memory_mb))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.close()

    def make(
        self, decision: Decision, config: preview.PreviewConfig, *, middle: bool = False, before_s: float = 0.0
    ) -> preview.Preview:
        """Return a preview of the span.

        Args:
            middle: show the middle of a long span that was rejected, not its start.
            before_s: seconds of the input before a rejected span that are shown too; one second after it as well then.

        Raises:
            MediaError: the clip or the input cannot be read or decoded; the message says why.
        """
        try:
            return self._stored(decision, config) if decision.clips else self._input(decision, config, middle, before_s)
        except FaultError as error:
            raise MediaError("decode", f"the stored clip is damaged ({error})") from None
        except OSError as error:
            raise MediaError("missing", f"the file cannot be read ({error})") from None

    def input_range(self, decision: Decision) -> tuple[Path, Video, TimeRange]:
        """Return the file of a span, its input and the range of the file.

        Raises MediaError for an unknown folder, and for a span that was taken down: no page may show it again.
        """
        if decision.stage == TAKEDOWN:
            raise MediaError("missing", "it was taken down, and is not shown")
        root = self._roots.get(decision.source)
        video = self._planned.get((decision.source, decision.video_id))
        if root is None or video is None:
            hint = f"name it with --source {decision.source}=DIR"
            raise MediaError("missing", f"the folder of {decision.source} is not known; {hint}")
        start_s = video.start_s or 0.0
        within = TimeRange(start_s + decision.span.start_s, start_s + decision.span.stop_s)
        return Path(os.path.join(root, video.path)), video, within

    def _stored(self, decision: Decision, config: preview.PreviewConfig) -> preview.Preview:
        key = decision.clips[0]
        with ShardReader(self._run.part(decision.attempt, decision.unit)) as reader:
            members = reader.index.by_key().get(key)
            if members is None:
                raise FaultError(f"{reader.path}: has no clip {key}, which the ledger says is there")
            data = {kind: reader.read(member) for kind, member in members.items() if kind != "json"}
        picture = data.get("jpg", data.get("png"))
        if picture is not None:
            return self._process.make(partial(preview.picture_preview, picture, self._media.max_pixels, config))
        return self._process.make(partial(preview.clip_preview, data, config))

    def _input(
        self, decision: Decision, config: preview.PreviewConfig, middle: bool, before_s: float
    ) -> preview.Preview:
        path, video, within = self.input_range(decision)
        if video.picture is not None:
            data = read_picture_bytes(video, self._roots[decision.source])
            return self._process.make(partial(preview.picture_preview, data, self._media.max_pixels, config))
        if before_s:
            within = TimeRange(within.start_s - before_s, within.stop_s + 1)
        if middle:
            start_s = max(within.start_s, (within.start_s + within.stop_s - config.max_s) / 2)
            within = TimeRange(start_s, within.stop_s)
        separate = video.sound_path is not None and not video.own_sound_first
        sound = self._roots[decision.source] / video.sound_path if separate and video.sound_path else None
        bring([path, *([sound] if sound else [])])
        fetch_content(path, *([sound] if sound else []))  # the process that decodes them asks no store
        work = partial(preview.input_preview, path, sound, within, media_config=self._media, config=config)
        return self._process.make(work)


def make_contact_sheets(run: RunFolder, roots: dict[str, Path], excerpts: int, seed: int) -> list[ContactSheet]:
    """Return the sheets of a run: at most `excerpts` spans of each source and verdict, within the media budget."""
    groups = sample_verdicts(run, excerpts, seed)
    video_ids = {decision.video_id for group in groups for decision in group.sample}
    tiles: dict[int, list[Tile]] = {index: [] for index in range(len(groups))}
    spent = number = 0
    with SpanPreviews(run, roots, video_ids) as previews:
        for index, decision in _in_turns(groups):
            if spent >= MEDIA_BUDGET_BYTES or (tiles[index] and number >= _MAX_TILES):
                continue
            number += 1
            tile = _make_tile(previews, decision, number, MEDIA_BUDGET_BYTES - spent)
            spent += len(tile.picture or "") + len(tile.excerpt or "")
            tiles[index].append(tile)
    return [
        ContactSheet(
            source=group.source,
            verdict=group.verdict,
            spans=group.spans,
            tiles=tiles[index],
            left_out=len(group.sample) - len(tiles[index]),
        )
        for index, group in enumerate(groups)
    ]


def _in_turns(groups: list[SpanGroup]) -> Iterator[tuple[int, Decision]]:
    """Yield (index of the group, decision): the first of each group, then the second of each, and so on."""
    for position in range(max((len(group.sample) for group in groups), default=0)):
        for index, group in enumerate(groups):
            if position < len(group.sample):
                yield index, group.sample[position]


def _make_tile(previews: SpanPreviews, decision: Decision, number: int, budget: int) -> Tile:
    picture = excerpt = None
    fault = ""
    try:
        made = previews.make(decision, _EXCERPT, middle=True)
        picture = base64.b64encode(crop.encode_jpeg(made.still, 70)).decode()
        excerpt = base64.b64encode(made.mp4).decode() or None
        if excerpt is not None and len(picture) + len(excerpt) > budget:
            excerpt = None
    except MediaError as error:
        fault = str(error)
    return Tile(
        number=number,
        decision=decision,
        story="\n".join(check_text(check) for check in decision.checks),
        verdict=verdict_text(decision),
        picture=picture,
        excerpt=excerpt,
        fault=fault,
        content=previews.content,
    )
