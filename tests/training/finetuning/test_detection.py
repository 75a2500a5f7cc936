"""A detector is trained on windows, tested on files, and resumes exactly; what it cannot do is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from avf_curation.media.encode import encode_flac, encode_mp4
from avf_curation.pipeline.input_check import input_digest
from avf_curation.pipeline.outcomes import EncodedClip, SpanOutcome, VideoOutcomes
from avf_curation.sources.types import Video
from avf_curation.stages import scenes
from avf_curation.stages.candidate import Candidate
from avf_shards.errors import UserError
from avf_shards.schema.forgery import ForgedSegment, Forgery
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span
from avf_training.cli.main import main
from avf_training.config.finetune import FinetuneRecipe, load_finetune_recipe
from avf_training.data.storage import StorageConfig
from avf_training.evaluation.file_windows import FileWindows
from avf_training.evaluation.results import read_predictions
from avf_training.evaluation.scoring import TimedScore
from avf_training.finetuning.finetune import train_stage
from avf_training.finetuning.reevaluate import reevaluate_run
from avf_training.models.classifier import Classifier, OutputSpec
from avf_training.models.presets import preset
from avf_training.study.detection_numbers import propose_segments
from avf_training.tasks.catalog import Dataset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import Task, fold_task
from support.clips import SIZE_PX
from support.curation_runs import make_recipe
from support.labelled import make_labelled_shards

FRAMES = 150  # 6 s
SEGMENT_S = (3.0, 4.2)
LAB = Dataset(name="lab", task="detection", split="subject_blocks", folds=2)


def _curate(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Replace `curate_video`: a fake has a bright corner and a second tone in its segment."""
    assert video.labels is not None
    values = video.labels.values
    fake = values["label"] == "fake"
    segment = ForgedSegment(start_s=SEGMENT_S[0], stop_s=SEGMENT_S[1], kind="both")
    forgery = Forgery(
        is_fake=fake,
        original=values["original"],
        kind="both" if fake else None,
        method="corner" if fake else None,
        segments=(segment,) if fake else (),
    )
    video = replace(video, labels=replace(video.labels, forgery=forgery))
    frames_bgr, times_S = [], np.arange(FRAMES * 640) / 16000
    person = sum(map(ord, values["original"]))
    for t in range(FRAMES):
        frame = np.full((SIZE_PX, SIZE_PX, 3), 60 + person * 7 % 80, np.uint8)
        if fake and SEGMENT_S[0] <= t / 25 < SEGMENT_S[1]:
            frame[: SIZE_PX // 2] = 230
        frames_bgr.append(frame)
    tone_S = 6000 * np.sin(2 * np.pi * 330 * times_S)
    forged_S = fake & (times_S >= SEGMENT_S[0]) & (times_S < SEGMENT_S[1])
    samples = np.where(forged_S, 12000 * np.sin(2 * np.pi * 1400 * times_S), tone_S).astype(np.int16)
    media = {
        "mp4": encode_mp4(frames_bgr, replace(make_recipe().defaults.clip, size_px=SIZE_PX)),
        "flac": encode_flac(samples),
    }
    checks = (Check(stage=scenes.STAGE, reason="too_short", score=FRAMES / 25, operator=">=", threshold=1.5),)
    clip = EncodedClip(media=media, window_px=300.0, size_px=SIZE_PX, shift_frames=0)
    outcome = SpanOutcome(candidate=Candidate(span=Span(0, FRAMES), checks=checks), clips=(clip,))
    return VideoOutcomes(video=video, outcomes=(outcome,), sha256=input_digest(root / video.path, None))


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    rows = [
        {"label": label, "subject": f"p{person}", "original": f"p{person}/{talk}"}
        for person in range(6)
        for talk in range(2)
        for label in ("real", "fake")
    ]
    folder = make_labelled_shards(tmp_path_factory.mktemp("forged"), {"lab": rows}, _curate)
    return LabelledShards([folder], StorageConfig())


def _recipe(**changes: Any) -> FinetuneRecipe:
    recipe = load_finetune_recipe("finetune", "deepfakes_nano", ["workers=0", "log_every=1", "validation_share=0.3"])
    return replace(recipe, batch=4, micro_batch=4, steps=2, epochs=1, **changes)


def _task(shards: LabelledShards, recipe: FinetuneRecipe) -> Task:
    return fold_task(LAB, shards, 1, recipe.modalities, recipe.validation_share)


@pytest.fixture(scope="module")
def run(shards: LabelledShards, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two steps."""
    recipe = _recipe(score_test=False, evaluate_every=10)
    folder = tmp_path_factory.mktemp("run") / "run"
    train_stage(recipe, _task(shards, recipe), None, folder)
    return folder


def test_a_short_run_tests_files_by_windows_and_chooses_how_to_pool(shards: LabelledShards, run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result["selection_metric"] == "AUC"
    entry = result["protocols"]["last"]
    assert set(entry["pooling"]["validation"]) == {"mean", "max", "top2", "noisy_or"}
    assert {"AUC", "AP", "EER", "TPR_at_1", "TPR_at_5", "ECE", "Brier", "UAR"} <= entry["scores"].keys()
    saved = Classifier.from_pretrained(run / "model")
    assert saved.output_spec.pool == entry["pooling"]["chosen"]
    assert saved.head_kind == "detector"
    predictions = read_predictions(run / "predictions" / "last.json")
    assert len(predictions.keys) == 12
    assert all(key.endswith(".mp4") for key in predictions.keys)  # files, not clips
    # 6 s: windows at 0, 1.28, 2.56 and the last at 3.36.
    starts_s = {tuple(each.start_s for each in windows) for windows in predictions.windows.values()}
    assert starts_s == {(0.0, 1.28, 2.56, 3.36)}
    assert reevaluate_run(run, shards, "last", None, "cpu")["same"] is True
    with pytest.raises(UserError, match=r"from windows 1.28 s apart; leave --segments out"):
        reevaluate_run(run, shards, "last", 3, "cpu")


def test_the_page_of_a_detector_has_its_numbers_and_those_of_the_paper_as_data(
    shards: LabelledShards, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["report-detection", "--model", str(run), "--shards", str(shards.shards[0]), "--out", str(tmp_path / "R")]
    assert main([*argv, "--protocol", "last"]) == 0
    printed = capsys.readouterr().out
    assert "6 fakes and 6 reals of 6 originals" in printed
    numbers = json.loads((tmp_path / "R" / "detection.json").read_text())
    scores = {score["name"]: score for score in numbers["scores"]}
    tested = json.loads((run / "result.json").read_text())["protocols"]["last"]["scores"]
    assert scores["AUC"]["value"] == tested["AUC"]["value"]
    assert scores["AUC"]["low"] <= scores["AUC"]["value"] <= scores["AUC"]["high"]
    assert [(kind["name"], kind["fakes"], kind["reals"]) for kind in numbers["kinds"]] == [("both", 6, 6)]
    assert [method["name"] for method in numbers["methods"]] == ["corner"]
    assert set(numbers["segments"]) == {"AP at 0.5", "AP at 0.75", "AP at 0.9", "AP at 0.95", "AR of 50"}
    page = (tmp_path / "R" / "detection.html").read_text()
    assert "They are no targets" in page
    assert "contradict themselves" in page
    assert "98.72" in page
    assert '"start":3.0,"stop":4.2' in page  # a true segment of a timeline
    assert main([*argv, "--protocol", "last"]) == 0  # a page of its own is replaced
    (tmp_path / "R" / "detection.html").write_text("mine")
    assert main([*argv, "--protocol", "last"]) == 2
    assert "is there already and is not a page of this program" in capsys.readouterr().err


def test_a_page_needs_a_detector_with_reals_and_fakes(
    shards: LabelledShards, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "predictions" / "last.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"truth": [1.0] * len(values["truth"])}))
    argv = ["report-detection", "--shards", str(shards.shards[0]), "--out", str(tmp_path / "R"), "--protocol", "last"]
    assert main([*argv, "--model", str(copy)]) == 2
    assert "there is no real file among its test clips" in capsys.readouterr().err
    assert main([*argv, "--model", str(tmp_path)]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert not (tmp_path / "R").exists()


def test_runs_of_windows_are_proposed_as_segments() -> None:
    windows = [TimedScore(start_s=1.28 * number, score=score) for number, score in enumerate([0.05, 0.9, 0.85, 0.2])]
    best, *others = propose_segments(windows, 2.56)
    assert best == (0.9, pytest.approx(1.92), pytest.approx(3.2))  # above 0.9; a window stands for its middle
    assert (pytest.approx(0.875), pytest.approx(1.92), pytest.approx(4.48)) in others
    assert others[-1][0] == pytest.approx((0.9 + 0.85 + 0.2) / 3)


@pytest.mark.slow
def test_a_detector_finds_a_short_forgery_of_people_it_has_never_seen(shards: LabelledShards, tmp_path: Path) -> None:
    recipe = replace(_recipe(), steps=150, evaluate_every=4)
    result = json.loads(train_stage(recipe, _task(shards, recipe), None, tmp_path / "run").read_text())
    assert result["protocols"]["last"]["scores"]["AUC"]["value"] > 0.95
    windows = read_predictions(tmp_path / "run" / "predictions" / "last.json").windows
    fakes = {clip.key for clip in shards.clips() if clip.labels and clip.labels.values["label"] == "fake"}
    # In a fake the windows on the segment are told from the one before it.
    before, on = zip(*((rows[0].score, rows[-1].score) for key, rows in windows.items() if key in fakes), strict=True)
    assert np.mean(on) > np.mean(before) + 0.5


def test_the_pool_with_the_best_auc_is_chosen(shards: LabelledShards) -> None:
    task = _task(shards, _recipe())
    keys = {clip.key: clip for clip in shards.clips()}
    # A fake has one high window among low ones; the mean of a real is higher.
    scores = {key: (0.9, 0.0, 0.0) if task.truth[key] else (0.5, 0.5, 0.5) for key in keys}
    windows = {
        key: tuple(TimedScore(start_s=1.28 * number, score=score) for number, score in enumerate(row))
        for key, row in scores.items()
    }
    files = FileWindows(task=replace(task, group_of={}), windows=windows, unreadable=())
    assert files.score_pools() == {"mean": 0.0, "max": 1.0, "top2": 0.0, "noisy_or": 1.0}
    assert files.best_pool() == "max"


def test_settings_that_do_not_fit_are_refused_in_words(shards: LabelledShards, tmp_path: Path) -> None:
    recipe = _recipe()
    task = _task(shards, recipe)
    without = replace(task, validation=())
    with pytest.raises(UserError, match="no validation clips to choose how windows are pooled"):
        train_stage(recipe, without, None, tmp_path / "run")
    with pytest.raises(UserError, match="calibrate is for a probability of each clip"):
        train_stage(replace(recipe, calibrate=True), task, None, tmp_path / "run")
    emotion = replace(task, data=replace(LAB, task="emotion"))
    with pytest.raises(UserError, match="pool is for detection of fakes"):
        train_stage(replace(recipe, pool="max"), emotion, None, tmp_path / "run")
    with pytest.raises(ValueError, match="head detector joins sound and video, and modalities are v"):
        _recipe(modalities="v")
    with pytest.raises(ValueError, match="hop_s 0 must be above 0"):
        _recipe(hop_s=0.0)
    assert not (tmp_path / "run").exists()


def test_mixup_never_makes_a_forgery(shards: LabelledShards) -> None:
    recipe = load_finetune_recipe("finetune", "avfmaepp_b")
    assert recipe.mix.any
    assert not recipe.mixing(LAB).any


@pytest.fixture(scope="module")
def one_fake(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return shards with a fake and its real, and a detector that has learned nothing."""
    rows = [{"label": label, "subject": "p", "original": "p"} for label in ("real", "fake")]
    folder = tmp_path_factory.mktemp("two")
    shards = make_labelled_shards(folder, {"lab": rows}, _curate)
    spec = OutputSpec(names=("real", "fake"), pool="max")
    Classifier(preset("nano"), 2, output_spec=spec, head="detector").save_pretrained(folder / "model")
    return shards, folder / "model"


def test_predict_says_how_likely_a_fake_is_over_time_and_what_is_true(
    one_fake: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards, model = map(str, one_fake)
    out = tmp_path / "p.json"
    assert main(["predict", shards, "--model", model, "--out", str(out), "--out", str(tmp_path / "p.png")]) == 0
    assert "p(fake)" in capsys.readouterr().out
    rows = {row["video_id"]: row for row in json.loads(out.read_text())}
    assert rows["000.mp4"]["forged_s"] == []
    assert rows["001.mp4"]["forged_s"] == [list(SEGMENT_S)]
    for row in rows.values():
        assert row["pool"] == "max"
        assert row["fake"] == max(window["scores"][1] for window in row["windows"])
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_what_no_submission_can_come_of_is_refused_before_clips_are_predicted(
    one_fake: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shards, model = map(str, one_fake)
    monkeypatch.delattr("avf_training.inference.feature_model.FeatureModel.features_over_time")
    (tmp_path / "list.txt").write_text("test/001.mp4\ntest/gone.mp4\n000.mp4\n")
    Classifier(preset("nano"), 2, output_spec=OutputSpec(names=("joy", "anger"))).save_pretrained(tmp_path / "joy")
    for path, message in (
        (model, "test/gone.mp4: has no prediction, as 1 of 3 listed files"),
        (str(tmp_path / "joy"), "has learned joy, anger, not real and fake"),
    ):
        argv = ["score-files", shards, "--model", path, "--list", str(tmp_path / "list.txt")]
        assert main([*argv, "--out", str(tmp_path / "answers.txt")]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "answers.txt").exists()


def test_a_submission_answers_every_listed_file(
    one_fake: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shards, model = map(str, one_fake)
    (tmp_path / "list.txt").write_text("test/001.mp4\ntest/gone.mp4\n000.mp4\n")
    argv = ["score-files", shards, "--model", model, "--list", str(tmp_path / "list.txt")]
    out = tmp_path / "answers.txt"
    assert main([*argv, "--out", str(out), "--absent", "0.5"]) == 0
    assert "test/gone.mp4: no prediction" in capsys.readouterr().out
    names, scores = zip(*(line.split(";") for line in out.read_text().splitlines()), strict=True)
    assert names == ("test/001.mp4", "test/gone.mp4", "000.mp4")
    assert scores[1] == "0.500000"
    assert all(0 < float(score) < 1 for score in scores)
