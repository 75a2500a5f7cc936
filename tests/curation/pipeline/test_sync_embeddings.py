"""A run whose sync network reads LR-ASD's embedding of the face computes it once, for who speaks and for sync."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from avf_curation.audit.what_if import parse_request, what_if_run
from avf_curation.detectors.detector_set import BackendSelection, Detectors, resolve_backends
from avf_curation.detectors.lr_asd import LrAsd, LrAsdScores
from avf_curation.detectors.sync_calibration import BLANK
from avf_curation.detectors.sync_head import LearnedScore
from avf_curation.detectors.sync_head_file import HEAD_FILE, SyncHeadFile, write_head
from avf_curation.detectors.sync_training import train_towers
from avf_curation.detectors.weights import pull_weights, short_digest
from avf_curation.pipeline import refining
from avf_curation.pipeline.video import curate_video
from avf_curation.runs.curation import RunOptions, curate
from avf_curation.sources.types import Video
from avf_shards.schema.ledger import table_to_decisions
from support.curation_runs import make_recipe
from support.demo_files import DemoFiles
from support.talks import make_talk, with_embeddings
from support.trees import file_digests

QUICK = ("faces.side_px=300", "track.side_px=300")
ONE, TWO = "studio/talk_30.mp4", "street/two faces.mp4"
SETTINGS = ("sync.backend=learned", "sync.repair=false", "gates.silence=skip")  # of the run of a real talker
EACH = ("gates.faces=skip", "gates.track=measure", "track.people=each")


class Network:
    """Stands in for LR-ASD: the embeddings of a face are the number of the call, and it speaks where it is to."""

    def __init__(self, speaking: int) -> None:
        self.calls, self.speaking = 0, speaking

    def embed_span(self, grey_THW: np.ndarray) -> np.ndarray:
        self.calls += 1
        return np.full((len(grey_THW), 128), self.calls - 1, np.float32)

    def score(self, grey_THW: np.ndarray, samples: np.ndarray) -> LrAsdScores:
        embeddings_TD = self.embed_span(grey_THW)
        scores_T = np.full(len(grey_THW), 2.0 if self.calls - 1 == self.speaking else 1.0, np.float32)
        return LrAsdScores(scores_T=scores_T, embeddings_TD=embeddings_TD)


class Head:
    """Stands in for the sync network, and keeps the embeddings that it is given."""

    reads_embeddings = True

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def score(self, distances_TD: np.ndarray, *arguments: object, embeddings_TV: np.ndarray) -> LearnedScore:
        assert len(distances_TD) == len(embeddings_TV)
        self.given.append(embeddings_TV)
        return LearnedScore(offset=2, confidence=3.0, likeness=1.0)


@pytest.fixture(scope="module")
def detectors() -> Detectors:
    return Detectors(BackendSelection(track="dlib", sync="envelope", weights={}))


@pytest.fixture
def tools(detectors: Detectors, monkeypatch: pytest.MonkeyPatch) -> Detectors:
    """Return detectors with both stand-ins, and see a mouth of noise."""

    def see(mesh: object, faces_THWC: np.ndarray) -> SimpleNamespace:
        patches = np.random.default_rng(0).integers(0, 256, (len(faces_THWC), 20, 32, 3), dtype=np.uint8)
        return SimpleNamespace(distances_TD=np.zeros((len(faces_THWC), 11)), patches_THWC=patches)

    monkeypatch.setattr(refining.mouth, "measure_mouth", see)
    monkeypatch.setattr(detectors, "lr_asd", Network(speaking=1))
    monkeypatch.setattr(detectors, "sync_head", Head())
    return detectors


@pytest.mark.parametrize(
    ("path", "settings", "calls_and_expected"),
    [
        (ONE, (), (1, 0)),
        (ONE, ("gates.speaker=skip",), (1, 0)),
        (ONE, ("speaker.backend=none",), (1, 0)),
        (ONE, ("gates.sync=skip",), (1, None)),
        (ONE, ("gates.speaker=skip", "gates.sync=skip"), (0, None)),
        (TWO, ("track.people=speaker", "faces.max_several_share=1"), (2, 1)),
        (TWO, EACH, (2, 0)),
        (TWO, (*EACH, "gates.speaker=skip"), (1, 0)),
    ],
)
def test_sync_reads_the_embeddings_of_the_face_whose_clip_it_is(
    corpus: DemoFiles,
    tools: Detectors,
    path: str,
    settings: tuple[str, ...],
    calls_and_expected: tuple[int, int | None],
) -> None:
    calls, expected = calls_and_expected
    network, head = tools.lr_asd, tools.sync_head
    stat = corpus.draw(path).stat()
    video = Video(
        source="s", video_id=path, group_id=path, path=path, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )
    (outcome,) = curate_video(video, corpus.folder, make_recipe(*QUICK, *settings).defaults, tools).outcomes
    assert network.calls == calls
    assert [float(given[0, 0]) for given in head.given] == ([] if expected is None else [expected])
    measured = outcome.candidate.measurements
    assert ("speaker" in measured) == ("gates.speaker=skip" not in settings)
    if "speaker.backend=none" in settings:
        assert measured["speaker"]["backend"] == "none", "LR-ASD is there for sync alone"
    if expected is not None:
        assert measured["sync"]["offset_frames"] == 2


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_of_a_real_talker_with_such_a_network_is_repeatable_and_lawful(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copyfile(shared / "assets/video/retalking_face_2.mp4", tmp_path / "in" / "talk.mp4")
    folder = tmp_path / "weights"
    path = pull_weights("lr_asd", folder, shared / "assets/weights/lr_asd_finetuning_TalkSet.model")
    weights = train_towers([with_embeddings(make_talk(number), number) for number in range(4)], seed=0, steps=20)
    write_head(folder / HEAD_FILE, SyncHeadFile(weights=weights, card=replace(BLANK, lr_asd=short_digest(path))))
    recipe, sources, options = make_recipe(*SETTINGS), {"s": tmp_path / "in"}, RunOptions(engine="inline")
    backends = resolve_backends(recipe, folder)
    passes = []
    embed = LrAsd.embed_span
    monkeypatch.setattr(LrAsd, "embed_span", lambda self, faces: passes.append(len(faces)) or embed(self, faces))
    runs = [curate(recipe, backends, sources, tmp_path / name, options) for name in ("first", "second")]
    assert file_digests(runs[0].root) == file_digests(runs[1].root)
    assert runs[0].identity().weights.items() >= {"lr_asd": short_digest(path)}.items()
    decisions = table_to_decisions(runs[0].ledger())
    measured = [json.loads(decision.measurements) for decision in decisions]
    with_sync = [values for values in measured if "sync" in values]
    assert {values["sync"]["backend"] for values in with_sync} == {"learned"}
    spans = [faces for faces in passes if faces > 2]  # two frames are of the self-test of a worker
    assert len(spans) == 2 * sum("speaker" in values for values in measured), "one pass a span and run"
    confidences = [values["sync"]["confidence"] or 0 for values in with_sync]
    assert max(confidences) > 0, "the what-if below asks of an offset that can be told"

    request = ["sync.learned_min_confidence=0.001", "sync.learned_max_offset_frames=0"]
    predicted = what_if_run(runs[0], parse_request(request, runs[0].identity())).sources["s"]
    again = curate(make_recipe(*SETTINGS, *request), backends, sources, tmp_path / "third", options)
    kept = [row.stop_frame - row.start_frame for row in table_to_decisions(again.ledger()) if row.status == "kept"]
    assert (predicted.kept_after, predicted.unknown) == (sum(kept), 0)
    assert predicted.kept_before > 0
