"""The speaker stage rejects a face that does not speak, and of several faces only the one that speaks has a clip."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_curation.detectors.detector_set import BackendSelection, Detectors, resolve_backends
from avf_curation.detectors.lr_asd import LrAsdScores
from avf_curation.detectors.weights import pull_weights
from avf_curation.pipeline.outcomes import SpanOutcome
from avf_curation.pipeline.video import curate_video
from avf_curation.runs.identity import run_identity
from avf_curation.sources.types import Video
from avf_curation.stages.speaker import STAGE
from avf_shards.errors import UserError
from avf_shards.schema.curve import SPEAKING_STEP, read_curve
from avf_shards.schema.measurements import Measurements
from support.curation_runs import make_recipe
from support.demo_files import DemoFiles

QUICK = ("faces.side_px=300", "track.side_px=300")
ONE, TWO = "studio/talk_30.mp4", "street/two faces.mp4"
#: What a recipe has that keeps the speaker of several faces.
SPEAKER = ("track.people=speaker", "faces.max_several_share=1")


class Network:
    """Stands in for LR-ASD: one score for each face, in the order in which the faces are asked."""

    def __init__(self, *scores: float) -> None:
        self.scores, self.shapes = list(scores), list[tuple[int, ...]]()

    def score(self, grey_THW: np.ndarray, samples: np.ndarray) -> LrAsdScores:
        assert len(samples) == 640 * len(grey_THW)
        self.shapes.append(grey_THW.shape)
        frames = len(grey_THW)
        scores_T = np.full(frames, self.scores.pop(0), np.float32)
        return LrAsdScores(scores_T=scores_T, embeddings_TD=np.zeros((frames, 128), np.float32))


@pytest.fixture(scope="module")
def tools() -> Detectors:
    return Detectors(BackendSelection(track="dlib", sync="envelope", weights={}))


def curate(corpus: DemoFiles, path: str, tools: Detectors, network: Network | None, *settings: str) -> SpanOutcome:
    tools.lr_asd = network
    stat = corpus.draw(path).stat()
    video = Video(
        source="s", video_id=path, group_id=path, path=path, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
    outcomes = curate_video(video, corpus.folder, make_recipe(*QUICK, *settings).defaults, tools).outcomes
    return max(outcomes, key=lambda outcome: outcome.candidate.span.frames)


def verdict(outcome: SpanOutcome) -> str:
    check = outcome.candidate.failed_check
    return f"{check.stage}/{check.reason}" if check else "kept"


def measured(outcome: SpanOutcome) -> dict[str, Any]:
    return dict(outcome.candidate.measurements[STAGE])


def test_a_face_that_does_not_speak_is_rejected_and_one_that_does_is_kept(corpus: DemoFiles, tools: Detectors) -> None:
    silent, talking = Network(-0.5), Network(2.04)
    rejected = curate(corpus, ONE, tools, silent)
    assert verdict(rejected) == "speaker/not_speaking"
    assert "sync" not in rejected.candidate.measurements, "nothing is measured behind a rejection"
    assert measured(rejected)["speaking_share"] == 0
    span = rejected.candidate.span
    assert silent.shapes == [(span.frames, 112, 112)]
    curve_T = read_curve(measured(rejected)["speaking_curve"], SPEAKING_STEP, "curve")
    np.testing.assert_allclose(curve_T, np.full(span.frames, -0.5), atol=1e-9)
    kept = curate(corpus, ONE, tools, talking)
    assert verdict(kept) == "kept"
    assert {"face": 0, "faces": 1, "other_share": None, "mean_score": 2.04}.items() <= measured(kept).items()
    record = Measurements.from_stages(kept.candidate.measurements).to_json()
    assert record[STAGE] == measured(kept), "the record of a clip has the curves too"


def test_what_no_network_measures_is_undecided_and_what_nobody_asks_is_not(corpus: DemoFiles, tools: Detectors) -> None:
    unmeasured = curate(corpus, ONE, tools, None)
    assert (verdict(unmeasured), measured(unmeasured)["backend"]) == ("kept", "none")
    assert [check.score for check in unmeasured.candidate.checks if check.stage == STAGE] == [None]
    assert verdict(curate(corpus, ONE, tools, None, "gates.undecided.speaker=reject")) == "speaker/undecided"
    unasked = curate(corpus, ONE, tools, None, "speaker.backend=none", "gates.undecided.speaker=reject")
    assert verdict(unasked) == "kept"
    skipped = curate(corpus, ONE, tools, Network(), "gates.speaker=skip")
    assert verdict(skipped) == "kept"
    assert STAGE not in skipped.candidate.measurements
    only_measured = curate(corpus, ONE, tools, Network(-1), "gates.speaker=measure")
    assert verdict(only_measured) == "kept"
    assert measured(only_measured)["would_reject"] == ["not_speaking"]


@pytest.mark.parametrize("speaking", [0, 1])
def test_of_two_faces_the_one_that_speaks_has_the_clip(corpus: DemoFiles, tools: Detectors, speaking: int) -> None:
    scores = [(2.0, -1.0), (-1.0, 2.0)][speaking]
    outcome = curate(corpus, TWO, tools, Network(*scores), *SPEAKER)
    assert verdict(outcome) == "kept"
    assert [clip.track for clip in outcome.clips] == [speaking]
    assert {"face": speaking, "faces": 2, "speaking_share": 1.0, "other_share": 0.0}.items() <= measured(
        outcome
    ).items()
    each = curate(corpus, TWO, tools, Network(*scores), "gates.faces=skip", "gates.track=measure", "track.people=each")
    assert [clip.track for clip in each.clips] == [0, 1]
    assert measured(each)["face"] == speaking, "the speaker is named where each face has a clip"


def test_two_faces_that_speak_at_once_or_not_at_all_are_rejected(corpus: DemoFiles, tools: Detectors) -> None:
    assert verdict(curate(corpus, TWO, tools, Network(-1, -2), *SPEAKER)) == "speaker/not_speaking"
    turns = Network(1, 1)
    turns.score = lambda grey_THW, samples: LrAsdScores(  # type: ignore[method-assign]  # each speaks half of the time
        scores_T=np.where(
            (np.arange(len(grey_THW)) < len(grey_THW) // 2) == bool(turns.scores.pop()), 3 - len(turns.scores), -1
        ).astype(np.float32),
        embeddings_TD=np.zeros((len(grey_THW), 128), np.float32),
    )
    turns.scores = [0, 1]
    outcome = curate(corpus, TWO, tools, turns, *SPEAKER)
    assert verdict(outcome) == "speaker/another_speaks"
    assert measured(outcome)["other_share"] == pytest.approx(0.5, abs=0.01)


def test_a_recipe_that_keeps_the_speaker_needs_the_network(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"track\.people: speaker needs .*\n.*weights pull lr_asd"):
        resolve_backends(make_recipe("track.people=speaker"), tmp_path)
    with pytest.raises(UserError, match=r"speaker\.backend: lr-asd needs .*\n.*weights pull lr_asd"):
        resolve_backends(make_recipe("speaker.backend=lr-asd"), tmp_path)
    with pytest.raises(UserError, match="nobody asks who speaks"):
        make_recipe("track.people=speaker", "gates.speaker=skip")
    assert resolve_backends(make_recipe(), tmp_path).names()[STAGE] == "none"


@pytest.mark.real
def test_auto_takes_the_network_where_its_weights_are(shared: Path, tmp_path: Path) -> None:
    pull_weights("lr_asd", tmp_path, shared / "assets/weights/lr_asd_finetuning_TalkSet.model")
    recipe = make_recipe()
    backends = resolve_backends(recipe, tmp_path)
    assert (backends.names()[STAGE], backends.weight_digests()["lr_asd"]) == ("lr-asd", "6b4ef53694e874e9")
    without = resolve_backends(recipe, tmp_path / "none")
    fingerprints = {run_identity(recipe, choice, ["s"]).fingerprint for choice in (backends, without)}
    assert len(fingerprints) == 2
    for setting in ("speaker.backend=none", "gates.speaker=skip"):
        assert "lr_asd" not in resolve_backends(make_recipe(setting), tmp_path).weights
