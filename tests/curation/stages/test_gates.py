"""Stages can measure without rejecting or be skipped, and scoring all stages changes no verdict."""

from pathlib import Path

import numpy as np
import pytest
from avf_curation.detectors.detector_set import Detectors
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.pipeline.video import curate_video
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_curation.stages.gates import GatesConfig
from avf_shards.errors import UserError
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import EMBEDDED, make_recipe
from support.demo_files import DemoFiles

QUICK = ("faces.side_px=300", "track.side_px=300")


@pytest.fixture(scope="module")
def tools() -> Detectors:
    return Detectors(EMBEDDED)


def curate_demo_video(corpus: DemoFiles, path: str, tools: Detectors, *settings: str) -> VideoOutcomes:
    stat = corpus.draw(path).stat()
    video = Video(
        source="s", video_id=path, group_id=path, path=path, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
    return curate_video(video, corpus.folder, make_recipe(*QUICK, *settings).defaults, tools)


def verdicts(result: VideoOutcomes) -> list[str]:
    return [
        f"{outcome.candidate.failed_check.stage}/{outcome.candidate.failed_check.reason}"
        if outcome.candidate.failed_check
        else "kept"
        for outcome in result.outcomes
    ]


def stages(result: VideoOutcomes) -> set[str]:
    return {check.stage for outcome in result.outcomes for check in outcome.candidate.checks}


def test_two_faces_continue_where_the_faces_stage_only_measures_or_is_skipped(
    corpus: DemoFiles, tools: Detectors
) -> None:
    path = "street/two faces.mp4"
    assert verdicts(curate_demo_video(corpus, path, tools)) == ["faces/several_faces"]
    measured = curate_demo_video(
        corpus, path, tools, "gates.faces=measure", "gates.track=measure", "gates.sync=measure"
    )
    assert verdicts(measured) == ["kept"]
    (outcome,) = measured.outcomes
    assert outcome.candidate.measurements["faces"]["would_reject"] == ["several_faces"]
    assert "faces" not in stages(measured)
    skipped = curate_demo_video(corpus, path, tools, "gates.faces=skip")
    assert "faces" not in skipped.outcomes[0].candidate.measurements
    assert verdicts(skipped) == ["track/several_faces"]


def test_a_video_without_a_face_gives_no_clip_for_any_gates(corpus: DemoFiles, tools: Detectors) -> None:
    settings = ("gates.faces=measure", "gates.track=measure", "gates.sync=skip", "gates.quality=skip")
    assert verdicts(curate_demo_video(corpus, "street/no face.mp4", tools, *settings)) == ["track/face_lost"]


def test_a_clip_is_not_split_where_silence_is_skipped(corpus: DemoFiles, tools: Detectors) -> None:
    settings = ("gates.scenes=measure", "scenes.detectors=[]", "gates.silence=skip", "gates.sync=measure")
    result = curate_demo_video(corpus, "studio/pause.mp4", tools, *settings)
    assert verdicts(result) == ["kept"]
    assert result.outcomes[0].candidate.span.start_frame == 0
    mute = curate_demo_video(corpus, "archive/no_sound.mp4", tools, *settings)
    assert verdicts(mute) == ["kept"]
    assert mute.outcomes[0].candidate.measurements["scenes"]["would_reject"] == ["no_sound"]


def test_sound_that_is_no_speech_is_rejected_or_undecided_as_the_recipe_says(corpus: DemoFiles) -> None:
    path, tools = "studio/talk_30.mp4", Detectors(EMBEDDED)

    def curate_with(*settings: str) -> VideoOutcomes:
        return curate_demo_video(corpus, path, tools, *settings)

    assert verdicts(curate_with()) == ["kept"], "not measured"
    assert verdicts(curate_with("gates.undecided.silence=reject")) == ["silence/undecided"]
    tools.find_speech = lambda samples: np.arange(len(samples) // 640) % 10 == 0
    assert verdicts(curate_with()) == ["silence/no_speech"]
    assert "track" not in stages(curate_with())
    measured_on = curate_with("gates.score_all=1")
    assert verdicts(measured_on) == ["silence/no_speech"]
    assert {"track", "sync", "quality"} <= stages(measured_on)
    lenient = curate_with("silence.min_speech_share=0.1")
    assert verdicts(lenient) == ["kept"]
    assert lenient.outcomes[0].candidate.measurements["silence"]["speech_share"] == 0.1
    assert verdicts(curate_with("silence.speech_backend=none", "gates.undecided.silence=reject")) == ["kept"]


@pytest.mark.parametrize("path", ["street/two faces.mp4", "archive/blurred.mp4", "studio/talk_0.mp4"])
def test_scoring_all_stages_changes_no_verdict(corpus: DemoFiles, tools: Detectors, path: str) -> None:
    as_ever, further = (
        curate_demo_video(corpus, path, tools),
        curate_demo_video(corpus, path, tools, "gates.score_all=1"),
    )
    first = {outcome.candidate.failed_check for outcome in as_ever.outcomes}
    assert first == {outcome.candidate.failed_check for outcome in further.outcomes}
    assert {"scenes", "faces", "silence", "track", "sync", "quality"} <= stages(further)


def test_the_scored_sample_has_the_configured_share_and_is_seeded() -> None:
    def sample(share: float, seed: int) -> set[int]:
        gates = GatesConfig(
            scenes="decide",
            faces="decide",
            silence="decide",
            track="decide",
            speaker="decide",
            sync="decide",
            quality="decide",
            score_all=share,
            score_seed=seed,
        )
        return {n for n in range(4000) if gates.scores_past_rejection("s", f"video {n}")}

    assert 300 < len(sample(0.1, 0)) < 500
    assert sample(0.1, 0) == sample(0.1, 0) != sample(0.1, 1)
    assert sample(0.1, 0) < sample(0.2, 0)
    assert sample(0, 0) == set()
    assert len(sample(1, 0)) == 4000
    with pytest.raises(UserError, match="score_all"):
        make_recipe("gates.score_all=1.5")


def test_the_scored_sample_does_not_change_the_overlay_of_its_group(corpus: DemoFiles, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("channel/news/0.mp4", "channel/news/1.mp4", "street/two faces.mp4", "channel/clean/moving.mp4"):
        (source / name.replace("/", "_")).write_bytes(corpus.draw(name).read_bytes())
    result = {}
    for share in (0, 1):
        settings = make_recipe(*QUICK, "plan.group_by=directory", f"gates.score_all={share}")
        run = curate(settings, EMBEDDED, {"s": source}, tmp_path / f"run{share}", RunOptions(engine="inline"))
        result[share] = {
            (d.video_id, d.stage, d.reason, d.score) for d in table_to_decisions(run.ledger()) if d.stage != "faces"
        }
    pooled = {row for row in result[1] if row[2] == "watermark_pooled"}
    assert pooled == {row for row in result[0] if row[2] == "watermark_pooled"}
