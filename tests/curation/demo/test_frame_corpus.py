"""Drawn people with the truth of every frame: what is labelled is drawn or heard, and nothing else tells it."""

import csv
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from avf_curation.demo.expressive_face import draw_expressive
from avf_curation.demo.expressive_voice import speak_with_arousal
from avf_curation.demo.face_renderer import Pose, make_speaker
from avf_curation.demo.frame_corpus import FrameCorpus, write_frame_corpus
from avf_curation.demo.performance import FaceState, make_performance
from avf_curation.detectors.dlib_faces import DlibFaceDetector
from avf_curation.sources.frame_annotations import ACTION_UNITS, EXPRESSIONS
from avf_curation.sources.source_check import check_source
from support.corpora import PLAN

SMALL = FrameCorpus(filmed={"train": 1, "test": 1}, frames=60, pictured={"train": 2, "validation": 1}, pictures=4)
DRAWN_UNITS = [name for name in ACTION_UNITS if name not in ("AU25", "AU26")]


def draw_face(mouth: float = 0.0, person: int = 4, **units: float) -> np.ndarray:
    """Return a face of 165 px in a picture of (240, 200, 3)."""
    canvas = np.full((240, 200, 3), 128, np.uint8)
    face = FaceState(units=dict.fromkeys(DRAWN_UNITS, 0.0) | units, mouth=mouth)
    draw_expressive(canvas, make_speaker(person), Pose(x=100, y=110, height=165), face)
    return canvas


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "corpus"
    write_frame_corpus(folder, SMALL)
    return folder


@pytest.mark.parametrize("unit", DRAWN_UNITS)
def test_each_action_unit_is_drawn_somewhere_of_its_own(unit: str) -> None:
    rest, shown = draw_face().astype(int), draw_face(**{unit: 1.0}).astype(int)
    changed = (np.abs(shown - rest).max(2) > 20).sum()
    assert 60 < changed < 4000, f"{changed} of {rest.shape[0] * rest.shape[1]} pixels"
    others = [draw_face(**{name: 1.0}) for name in DRAWN_UNITS if name != unit]
    assert all((np.abs(shown - other).max(2) > 20).sum() > 60 for other in others)


def test_an_open_mouth_is_drawn() -> None:
    dark = [(draw_face(mouth=mouth)[130:190].max(2) < 60).sum() for mouth in (0.0, 0.3, 0.6, 1.0)]
    assert dark == sorted(dark)
    assert dark[-1] > dark[0] + 100


@pytest.mark.parametrize("person", range(6))
def test_the_embedded_detector_sees_the_face_whatever_it_shows(person: int) -> None:
    detector = DlibFaceDetector()
    for seed in range(4):
        performance = make_performance(200, 10 * person + seed)
        face = performance.face(50 * seed, 0.5)
        picture = draw_face(face.mouth, person, **face.units)
        assert len(detector.detect(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1, 0, 0.0)) == 1


def test_the_face_tells_valence_and_action_units_and_not_arousal() -> None:
    performances = [make_performance(200, seed) for seed in range(60)]
    arousal, valence = (
        np.concatenate([getattr(each, name) for each in performances]) for name in ("arousal_T", "valence_T")
    )
    units = np.concatenate([each.units_TK for each in performances])
    expression = np.concatenate([each.expression_T for each in performances])
    design = np.column_stack([units, np.ones(len(units))])

    def explained(target: np.ndarray) -> float:
        fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
        return float(1 - np.var(target - fitted) / np.var(target))

    assert explained(valence) > 0.99
    assert explained(arousal) < 0.05
    assert set(expression) == set(range(len(EXPRESSIONS)))
    assert np.abs(arousal).max() <= 1
    for calm, excited in (("Sadness", "Anger"), ("Neutral", "Other")):
        faces = [units[expression == EXPRESSIONS.index(name)].mean(0) for name in (calm, excited)]
        assert np.abs(faces[0] - faces[1]).max() < 0.2, "the face of both is the same"


def test_the_voice_tells_arousal_and_the_mouth_does_not() -> None:
    calm, excited = (speak_with_arousal(np.full(100, arousal), 120, 5, 7) for arousal in (-0.8, 0.8))
    loudness_db = 20 * np.log10(excited.samples.std() / calm.samples.std())
    assert 10 < loudness_db < 16
    assert _pitch_hz(excited.samples) / _pitch_hz(calm.samples) == pytest.approx(2**0.8, rel=0.1)
    np.testing.assert_array_equal(excited.mouth_T, calm.mouth_T)


def _pitch_hz(samples: np.ndarray) -> float:
    """Return the strongest repetition between 60 and 300 Hz."""
    spectrum = np.abs(np.fft.rfft(samples, 1 << 18)) ** 2
    correlation = np.fft.irfft(spectrum)
    low, high = 16_000 // 300, 16_000 // 60
    return 16_000 / (low + int(correlation[low:high].argmax()))


def test_every_frame_has_a_row_and_the_source_reads_all_of_it(corpus: Path) -> None:
    videos = read_rows(corpus / "videos/labels.csv")
    assert [row["set"] for row in videos] == ["train", "test"]
    for row in videos:
        frames = read_rows(corpus / "videos" / row["frame_labels"])
        with av.open(str(corpus / "videos" / row["file"])) as container:
            decoded = sum(1 for _ in container.decode(video=0))
        assert [frame["frame"] for frame in frames] == [str(number) for number in range(1, decoded + 1)]
    check = check_source("drawn", corpus / "videos", PLAN)
    assert (check.videos, check.speakers, check.skipped_inputs) == (2, 2, ())
    counts = {task: (labels.frames, labels.invalid) for task, labels in check.frame_labels.items()}
    assert counts == dict.fromkeys(("valence_arousal", "expressions", "action_units"), (120, 0))


def test_pictures_have_labels_and_nobody_is_in_two_sets(corpus: Path) -> None:
    rows = read_rows(corpus / "pictures/labels.csv")
    assert len(rows) == 3 * SMALL.pictures
    assert all((corpus / "pictures" / row["file"]).is_file() for row in rows)
    assert all(row["expression"] in EXPRESSIONS and row["AU12"] in "01" for row in rows)
    sets = {(row["identity"], row["set"]) for row in rows}
    assert len(sets) == 3
    assert not {row["subject"] for row in read_rows(corpus / "videos/labels.csv")} & {person for person, _ in sets}


def test_the_same_corpus_has_the_same_bytes_and_another_seed_other_people(corpus: Path, tmp_path: Path) -> None:
    write_frame_corpus(tmp_path / "same", SMALL, processes=2)
    other = FrameCorpus(filmed={}, pictured=SMALL.pictured, pictures=4, seed=1)
    write_frame_corpus(tmp_path / "other", other)
    files = sorted(path.relative_to(corpus) for path in corpus.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(tmp_path / "same") for path in tmp_path.glob("same/**/*") if path.is_file())
    assert all((corpus / file).read_bytes() == (tmp_path / "same" / file).read_bytes() for file in files)
    picture = "pictures/1000/00001.jpg"
    assert (corpus / picture).read_bytes() != (tmp_path / "other" / picture).read_bytes()
