"""The learned sync network finds offsets of talkers it was not trained on, in the same bytes every time."""

import errno
import json
import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_curation.detectors import detector_set
from avf_curation.detectors.detector_set import BackendSelection, resolve_backends
from avf_curation.detectors.envelope_sync import score_envelope_sync
from avf_curation.detectors.face_mesh import FaceMesh
from avf_curation.detectors.mouth import measure_mouth
from avf_curation.detectors.shipped_weights import SYNC_HEAD
from avf_curation.detectors.sync_calibration import (
    BLANK,
)
from avf_curation.detectors.sync_head import (
    LearnedScore,
    SyncHead,
    mel_levels,
    standardise_distances,
    standardise_levels,
)
from avf_curation.detectors.sync_head_file import (
    CARD_KEY,
    HEAD_FILE,
    KERNELS,
    SyncHeadFile,
    read_head,
    write_head,
)
from avf_curation.detectors.sync_training import TwoTowers, train_towers
from avf_curation.detectors.weights import KNOWN
from avf_curation.media.decode import MediaFile
from avf_curation.pipeline import refining
from avf_curation.pipeline.screening import screen_shots
from avf_curation.runs.identity import run_identity
from avf_shards.errors import FaultError, UserError
from avf_shards.schema.versions import stamp
from avf_shards.system import durable_io
from avf_shards.timeline import Span
from safetensors.numpy import save
from support.curation_runs import make_recipe
from support.talks import make_talk


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return train_towers([make_talk(number) for number in range(8)], seed=3, steps=50)


@pytest.fixture
def head_file(weights: dict[str, np.ndarray], tmp_path: Path) -> Path:
    write_head(tmp_path / HEAD_FILE, SyncHeadFile(weights=weights, card=replace(BLANK, unit=2.0, sources=("s",))))
    return tmp_path / HEAD_FILE


@pytest.mark.parametrize("shift", [-9, 0, 4])
def test_an_offset_of_a_talker_who_was_not_trained_on_is_found(head_file: Path, shift: int) -> None:
    talk = make_talk(20, 200)
    samples = np.roll(talk.samples, -shift * 640)
    head = SyncHead.from_file(head_file)
    likeness_S = head.likeness_by_shift(talk.distances_TD, samples, 15)
    assert int(np.argmax(likeness_S)) - 15 == shift
    score = head.score(talk.distances_TD, samples, np.zeros(31), 1.0, 15)
    assert (score.offset, score.likeness) == (shift, likeness_S.max())
    assert score.confidence > 0
    doubled = SyncHead(SyncHeadFile(weights=read_head(head_file).weights, card=replace(BLANK, unit=4.0)))
    assert doubled.score(talk.distances_TD, samples, np.zeros(31), 1.0, 15).confidence == score.confidence / 2


@pytest.mark.parametrize(("frames", "shift"), [(200, 15), (200, -14), (74, 0)])
def test_no_offset_is_told_at_the_rim_or_in_less_than_three_seconds(head_file: Path, frames: int, shift: int) -> None:
    talk = make_talk(20, frames)
    samples = np.roll(talk.samples, -shift * 640)
    assert SyncHead.from_file(head_file).score(talk.distances_TD, samples, np.zeros(31), 1.0, 15).confidence == 0


def test_numpy_and_torch_give_the_same_embeddings(weights: dict[str, np.ndarray]) -> None:
    """An offset of the two curves would show a stride or a margin that differs."""
    network, talk = TwoTowers().eval(), make_talk(21)
    state = network.state_dict()
    for name in KERNELS:
        tower, number = name.split(".")
        position = 3 * int(number)  # a ReLU and a dropout lie between two convolutions
        for kind in ("weight", "bias"):
            state[f"towers.{tower}.{position}.{kind}"] = torch.from_numpy(weights[f"{name}.{kind}"])
    network.load_state_dict(state)
    mouth_TD = standardise_distances(talk.distances_TD)
    levels_TF = standardise_levels(mel_levels(talk.samples, len(mouth_TD)))
    with torch.inference_mode():
        mouth, sound = network(torch.from_numpy(mouth_TD).T[None], torch.from_numpy(levels_TF).T[None])
    expected = float((mouth[0] * sound[0]).sum(0).mean())
    likeness_S = SyncHead(SyncHeadFile(weights=weights, card=BLANK)).likeness_by_shift(
        talk.distances_TD, talk.samples, 1
    )
    assert likeness_S[1] == pytest.approx(expected, abs=1e-5)


def test_the_same_talks_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    talks = [make_talk(number) for number in range(3)]
    digests = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(seed + 99)  # what ran before must not matter
        file = SyncHeadFile(weights=train_towers(talks, seed, steps=3), card=BLANK)
        digests.append(write_head(tmp_path / name, file))
    assert digests[0] == digests[1] != digests[2]


def _with_card(path: Path, text: str | None) -> None:
    """Write a network with another text as its card."""
    weights = dict(read_head(path).weights)
    path.write_bytes(save(weights, {} if text is None else {CARD_KEY: text}))


def test_two_processes_may_write_at_once(weights: dict[str, np.ndarray], tmp_path: Path) -> None:
    path, first, second = (tmp_path / HEAD_FILE, *(replace(BLANK, unit=unit) for unit in (2.0, 3.0)))
    writes = []

    def write_beside(operation: str, written: Path) -> None:
        if not writes:
            writes.append(operation)
            write_head(path, SyncHeadFile(weights=weights, card=second))

    with durable_io.watch(write_beside):
        write_head(path, SyncHeadFile(weights=weights, card=first))
    assert writes == ["create"]
    assert read_head(path).card == first
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_network_that_was_there(head_file: Path) -> None:
    before, weights = head_file.read_bytes(), read_head(head_file).weights

    def fill(operation: str, path: Path) -> None:
        if operation == "half a write":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with durable_io.watch(fill), pytest.raises(OSError, match="No space left") as refusal:
        write_head(head_file, SyncHeadFile(weights=weights, card=BLANK))
    assert refusal.value.filename == str(head_file), "the name of a temporary file tells nobody which disk is full"
    assert head_file.read_bytes() == before
    assert list(head_file.parent.iterdir()) == [head_file]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("unit", math.inf), ("unit", math.nan), ("unit", 1e-300), ("unit", 1e30), ("people", -4), ("clips", -1),
        ("pieces", -1), ("seed", -1), ("seconds", math.inf), ("seconds", -1.0), ("told_share", 7.0),
        ("right_share", -1.0), ("right_share", math.nan),
    ],
)  # fmt: skip
def test_a_card_that_no_training_writes_is_refused(head_file: Path, name: str, value: float) -> None:
    card = replace(BLANK, **{name: value})  # type: ignore[arg-type]  # the name is any of the fields
    with pytest.raises(FaultError, match=f"its card has {name} "):
        write_head(head_file, SyncHeadFile(weights=read_head(head_file).weights, card=card))
    _with_card(head_file, json.dumps(stamp(asdict(card), "sync head")))
    with pytest.raises(
        UserError, match=rf"is not a sync network .* \(its card has {name} .*\); move it away, or learn"
    ):
        read_head(head_file)


@pytest.mark.parametrize("factor", [0.0, 1e30])
def test_weights_that_no_training_writes_are_refused(
    head_file: Path, weights: dict[str, np.ndarray], factor: float
) -> None:
    changed = {name: np.float32(factor) * value for name, value in weights.items()}
    card = json.dumps(stamp(asdict(BLANK), "sync head"))
    head_file.write_bytes(save(changed, {CARD_KEY: card}))
    with pytest.raises(UserError, match=r"is not a sync network .* as its largest weight"):
        read_head(head_file)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        (None, "has no card of learn-sync, so it is no sync network of this program"),
        ("{", "is not a sync network of avf-curate learn-sync (its card is not readable as a JSON object)"),
        ("[1]", "is not a sync network of avf-curate learn-sync (its card is not readable as a JSON object)"),
        ('{"schema_version": 1}', "is not a sync network of avf-curate learn-sync (its card: unit"),
        (
            '{"schema_version": 99}',
            "its card: sync head file of schema version 99, this program understands versions up to 1; update",
        ),
        ("{}", "its card: is not the sync head file of avf-foundry 0.2 or later: its schema_version is null"),
    ],
)
def test_a_card_that_cannot_be_used_is_told_in_a_sentence(head_file: Path, card: str | None, message: str) -> None:
    _with_card(head_file, card)
    with pytest.raises(UserError) as caught:
        read_head(head_file)
    text = str(caught.value)
    assert text.startswith(f"{head_file}: {message}")
    assert text.endswith("move it away, or learn one with avf-curate learn-sync")
    assert text.count(str(head_file)) == 1
    assert not re.search("line|column|char", text)


def _cut(data: bytes) -> bytes:
    return data[:-100]


def _rename(data: bytes) -> bytes:
    return data.replace(b"mouth.1.bias", b"mouth.9.bias")


def _zero_unit(data: bytes) -> bytes:
    return data.replace(b'\\"unit\\": 2.0', b'\\"unit\\": 0.0')


def _not_finite(data: bytes) -> bytes:
    return data[:-4] + b"\xff\xff\xff\x7f"


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _rename,
        _zero_unit,
        _not_finite,
        lambda data: b"",
        lambda data: b"{" * 2000,
        lambda data: data + bytes(10**6),
    ],
)
def test_a_file_of_other_content_is_refused(head_file: Path, damage: Callable[[bytes], bytes]) -> None:
    read_head(head_file)
    head_file.write_bytes(damage(head_file.read_bytes()))
    with pytest.raises(UserError, match=r"is not a sync network of avf-curate learn-sync") as caught:
        read_head(head_file)
    assert not re.search("line|column", str(caught.value))


AUTO = "sync.backend=auto"  # the recipes of tests have the envelope, which is faster


def test_a_run_takes_the_network_of_the_weights_folder_and_its_digest(head_file: Path, tmp_path: Path) -> None:
    learned = resolve_backends(make_recipe(AUTO), tmp_path)
    assert (learned.sync, learned.names()["sync"]) == ("learned", "learned")
    assert learned.weights["sync_head"] == head_file
    digests = learned.weight_digests()
    assert len(digests["sync_head"]) == len(digests["face_mesh"]) == 16
    envelope = resolve_backends(make_recipe("sync.backend=envelope"), tmp_path)
    assert envelope.sync == "envelope"
    before = run_identity(make_recipe(AUTO), learned, ["s"]).fingerprint
    assert before != run_identity(make_recipe(AUTO), envelope, ["s"]).fingerprint
    write_head(head_file, SyncHeadFile(weights=read_head(head_file).weights, card=replace(BLANK, unit=3.0)))
    assert before != run_identity(make_recipe(AUTO), resolve_backends(make_recipe(AUTO), tmp_path), ["s"]).fingerprint


@pytest.mark.parametrize("backend", ["auto", "learned"])
def test_without_a_network_of_its_own_a_run_takes_that_of_the_package(
    backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        packaged = resolve_backends(make_recipe(f"sync.backend={backend}"), tmp_path)
    assert (packaged.sync, packaged.weights["sync_head"]) == ("learned", SYNC_HEAD.path)
    assert packaged.weight_digests()["sync_head"] == SYNC_HEAD.sha256[:16]
    (line,) = [record.getMessage() for record in caplog.records if record.getMessage().startswith("sync: ")]
    assert line == f"sync: backend learned with the network of the package, because {tmp_path / HEAD_FILE} is not there"


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "own_offset"), [pytest.param("retalking_face_1", 2, marks=pytest.mark.slow), ("retalking_face_2", -1)]
)
def test_the_network_of_the_package_finds_the_offsets_of_real_talkers(shared: Path, name: str, own_offset: int) -> None:
    """The offsets are a consensus of three other methods; the clips are no training clips."""
    score = score_real_talker(shared / f"assets/video/{name}.mp4", Span(0, 125))
    assert abs(score.offset - own_offset) <= 1


@pytest.mark.real
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the program ffmpeg, which scales the film, is not here")
@pytest.mark.parametrize(
    ("track", "crf_span"),
    [
        pytest.param("retinaface-mobilenet", ("23", Span(0, 200)), marks=pytest.mark.slow),
        ("retinaface-mobilenet", ("23", Span(75, 150))),
        pytest.param("dlib", ("23", Span(75, 150)), marks=pytest.mark.slow),
        pytest.param("retinaface-mobilenet", ("18", Span(50, 200)), marks=pytest.mark.slow),
        pytest.param("retinaface-mobilenet", ("23", Span(100, 200)), marks=pytest.mark.slow),
    ],
)
def test_no_offset_is_told_of_a_real_talker_in_sync_whose_mouth_moves_little(
    shared: Path, real_weights: Path, tmp_path: Path, track: str, crf_span: tuple[str, Span]
) -> None:
    """The sound is in place; -12, 10, 12, -11 and -9 frames led by confidences of 1.1, 2.4, 2.1, 2.2 and 3.4."""
    crf, span = crf_span
    source = str(shared / "assets/video/latentsync_demo2.mp4")
    film = tmp_path / "film.mp4"
    command = ["ffmpeg", "-v", "error", "-ss", "2", "-t", "8", "-i", source, "-vf", "scale=360:640", "-r", "25"]
    subprocess.run([*command, "-crf", crf, "-pix_fmt", "yuv420p", "-threads", "1", str(film)], check=True)
    weights = {"retinaface": real_weights / KNOWN["retinaface_mobilenet"].file_name}
    choice = BackendSelection(track=track, sync="envelope", weights={} if track == "dlib" else weights)
    assert score_real_talker(film, span, choice).confidence == 0


DLIB = BackendSelection(track="dlib", sync="envelope", weights={})


def score_real_talker(path: Path, span: Span, choice: BackendSelection = DLIB) -> LearnedScore:
    """Return what the network of the package says about a span of a film."""
    settings = make_recipe().defaults
    with MediaFile(path, settings.media) as media:
        detectors = detector_set.Detectors(choice)
        video_track, _ = screen_shots(media, settings.scenes, settings.faces, detectors.face_finder)
        audio = media.audio(video_track.frames)
        detector_frames = refining.decode_for_detector(media, span, settings.track.side_px, detectors)
        (track, *_) = refining.track_faces(detector_frames, detectors, settings.track)
        faces_THWC = refining.crop_clip(media, detector_frames, track, settings, detectors).face_THWC
    assert audio is not None
    seen, samples = measure_mouth(FaceMesh.from_program(), faces_THWC), audio.cut(span)
    envelope = score_envelope_sync(seen.patches_THWC, samples, 15)
    assert envelope is not None
    head = SyncHead.from_file(SYNC_HEAD.path)
    return head.score(seen.distances_TD, samples, envelope.curve_S, envelope.mouth_motion, 15)
