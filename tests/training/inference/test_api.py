"""A trained model gives predictions over time, features and an exported file, in Python and on the command line."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from avf_curation.cli.main import main as curate_main
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_shards.errors import UserError
from avf_training import embed_clips, predict
from avf_training.cli.main import main
from avf_training.config.finetune import load_finetune_recipe
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.finetune import train_stage
from avf_training.inference.feature_model import FeatureModel, frame_tokens
from avf_training.models.classifier import Classifier, OutputSpec
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import preset
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.task import fold_task
from support.labelled import LABELS, make_dataset, make_label_rows, make_labelled_shards
from support.models import random_batch, tiny_config
from support.training_runs import SHALLOW

SETS = [
    *(SHALLOW, "batch=6", "micro_batch=6", "workers=0", "epochs=18", "threads=1"),
    *("validation_share=0", "evaluate_every=18"),
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """shards/ of labelled clips, and run/, a model that has learned from some of them."""
    folder = tmp_path_factory.mktemp("lab")
    make_labelled_shards(folder, {"lab": make_label_rows(6, 3)})
    recipe = load_finetune_recipe("finetune", "nano", SETS)
    task = fold_task(make_dataset(), LabelledShards([folder / "shards"], StorageConfig()), 1, "av", 0.0)
    train_stage(recipe, task, None, folder / "run")
    return folder


def test_predictions_are_right_for_subjects_outside_the_training_set(lab: Path) -> None:
    tested = json.loads((lab / "run/run.json").read_text())
    truth = dict(zip(tested["test"], tested["truth"], strict=True))
    predictions = [clip for clip in predict(lab / "shards", lab / "run") if clip.keys[0] in truth]
    assert len(predictions) == 18
    assert all(clip.names == LABELS for clip in predictions)
    assert np.mean([clip.best == LABELS[truth[clip.keys[0]]] for clip in predictions]) > 0.8
    for clip in predictions:
        (window,) = clip.windows
        assert (window.start_s, window.stop_s) == (0.0, 2.56)
        assert sum(window.scores) == pytest.approx(1, abs=1e-5)


def test_the_command_writes_predictions_and_a_figure(
    lab: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    argv = ["predict", str(lab / "shards"), "--model", str(lab / "run"), "--out", str(tmp_path / "p.png")]
    argv += ["--out", str(tmp_path / "p.csv"), "--out", str(tmp_path / "p.srt")]
    assert main([*argv, "--json", str(tmp_path / "p.json")]) == 0
    printed = capsys.readouterr().out
    assert "2.6  right 100 %" in printed
    assert "and 16 more people" in printed
    assert f"subtitles {tmp_path / 'p'}/" in printed
    assert (tmp_path / "p/001.srt").read_text().startswith("1\n00:00:00,000 --> 00:00:02,560\n")
    assert (tmp_path / "p.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    table = (tmp_path / "p.csv").read_text().splitlines()
    assert table[0] == "source,video,person,start_s,stop_s,best,left,right"
    assert len(table) == 1 + 36
    rows = json.loads((tmp_path / "p.json").read_text())
    assert {row["best"] for row in rows} <= set(LABELS)
    assert set(rows[0]) == {"source", "video_id", "path", "person", "names", "classes", "windows", "mean", "best"}


def test_a_pre_trained_model_gives_features_and_refuses_predictions(lab: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    MaskedAutoencoder(preset("nano")).save_pretrained(tmp_path / "mae")
    with pytest.raises(UserError, match="cannot predict; fine-tune it first"):
        predict(lab / "shards", tmp_path / "mae")
    table = embed_clips(lab / "shards", tmp_path / "mae", ["fused"])
    assert table.num_rows == 36
    with pytest.raises(UserError, match="no such feature: fuzed; the features are video, audio"):
        embed_clips(lab / "shards", tmp_path / "mae", ["fuzed"])


def test_features_equal_the_output_of_the_encoder(
    lab: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "f.parquet"
    assert main(["embed", str(lab / "shards"), "--model", str(lab / "run"), "--out", str(out)]) == 0
    assert "36 windows of 36 clips" in capsys.readouterr().out
    table = pq.read_table(out)
    row = table.slice(0, 1).to_pylist()[0]
    model = Classifier.from_pretrained(lab / "run/model")
    assert len(row["fused"]) == 2 * 96
    assert (len(row["regions_video"]), len(row["regions_video"][0])) == (8, 96)
    assert len(row["frames"]) == 8, "a feature for each pair of the sixteen pictures"
    head = model.head(torch.tensor(row["fused"])).softmax(-1)
    prediction = next(clip for clip in predict(lab / "shards", lab / "run") if row["key"] in clip.keys)
    assert head.tolist() == pytest.approx(list(prediction.windows[0].scores), abs=1e-5)


def test_frame_indices_are_in_order_of_time() -> None:
    for encoder in ("lgi", "vit"):
        config = tiny_config(encoder, "cross" if encoder == "vit" else "iavcl")
        torch.manual_seed(1)
        model = Classifier(config, 2).eval()
        video, _ = random_batch(config, 2)
        assert video is not None
        before = frame_tokens(model.encoder_video, video)
        changed = video.clone()
        changed[:, :, 6:8] += 3  # the fourth tube
        moved = (frame_tokens(model.encoder_video, changed) - before).norm(dim=-1)
        assert before.shape[1] == config.geometry.video_grid[0]
        assert (moved.argmax(1) == 3).all()
        assert model.encoder_video.output_tokens == ("region" if encoder == "lgi" else "local"), "left as it was"


def test_windows_cover_a_clip_from_end_to_end(lab: Path) -> None:
    model = FeatureModel(lab / "run")
    assert [(window.start_frame, window.stop_frame) for window in model.windows(40, 0.64)] == [(0, 40)]
    starts = [window.start_frame for window in model.windows(250, 0.64)]
    assert starts == [*range(0, 187, 16), 184]
    assert all(start % 4 == 0 for start in starts)


@pytest.mark.slow
def test_an_onnx_file_gives_the_same_predictions(lab: Path, tmp_path: Path) -> None:
    for package in ("onnx", "onnxscript"):
        pytest.importorskip(package)
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "model.onnx"
    assert main(["export", "--model", str(lab / "run"), "--out", str(out)]) == 0
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["video", "audio"]
    assert [value.name for value in session.get_outputs()] == ["scores"]


def test_onnx_without_its_packages_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", "--model", "none", "--out", str(tmp_path / "m.onnx")]) == 2
    assert "m.onnx: onnx is not installed; pip install 'avf-foundry[onnx]'" in capsys.readouterr().err


@pytest.mark.slow
def test_an_exported_model_gives_the_same_predictions(
    lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.pt2"
    assert main(["export", "--model", str(lab / "run"), "--out", str(out)]) == 0
    assert "left, right" in capsys.readouterr().out
    program = torch.export.load(out).module()
    model = Classifier.from_pretrained(lab / "run/model")
    video, audio = (
        torch.randn(4, *model.config.geometry.video_shape),
        torch.randn(4, *model.config.geometry.audio_shape),
    )
    with torch.no_grad():
        torch.testing.assert_close(
            program(video, audio), model.predictions(model(video, audio).logits_BJ), atol=1e-5, rtol=0
        )
    with pytest.raises(SystemExit, match="2"):
        main(["export", "--model", str(lab / "run"), "--out", str(out)])
    assert "is there already" in capsys.readouterr().err


@pytest.mark.slow
def test_a_raw_video_is_predicted_in_one_step_with_a_timeline_of_each_person(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    videos = tmp_path / "videos"
    videos.mkdir()
    shots = (
        ShotScript(frames=50, speakers=(501, 502), seed=4, face_px=140),
        ShotScript(frames=45, speakers=(501,), seed=5),
        ShotScript(frames=40, speakers=(503,), seed=6),
    )
    video = videos / "two then one.mp4"
    video.write_bytes(encode_video(VideoScript(shots=shots)))
    words = ["--model", str(lab / "run"), "--device", "cpu"]
    outs = ["--out", "p.json", "--out", "p.srt", "--out", "p.eaf"]
    assert main(["predict", str(video), *words, "--keep-clips", "clips", *outs]) == 0
    assert "after a cut, one may have two numbers" in capsys.readouterr().out
    rows = json.loads(Path("p.json").read_text())
    assert [(row["video_id"], row["person"]) for row in rows] == [(video.name, number) for number in range(3)]
    starts = sorted([window["start_s"] for window in row["windows"]] for row in rows)
    assert starts == [[0.0], [0.0, 2.0], [3.8]], "one goes on in the second shot, and somebody new is in the third"
    assert not list(tmp_path.glob("*.png"))
    longest = next(row for row in rows if len(row["windows"]) == 2)
    # Which label faces unlike those of the training get is luck: the subtitles must agree with the table.
    first, second = (longest["names"][int(np.argmax(window["scores"]))] for window in longest["windows"])
    name = f"person {longest['person'] + 1}"
    subtitles = Path("p.srt").read_text()
    if first == second:
        assert f"00:00:00,000 --> 00:00:03,800\n{name}: {first} " in subtitles
    else:
        assert f"00:00:00,000 --> 00:00:02,000\n{name}: {first} " in subtitles
        assert f"00:00:02,000 --> 00:00:03,800\n{name}: {second} " in subtitles
    assert f'MEDIA_URL="file://{video}"' in Path("p.eaf").read_text()
    assert main(["predict", "clips", *words, "--out", "clips.eaf"]) == 0
    assert f'MEDIA_URL="file://{video}"' in Path("clips.eaf").read_text(), "the clips remember their video"
    capsys.readouterr()

    assert main(["predict", str(video), *words, "--keep-clips", "clips"]) == 0, "the same clips again"
    assert Path("two then one.predicted.png").read_bytes()[:4] == b"\x89PNG"
    assert main(["embed", str(video), *words, "--keep-clips", "clips", "--out", "f.parquet", "--kinds", "fused"]) == 0
    assert "f.parquet: 4 windows of 4 clips" in capsys.readouterr().out
    assert main(["reconstruct", "clips", "--preset", "nano", "--out", "r.png"]) == 0

    wall = tmp_path / "wall.mp4"
    wall.write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=()),))))
    assert main(["predict", str(wall), *words]) == 2
    assert "wall.mp4: no clip can be cut from it: " in capsys.readouterr().err
    (videos / "wall.mp4").symlink_to(wall)
    assert [person.video_id for person in predict(videos, lab / "run")] == [video.name] * 3
    assert main(["predict", "none.mp4", *words]) == 2
    assert "none.mp4: no such file or folder; name a video" in capsys.readouterr().err


@pytest.mark.slow
def test_videos_are_cut_into_clips_of_each_person(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shots = (
        ShotScript(frames=50, speakers=(501, 502), seed=4, face_px=140),
        ShotScript(frames=45, speakers=(503,), seed=5),
    )
    (tmp_path / "two then one.mp4").write_bytes(encode_video(VideoScript(shots=shots)))
    argv = ["clip", str(tmp_path / "two then one.mp4"), "--out", str(tmp_path / "out"), "--set", "clip.size_px=64"]
    assert curate_main([*argv, "--json", str(tmp_path / "c.json")]) == 0
    rows = json.loads((tmp_path / "c.json").read_text())
    assert [(row["start_s"], row["stop_s"], row["person"]) for row in rows] == [
        (0.0, 2.0, 0),
        (0.0, 2.0, 1),
        (2.0, 3.8, 0),
    ]
    assert curate_main(argv) == 0, "the same line again"
    (tmp_path / "other.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=(503,)),))))
    assert curate_main(["clip", str(tmp_path / "other.mp4"), "--out", str(tmp_path / "out")]) == 2
    assert "was made for two then one.mp4; name a new folder for other.mp4" in capsys.readouterr().err
    (tmp_path / "twins").mkdir()
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "twins" / name).write_bytes((tmp_path / "other.mp4").read_bytes())
    assert curate_main(["clip", str(tmp_path / "twins"), "--out", str(tmp_path / "t"), "--json", "-"]) == 0
    shown = capsys.readouterr()
    assert len(json.loads(shown.out)) == 1, "of two files with the same bytes"
    assert re.search(r"[ab]\.mp4: has the same bytes as .*[ab]\.mp4, whose clips stand for both\n", shown.err)
    assert "explain" not in shown.err, "the copy's own decisions say that its clip is in the run"
    (tmp_path / "a wall.mp4").write_bytes(encode_video(VideoScript(shots=(ShotScript(frames=50, speakers=()),))))
    assert curate_main(["clip", str(tmp_path / "a wall.mp4"), "--out", str(tmp_path / "wall")]) == 2
    shown = capsys.readouterr()
    assert "wall.mp4: no clip can be cut from it: " in shown.err
    assert f"`avf-curate explain {tmp_path / 'wall' / 'run'} 'a wall.mp4'` says more" in shown.err
    assert curate_main(["clip", str(tmp_path / "none.mp4"), "--out", str(tmp_path / "x")]) == 2
    assert "none.mp4: no such file" in capsys.readouterr().err


def test_layers_are_written_where_named_and_end_with_the_last_layer(lab: Path, tmp_path: Path) -> None:
    kinds = ["layers_video", "layers_audio", "video", "regions_video"]
    row = embed_clips(lab / "shards", lab / "run", kinds).to_pylist()[0]
    model = Classifier.from_pretrained(lab / "run/model")
    layers_LC = np.array(row["layers_video"])
    assert layers_LC.shape == (model.config.video.depth, 96)
    assert np.array(row["layers_audio"]).shape == (model.config.audio.depth, 96)
    assert layers_LC[-1] == pytest.approx(np.mean(row["regions_video"], 0), abs=1e-5)
    weights_L = np.exp(model.layer_weights_video.detach().numpy())
    assert weights_L @ layers_LC / weights_L.sum() == pytest.approx(np.array(row["video"]), abs=1e-5)
    assert "layers_video" not in embed_clips(lab / "shards", lab / "run").column_names


@pytest.fixture(scope="module")
def folds(lab: Path) -> Path:
    """A folder of two folds: the model of `lab`, and one whose head prefers the second class."""
    model = Classifier.from_pretrained(lab / "run/model")
    model.save_pretrained(lab / "folds/fold-2/model")
    with torch.no_grad():
        model.head.bias += torch.tensor([0.0, 3.0])
    model.save_pretrained(lab / "folds/fold-10/model")
    for name in ("fold-2", "fold-10"):
        (lab / "folds" / name / "result.json").write_text("{}")
    return lab / "folds"


def test_several_models_predict_the_mean_of_their_probabilities(
    lab: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("fold-2", "fold-10")
    alone = [predict(lab / "shards", folds / name) for name in names]
    together = predict(lab / "shards", folds)
    assert together == predict(lab / "shards", [folds / name for name in names]), "folds are in order of their numbers"
    for number, person in enumerate(together):
        each = [people[number].windows[0].scores for people in alone]
        assert person.windows[0].scores == pytest.approx(np.mean(each, 0), abs=1e-9)
        assert list(person.windows[0].each_model) == each
    argv = ["predict", str(lab / "shards"), "--model", str(folds), "--json", str(tmp_path / "p.json")]
    assert main([*argv, "--out", str(tmp_path / "p.csv")]) == 0
    assert "each_model" not in (tmp_path / "p.json").read_text()
    assert "2 models: " in capsys.readouterr().out
    assert (tmp_path / "p.csv").read_text().splitlines()[0].endswith("best,left,right")
    assert main([*argv, "--out", str(tmp_path / "p.csv"), "--each-model"]) == 0
    table = list(csv.DictReader((tmp_path / "p.csv").open()))
    person = json.loads((tmp_path / "p.json").read_text())[0]
    assert person["models"] == [str(folds / name) for name in names]
    assert float(table[0][f"{folds / 'fold-10'}: right"]) == pytest.approx(
        person["windows"][0]["each_model"][1][1], abs=1e-4
    )


def test_folds_that_are_not_all_finished_are_no_average(lab: Path, tmp_path: Path) -> None:
    model = Classifier.from_pretrained(lab / "run/model")
    model.save_pretrained(tmp_path / "fold-1/model")
    model.save_pretrained(tmp_path / "fold-2/best/validation")  # of an epoch of a run that goes on
    (tmp_path / "fold-1/result.json").write_text("{}")
    with pytest.raises(UserError, match=r"fold-2: is not finished \(no result.json\), and an average over the folds"):
        predict(lab / "shards", tmp_path)
    assert predict(lab / "shards", tmp_path / "fold-2"), "named by itself, a run that goes on may predict"


def test_models_that_cannot_be_averaged_are_refused(
    lab: Path, folds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"fold-2: is the same model as .*fold-2, and would count twice"):
        predict(lab / "shards", [folds, folds / "fold-2"])
    torch.manual_seed(0)
    spec = OutputSpec(names=("right", "left"))
    Classifier(preset("nano"), 2, output_spec=spec).save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match=r"other: has other outputs than .*fold-2"):
        predict(lab / "shards", [folds / "fold-2", tmp_path / "other"])
    for name, value_range in (("signed", (-1.0, 1.0)), ("stars", (1.0, 5.0)), ("unbounded", None)):
        spec = OutputSpec(names=("valence",), is_classification=False, value_range=value_range)
        Classifier(preset("nano"), 1, output_spec=spec).save_pretrained(tmp_path / name)
    with pytest.raises(UserError, match=r"stars: has other ranges of values than .*signed \(\(1.0, 5.0\), not"):
        predict(lab / "shards", [tmp_path / "signed", tmp_path / "stars"])
    assert predict(lab / "shards", [tmp_path / "signed", tmp_path / "unbounded"]), "of which the scale is not known"
    argv = ["predict", str(lab / "shards"), "--each-model", "--out", str(tmp_path / "p.srt")]
    assert main([*argv, "--model", str(folds / "fold-2")]) == 2
    assert "there is a single model" in capsys.readouterr().err
    assert main([*argv, "--model", str(folds)]) == 2
    assert "have no room for it" in capsys.readouterr().err
