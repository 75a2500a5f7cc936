"""Two people whom no cut detector divides are no clip: the span is cut where the face becomes another one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from avf_curation.demo.video import ShotScript, encode_shots, shot_frames
from avf_curation.detectors.detector_set import BackendSelection, Detectors, resolve_backends
from avf_curation.detectors.weights import ReplacedWeightsError, default_weights_folder, find_weight
from avf_curation.media.types import Bytes
from avf_curation.pipeline.outcomes import SpanOutcome
from avf_curation.pipeline.video import curate_video
from avf_curation.runs.identity import run_identity
from avf_curation.sources.types import Video
from avf_shards.errors import UserError
from avf_shards.timeline import Span, check_tiling
from support.curation_runs import EMBEDDED, make_recipe

CUT, FRAMES = 80, 170
SETTINGS = ("scenes.detectors=[]", "silence.speech_backend=none", "gates.silence=skip")


class ByColour:
    """Embeds a face by its colour: reddish ones are one person, the others another."""

    def __init__(self) -> None:
        self.count = 0

    def embed(self, faces: Sequence[Bytes]) -> npt.NDArray[np.float64]:
        self.count += len(faces)
        assert {face.shape for face in faces} == {(192, 192, 3)}
        blue_N, red_N = np.array([face[60:130, 60:130].mean((0, 1)) for face in faces])[:, (0, 2)].T
        return np.stack([np.where(red_N > 1.15 * blue_N, 0.5, 0.0), np.zeros(len(faces))], axis=1)


def write_film(path: Path, *, second: bool) -> None:
    """Write a film of a drawn speaker, who from frame `CUT` on is bluish where `second` says so."""
    frames, samples = shot_frames(ShotScript(frames=FRAMES, speakers=(0,), seed=1))
    tinted = [
        np.clip(frame * ((1.3, 1.0, 0.6) if second and index >= CUT else 1.0), 0, 255).astype(np.uint8)
        for index, frame in enumerate(frames)
    ]
    path.write_bytes(encode_shots([(iter(tinted), samples)]))


def curate(path: Path, detectors: Detectors, *settings: str) -> list[SpanOutcome]:
    stat = path.stat()
    video = Video(
        source="s",
        video_id="film",
        group_id="film",
        path=path.name,
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )
    outcomes = curate_video(video, path.parent, make_recipe(*SETTINGS, *settings).defaults, detectors).outcomes
    check_tiling((outcome.candidate.span for outcome in outcomes), FRAMES)
    return sorted(outcomes, key=lambda outcome: outcome.candidate.span)


def test_what_each_person_has_alone_is_decided_by_itself(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", second=True)
    detectors = Detectors(EMBEDDED)
    (joined,) = curate(tmp_path / "film.mp4", detectors)
    assert joined.clips, "without the network nothing tells the two apart"
    assert "identity_jump" not in joined.candidate.measurements["track"]
    assert "two_people" not in {check.reason for check in joined.candidate.checks}

    detectors.face_embedder = ByColour()
    first, change, second = curate(tmp_path / "film.mp4", detectors)
    assert [part.candidate.span for part in (first, change, second)] == [
        Span(0, CUT - 2),
        Span(CUT - 2, CUT + 2),
        Span(CUT + 2, FRAMES),
    ]
    assert first.clips
    assert second.clips
    assert not change.clips
    check = change.candidate.failed_check
    assert check is not None
    assert (check.stage, check.reason, check.setting) == ("track", "two_people", "track.max_identity_jump")
    assert check.score == pytest.approx(0.5)
    for part in (first, second):
        assert part.candidate.measurements["track"]["identity_jump"] == 0.0
        assert [check.passed for check in part.candidate.checks if check.reason == "two_people"] == [True]


def test_where_the_stage_only_measures_the_jump_is_recorded(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", second=True)
    detectors = Detectors(EMBEDDED)
    detectors.face_embedder = ByColour()
    (outcome,) = curate(tmp_path / "film.mp4", detectors, "gates.track=measure")
    assert outcome.clips
    measured = outcome.candidate.measurements["track"]
    assert (measured["identity_jump"], measured["would_reject"]) == (0.5, ["two_people"])


def test_a_recipe_that_does_not_ask_measures_nothing(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", second=False)
    detectors = Detectors(EMBEDDED)
    detectors.face_embedder = ByColour()
    (outcome,) = curate(tmp_path / "film.mp4", detectors, "track.identity=none")
    assert outcome.clips
    assert detectors.face_embedder.count == 0
    (outcome,) = curate(tmp_path / "film.mp4", detectors)
    assert outcome.clips, "one person is one clip"
    assert detectors.face_embedder.count == 8


def test_a_run_without_the_weights_does_not_ask_and_is_told_where_it_must(tmp_path: Path) -> None:
    assert resolve_backends(make_recipe(), tmp_path).identity == "none"
    with pytest.raises(UserError, match=r"(?s)track\.identity: dlib-resnet needs .*weights pull dlib_resnet"):
        resolve_backends(make_recipe("track.identity=dlib-resnet"), tmp_path)
    with pytest.raises(UserError, match="a run measures all its sources alike"):
        make_recipe("sources.s.track.identity=none")


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dlib_face_recognition_resnet_model_v1.dat"
    path.write_bytes(b"no network")
    with pytest.raises(UserError, match="weights pull dlib_resnet"):
        resolve_backends(make_recipe(), tmp_path)
    choice = BackendSelection(track="dlib", sync="envelope", weights={"dlib_resnet": path}, identity="dlib-resnet")
    with pytest.raises(UserError, match=r"\.dat: does not hold dlib's face recognition network"):
        Detectors(choice)
    with pytest.raises(ReplacedWeightsError):
        Detectors(choice, "cpu", choice.weight_digests() | {"dlib_resnet": "0" * 16})
    identity = run_identity(make_recipe(), choice, ["s"])
    assert identity.backends["identity"] == "dlib-resnet"
    assert {"dlib_resnet", "face_mesh"} <= identity.weights.keys()


@pytest.mark.real
def test_the_network_tells_two_people_apart(tmp_path: Path, shared: Path) -> None:
    folder = default_weights_folder()
    if find_weight("dlib_resnet", folder) is None:
        pytest.skip(f"needs the network in {folder}: avf-curate weights pull dlib_resnet")
    from avf_curation.media.crop import crop_square
    from avf_curation.media.decode import MediaFile
    from avf_curation.media.frame_converter import FrameConverter

    choice = resolve_backends(make_recipe(), folder)
    assert choice.identity == "dlib-resnet"
    detectors, pictures = Detectors(choice), []
    for name in ("grid_brbk7n.mpg", "grid_lrwp9a.mpg"):
        with MediaFile(shared / "assets/video" / name, make_recipe().defaults.media) as media:
            frames = [FrameConverter().long_side(item.frame, 640, "bgr24")[0] for item in media.frames()][::20]
        for frame in frames:
            (box,) = detectors.dlib.detect(np.ascontiguousarray(frame[..., 1]), 1.0, 1, 0.0)
            x, y, side = box.square
            pictures.append((name, crop_square(frame, (x, y), 1.5 * side, 192)))
    embeddings_ND = detectors.face_embedder.embed([picture for _, picture in pictures])
    distances_NN = np.linalg.norm(embeddings_ND[:, None] - embeddings_ND[None], axis=2)
    names = np.array([name for name, _ in pictures])
    is_same_NN = names[:, None] == names[None]
    assert distances_NN[is_same_NN].max() < 0.35
    assert distances_NN[~is_same_NN].min() > 0.45
    again_ND = detectors.face_embedder.embed([pictures[-1][1], pictures[0][1]])
    np.testing.assert_array_equal(again_ND, embeddings_ND[[-1, 0]], err_msg="whatever was embedded before")
