"""Promise: the decisions of every video tile its timeline; input frames = kept + rejected + failed, exactly.

The real pipeline runs with random verdicts, cuts and errors; only the measurements are replaced.
"""

import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from avf_curation.audit.funnel import summarize_ledger
from avf_curation.media.types import AudioTrack, MediaError, PictureRun, VideoTrack
from avf_curation.pipeline import refining
from avf_curation.pipeline import video as pipeline
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.screening import ScreenedShot
from avf_curation.pipeline.unit import decide_unit
from avf_curation.pipeline.unit_job import UnitJob
from avf_curation.stages import faces, quality, scenes, silence, sync, tracking
from avf_curation.stages.stage_timer import StageTimer
from avf_curation.stages.undecided import STAGES_WITH_UNDECIDED, undecided_reasons
from avf_shards.format.run_folder import PackedClip
from avf_shards.schema.ledger import Check, Decision, decisions_to_table
from avf_shards.timeline import Span, TilingError, check_tiling
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.curation_runs import EMBEDDED, IDENTITY, make_recipe, make_source_video

RECIPES = {
    verdict: make_recipe(
        "plan.group_by=directory", *(f"gates.undecided.{stage}={verdict}" for stage in STAGES_WITH_UNDECIDED)
    )
    for verdict in ("keep", "reject")
}
Decided = list[tuple[Decision, tuple[PackedClip, ...]]]
PICTURE = PictureRun(start_frame=0, width_px=640, height_px=360)


class Dice:
    """Stands for everything that measures: verdicts, cuts, speech and errors by lot."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def checks(self, stage: str) -> tuple[Check, ...]:
        score = self.draw.choice([0.0, 1.0, 1.0, 1.0, None])
        return (Check(stage=stage, reason=self.draw.choice(["one", "two"]), score=score, operator=">=", threshold=0.5),)

    def maybe_fail(self) -> None:
        if self.draw.random() < 0.08:
            raise self.draw.choice([MediaError("decode", "broken"), RuntimeError("at 0x7f in /a/b/c")])

    def cuts(self, frames: int) -> list[Span]:
        count = min(frames - 1, self.draw.randrange(6))
        inner = sorted(self.draw.sample(range(1, frames), k=count)) if count > 0 else []
        edges = [0, *inner, frames]
        return [Span(a, b) for a, b in zip(edges, edges[1:], strict=False)]

    def screen(self, *_: object) -> tuple[VideoTrack, list[ScreenedShot]]:
        self.maybe_fail()
        frames = self.draw.randrange(1, 400)
        tail = self.draw.choice([0, 0, self.draw.randrange(50)])
        shots = [ScreenedShot(span=span, faces=((),)) for span in self.cuts(frames)]
        return VideoTrack(frames=frames + tail, pts=np.arange(frames), pictures=(PICTURE,)), shots

    def tracks(self, span: Span) -> list[SimpleNamespace]:
        """Return two tracks of a span, which another face divides now and then."""
        edges = (self.draw.randrange(span.frames + 1),) if self.draw.random() < 0.2 else ()
        track = SimpleNamespace(
            record=lambda: {"window_px": 100.0, "face_px": 50.0, "detections": 1, "tracks": 1},
            window=SimpleNamespace(side_px=100.0, box_px=lambda *_: (0.0, 0.0, 100.0, 100.0)),
            rival_share=0.0,
            other_faces=(),
            pan_edges=edges,
            blend=0.0,
        )
        return [track, track]

    def split(self, samples: np.ndarray, config: object) -> list[Span]:
        self.maybe_fail()
        frames = len(samples) // 640
        return [span for span in self.cuts(frames) if span.frames > 1][self.draw.randrange(2) :: 2]


class Media:
    """Stands for an opened file."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.has_video = True
        self.start_s = 0.0

    def resume(self, picture: object, start_s: float) -> None:
        self.dice.maybe_fail()

    def __enter__(self) -> "Media":
        self.dice.maybe_fail()
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def audio(self, frames: int | None) -> AudioTrack | None:
        if frames is not None and self.dice.draw.random() < 0.1:
            return None
        length = frames if frames is not None else self.dice.draw.randrange(300)
        return AudioTrack(samples=np.zeros(length * 640, np.int16), covered=(Span(0, length * 640),))


def decode_nothing(media: object, span: Span, *_: object) -> SimpleNamespace:
    """Return what stands for the pictures of a span."""
    return SimpleNamespace(frames=span.frames, width_px=320, height_px=240)


@pytest.fixture
def random_stages(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    holder = SimpleNamespace(dice=Dice(0))

    def failing(value: object):
        def run(*_: object, **__: object) -> object:
            holder.dice.maybe_fail()
            return value

        return run

    scores = quality.QualityScores(sharpness=1.0, frozen_s=0.0, black_share=0.0, bars=0.0, overlay_px=None)
    for name, value in (
        ("crop_clip", "crops"),
        (
            "score_sync",
            sync.SyncScores(backend="envelope", offset_frames=0, confidence=5.0, distance=None, length_s=2.0),
        ),
        ("score_quality", (scores, ())),
        ("encode_clip", {"mp4": b"m", "flac": b"f"}),
    ):
        monkeypatch.setattr(refining, name, failing(value))
    monkeypatch.setattr(refining, "decode_for_detector", decode_nothing)
    monkeypatch.setattr(refining, "track_faces", lambda span, *_: failing(holder.dice.tracks(span))())
    for module in (scenes, faces, silence, tracking, sync, quality):
        monkeypatch.setattr(module, "decide", lambda *_, stage=module.STAGE: holder.dice.checks(stage))
    monkeypatch.setattr(pipeline, "MediaFile", lambda *_: Media(holder.dice))
    monkeypatch.setattr(pipeline, "screen_shots", lambda *_, **__: holder.dice.screen())
    monkeypatch.setattr(pipeline, "split_silence", lambda *arguments: holder.dice.split(*arguments))
    for check in ("check_unchanged", "check_still_unchanged"):
        monkeypatch.setattr(pipeline, check, lambda *_, **__: None)
    monkeypatch.setattr(pipeline, "input_digest", lambda *_: "d" * 64)
    return holder


def decide_randomly(stages: SimpleNamespace, seed: int, undecided: str) -> tuple[list[VideoOutcomes], Decided]:
    """Return the outcomes of three videos of one group, and the decisions about them with their clips."""
    stages.dice = Dice(seed)
    recipe = RECIPES[undecided]
    names = ("face_finder", "shot_network", "dlib", "syncnet", "lr_asd", "sync_head", "find_speech", "face_embedder")
    tools = SimpleNamespace(**dict.fromkeys(names), clock=StageTimer(), choice=EMBEDDED)
    videos = tuple(make_source_video(f"d/{n}.mp4", group_id="d") for n in range(3))
    results = [pipeline.curate_video(video, Path("/nowhere"), recipe.settings_for("made"), tools) for video in videos]
    return results, list(decide_unit(results, recipe, IDENTITY, UnitJob(unit=0, attempt=0, videos=videos)))


def test_random_verdicts_are_of_each_kind(random_stages: SimpleNamespace) -> None:
    """What stands for the measurements must not fail each span: the promises below would hold of nothing."""
    decisions = [d for seed in range(20) for d, _ in decide_randomly(random_stages, seed, "keep")[1]]
    assert Counter(d.status for d in decisions)["kept"] > 20
    assert {d.status for d in decisions} == {"kept", "rejected", "failed"}
    assert {d.error for d in decisions if d.status == "failed"} == {"decode", "RuntimeError", "cut_off"}


@given(seed=st.integers(0, 2**32), undecided=st.sampled_from(["keep", "reject"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_verdicts_tile_the_timeline(random_stages: SimpleNamespace, seed: int, undecided: str) -> None:
    results, decisions = decide_randomly(random_stages, seed, undecided)
    for result in results:
        video_decisions = [d for d, _ in decisions if d.video_id == result.video.video_id]
        frames = max(d.span.stop_frame for d in video_decisions)
        check_tiling((d.span for d in video_decisions), frames)
    for decision, clips in decisions:
        assert bool(clips) == (decision.status == "kept")
        for stage in STAGES_WITH_UNDECIDED:
            open_reasons = undecided_reasons(check for check in decision.checks if check.stage == stage)
            assert not (open_reasons and undecided == "reject" and decision.status == "kept")
        assert decision.reason != "undecided" or undecided == "reject"
        assert decision.clips == tuple(clip.key for clip in clips)
        assert len(set(decision.clips)) == len(clips) in (0, 2), "a clip for each of the two people"
        if decision.status == "failed":
            assert decision.error
            assert "/a/b" not in (decision.message or "")
        if decision.status == "rejected":
            assert decision.score is not None
    account = summarize_ledger(decisions_to_table(d for d, _ in decisions), IDENTITY)
    total = account.totals
    assert not account.accounting_errors
    assert total["input_frames"] == total["kept_frames"] + total["rejected_frames"] + total["failed_frames"]
    assert total["input_frames"] == sum(d.span.frames for d, _ in decisions)


@pytest.mark.parametrize(
    ("spans", "frames"),
    [([(0, 5), (6, 9)], 9), ([(0, 5), (4, 9)], 9), ([(0, 5)], 9), ([(1, 9)], 9), ([], 0), ([(0, 5), (5, 5)], 5)],
)
def test_broken_tilings_are_reported(spans: list[tuple[int, int]], frames: int) -> None:
    with pytest.raises(TilingError):
        check_tiling([Span(*span) for span in spans], frames)


def test_the_audit_reports_a_ledger_that_does_not_tile() -> None:
    from avf_curation.pipeline.outcomes import VideoOutcomes
    from support.curation_runs import kept_span, rejected_span

    video = make_source_video("a.mp4")
    result = VideoOutcomes(video=video, outcomes=(kept_span(0, 50), rejected_span(50, 60)))
    rows = [d for d, _ in decide_unit([result], RECIPES["keep"], IDENTITY, UnitJob(unit=0, attempt=0, videos=(video,)))]
    table = decisions_to_table(rows).slice(1)
    assert summarize_ledger(table, IDENTITY).accounting_errors == ("made: a.mp4",)
