"""Predictions say which videos their model was trained on, and nobody counts those as new, whatever a plan omits."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.framewise.combination.plan import EnsembleMember
from avf_training.framewise.labels.label_track import label_path, list_label_tracks, write_label_track
from avf_training.framewise.labels.trained_videos import TrainedVideo, TrainedVideos, read_trained_videos
from avf_training.framewise.tracks.track_folder import TrackFolder
from support.frame_ensembles import run_plan, write_plan
from support.frame_predictions import SOURCE, write_labels, write_model
from support.planted_tracks import VIDEOS, write_planted_corpus

SMALL = (
    *("batch=8", "epochs=1", "patience=null", "rate=0.003", "threads=1", "visual=[looks]", "window=10"),
    *("normalization=none", "class_weights=none"),
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_planted_corpus(tmp_path_factory.mktemp("planted"))


def train(corpus: tuple[Path, Path], out: Path, *settings: str, recipe: str = "sun_temporal") -> int:
    words = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    argv = ["--tracks", str(corpus[0]), "--labels", str(corpus[1]), "--task", "va", "--recipe", recipe]
    return main(["train-frames", *argv, "--out", str(out), "--device", "cpu", *words])


def predict(tracks: Path, run: Path, out: Path, *words: str) -> int:
    return main(["predict-frames", str(run), "--tracks", str(tracks), "--out", str(out), "--device", "cpu", *words])


def record_of(*videos: str, train_on: str = "train") -> TrainedVideos:
    entries = (TrainedVideo(source=SOURCE, video=video, group=video) for video in videos)
    return TrainedVideos(train_on=train_on).add(entries)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (("network",), [name for name, split in VIDEOS.items() if split == "train"]),
        (("train_on=all",), list(VIDEOS)),
        (("fold=2", "fold_seed=3"), None),
    ],
)
def test_a_run_and_its_predictions_name_the_videos_that_it_learned(
    corpus: tuple[Path, Path], tmp_path: Path, settings: tuple[str, ...], expected: list[str] | None
) -> None:
    kernel = settings == ("network",)
    recipe = "sun_kernel_elm" if kernel else "sun_temporal"
    assert train(corpus, tmp_path / "run", *([] if kernel else settings), recipe=recipe) == 0
    assert predict(corpus[0], tmp_path / "run", tmp_path / "P") == 0
    record = read_trained_videos(tmp_path / "P/run")
    assert record is not None
    names = [each.video for each in record.videos]
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["trained_videos"] == record.to_json()
    if expected is not None:
        assert names == sorted(expected)
        assert (record.fold, record.fold_seed) == (None, None)
        assert record.train_on == ("train" if kernel else "all")
    else:
        assert (record.fold, record.fold_seed) == (2, 3)
        assert 0 < len(names) < len(VIDEOS)
        assert len(names) == result["training"]["videos"]


def test_predictions_of_a_run_that_does_not_say_are_told_and_get_the_record_later(
    corpus: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert train(corpus, tmp_path / "run") == 0
    path = tmp_path / "run/result.json"
    whole = path.read_text()
    values = json.loads(whole)
    del values["trained_videos"]
    path.write_text(json.dumps(values))
    assert predict(corpus[0], tmp_path / "run", tmp_path / "P") == 0
    assert "does not say which videos it was trained on, so its predictions do not either" in caplog.text
    assert read_trained_videos(tmp_path / "P/run") is None
    caplog.clear()
    report = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(corpus[1])]
    assert main([*report, "--out", str(tmp_path / "R")]) == 0
    assert "run: does not say which videos its model was trained on" in caplog.text
    path.write_text(whole)
    assert predict(corpus[0], tmp_path / "run", tmp_path / "P") == 0
    assert read_trained_videos(tmp_path / "P/run") is not None, "tracks that stand there are left, the record comes"
    caplog.clear()
    assert main([*report, "--out", str(tmp_path / "R")]) == 0
    assert "does not say" not in caplog.text


def test_a_model_behind_the_tracks_counts_as_trained_on_its_videos_too(
    corpus: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Cross-attention reads layers of models; one that learned all videos leaves none to score on."""
    tracks, labels = tmp_path / "tracks", corpus[1]
    shutil.copytree(corpus[0], tracks)
    assert train((tracks, labels), tmp_path / "all", "train_on=all", "select=mean") == 0
    assert predict(tracks, tmp_path / "all", tracks, "--layer", "score", "--name", "layer") == 0
    assert train((tracks, labels), tmp_path / "run", "visual=[layer]") == 0
    assert "the models behind the tracks were trained on 3 videos of validation" in caplog.text
    trained = json.loads((tmp_path / "run/result.json").read_text())["trained_videos"]
    assert {each["video"] for each in trained["videos"]} == set(VIDEOS)
    assert predict(tracks, tmp_path / "run", tmp_path / "P") == 0
    report = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(labels)]
    assert main([*report, "--out", str(tmp_path / "R")]) == 2, "no video is new"


def test_a_finished_run_learns_of_records_that_came_later(
    corpus: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The extractor was trained again by a later version, and its tracks say now which videos it has seen."""
    tracks, labels = tmp_path / "tracks", corpus[1]
    shutil.copytree(corpus[0], tracks)
    assert train((tracks, labels), tmp_path / "run") == 0
    before = json.loads((tmp_path / "run/result.json").read_text())
    assert train((tracks, labels), tmp_path / "run") == 0
    assert json.loads((tmp_path / "run/result.json").read_text()) == before, "nothing new, nothing written"
    record_of("elsewhere").write(tracks / "looks")
    caplog.clear()
    assert train((tracks, labels), tmp_path / "run") == 0
    assert "result.json: names 1 video more that this model, or one that it" in caplog.text
    after = json.loads((tmp_path / "run/result.json").read_text())
    trained = after.pop("trained_videos")["videos"]
    assert "elsewhere" in {each["video"] for each in trained}
    assert len(trained) == len(before.pop("trained_videos")["videos"]) + 1
    assert after == before, "scores and models stay"
    assert predict(tracks, tmp_path / "run", tmp_path / "P") == 0
    record = read_trained_videos(tmp_path / "P/run")
    assert record is not None
    assert "elsewhere" in {each.video for each in record.videos}
    (tracks / "looks/trained_videos.json").unlink()
    caplog.clear()
    assert train((tracks, labels), tmp_path / "run") == 0
    assert "result.json" not in caplog.text
    assert json.loads((tmp_path / "run/result.json").read_text())["trained_videos"]["videos"] == trained, "none is lost"


def test_an_ensemble_answers_and_scores_by_the_record_where_the_plan_omits_it(tmp_path: Path) -> None:
    """Both members are named without a fold, and the labels name no set that would tell."""
    videos = ["1", "2", "3", "4"]
    for video in videos:
        write_labels(tmp_path / "L", "va", video)
    learned = {"a": ("1", "2"), "b": ("1", "3")}
    for name, those in learned.items():
        write_model(tmp_path / "P", name, "va", videos)
        record_of(*those).write(tmp_path / "P" / name)
    record = run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"]))
    answers = {each.video: (each.members, each.scored) for each in record.videos}
    assert answers == {
        "1": (("a", "b"), False),
        "2": (("b",), True),
        "3": (("a",), True),
        "4": (("a", "b"), True),
    }
    own = read_trained_videos(tmp_path / "P/together")
    assert own is not None
    assert [each.video for each in own.videos] == ["1"], "an ensemble of ensembles knows it too"
    assert own.train_on == "ensemble"
    words = ["ensemble-frames", str(write_plan(tmp_path / "above.yaml", "va", ["together"], name="above"))]
    folders = ["--predictions", str(tmp_path / "P"), "--out", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*words, *folders]) == 0
    above = json.loads((tmp_path / "P/above/ensemble.json").read_text())
    assert {each["video"]: each["scored"] for each in above["videos"]} == {"1": False, "2": True, "3": True, "4": True}


@pytest.mark.parametrize("kind", ["dirichlet", "forest"])
def test_a_fitted_method_learns_from_videos_that_are_new_to_every_member(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Videos that one member has learned are answered by all, and neither fitted on nor scored."""
    videos = ["1", "2", "3", "4"]
    for video in videos:
        write_labels(tmp_path / "L", "va", video)
    for name, those in {"a": ("1",), "b": ("1", "3")}.items():
        write_model(tmp_path / "P", name, "va", videos)
        record_of(*those).write(tmp_path / "P" / name)
    method = {"kind": kind} | ({"matrices": 20} if kind == "dirichlet" else {"trees": [5]})
    plan = write_plan(tmp_path / "plan.yaml", "va", ["a", "b"], method=method)
    record = run_plan(tmp_path, plan)
    answers = {each.video: (each.members, each.scored) for each in record.videos}
    assert answers == {video: (("a", "b"), video in ("2", "4")) for video in videos}
    assert record.fitting.frames == record.scored_frames == 240
    record_of("2", "4").write(tmp_path / "P" / "a")
    record_of("1", "3").write(tmp_path / "P" / "b")
    words = ["ensemble-frames", str(plan), "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*words, "--out", str(tmp_path / "OUT")]) == 2
    assert "new to every member" in caplog.text
    assert f"(b was trained on {SOURCE}/1)" in caplog.text


def test_a_fold_that_the_plan_names_counts_beside_the_record(tmp_path: Path) -> None:
    from avf_training.framewise.combination.membership import VideoFacts, has_seen

    labels = write_labels(tmp_path / "L", "va", "1", "train")
    facts = VideoFacts(subject=labels.subject, labels=labels, fold=1, scene="other")
    plain, folded = EnsembleMember(name="a"), EnsembleMember(name="a", fold=2)
    assert has_seen(plain, facts)
    assert not has_seen(plain, facts, record_of("2")), "the record is exact where the set is not"
    assert has_seen(plain, facts, record_of("1"))
    assert has_seen(folded, facts, record_of("2")), "what the plan says may concern the models behind the tracks"
    assert not has_seen(EnsembleMember(name="a", fold=1), facts, record_of("2"))
    assert has_seen(EnsembleMember(name="a", fold=1), facts, record_of("1")), "the plan names the wrong fold"


def test_a_report_leaves_out_what_was_trained_on_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for video in ("1", "2", "3"):
        write_labels(tmp_path / "L", "va", video, person=f"p{video}")
    write_labels(tmp_path / "L", "va", "t", "test", person="p1")
    write_model(tmp_path / "P", "a", "va", ["1", "2", "3", "t"])

    def report(*options: str) -> tuple[str, list[str], list[str]]:
        words = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
        assert main([*words, "--out", str(tmp_path / "R"), *options]) == 0
        values = json.loads((tmp_path / "R/va.json").read_text())
        return (
            values["chosen"],
            [each["video"] for each in values["videos"]],
            [each["name"] for each in values["test_models"]],
        )

    assert report() == ("labelled videos of the validation set", ["1", "2", "3"], ["a"])
    entries = [
        TrainedVideo(source=SOURCE, video="1", group="1", name="p1"),
        TrainedVideo(source=SOURCE, video="z", group="z", name="p2"),
        TrainedVideo(source=SOURCE, video="t", group="t", name="p1"),
    ]
    TrainedVideos(train_on="train").add(entries).write(tmp_path / "P/a")
    words = "without 1 that the model was trained on; of 1, the model was trained on another of the same person or file"
    assert report() == (f"labelled videos of the validation set, {words}", ["2", "3"], [])
    chosen, videos, _ = report("--split", "validation")
    related = "; of 1, the model was trained on another of the same person or file"
    assert chosen == f"labelled videos of the validation set, 1 of which the model was trained on{related}"
    assert videos == ["1", "2", "3"]
    assert "1 of the test set, 2 of which the model was trained on" in report("--split", "all")[0].replace(
        "3 of the validation set, ", ""
    )
    record_of("1", "2", "3").write(tmp_path / "P/a")
    capsys.readouterr()
    argv = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
    assert main([*argv, "--out", str(tmp_path / "R")]) == 2
    assert "the model was trained on all labelled videos of the validation set" in capsys.readouterr().err


def test_the_printed_summary_names_the_set_and_how_much_of_it_was_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for video, split in (("1", "train"), ("2", "train"), ("3", "train"), ("v", "validation")):
        write_labels(tmp_path / "L", "va", video, split)  # type: ignore[arg-type]  # names of sets
    write_model(tmp_path / "P", "a", "va", ["1", "2", "3", "v"])

    def summary(*options: str) -> str:
        words = ["report-frames", "--task", "va", "--predictions", str(tmp_path / "P"), "--labels", str(tmp_path / "L")]
        capsys.readouterr()
        assert main([*words, "--out", str(tmp_path / "R"), *options]) == 0
        return capsys.readouterr().out.splitlines()[0]

    unknown = "; its predictions do not say which videos the model was trained on"
    assert summary("--split", "train") == f"a on 3 labelled videos of the train set{unknown}"
    record_of("1", "2").write(tmp_path / "P/a")
    learned = "2 of which the model was trained on"
    assert summary("--split", "train") == f"a on 3 labelled videos of the train set, {learned}"
    sets = "3 of the train set, 1 of the validation set"
    assert summary("--split", "all") == f"a on all 4 labelled videos ({sets}, {learned})"
    assert "1 labelled video of the validation set, 120 frames" not in (tmp_path / "R/va.html").read_text()
    none = "; the model was trained on none of them"
    assert summary() == f"a on 1 labelled video of the validation set{none}"
    assert "1 labelled video of the validation set, 120 frames" in (tmp_path / "R/va.html").read_text()
    assert json.loads((tmp_path / "R/va.json").read_text())["trained_on"] == 0


def test_videos_without_labels_when_an_ensemble_was_written_are_not_said_to_be_learned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_labels(tmp_path / "L", "va", "v")
    write_model(tmp_path / "P", "a", "va", ["v"])
    (tmp_path / "plan.yaml").write_text(
        "schema: avf-foundry frame ensemble plan\nschema_version: 1\ntask: va\nname: all\nmembers: [{name: a}]\n"
    )
    words = ["--predictions", str(tmp_path / "P"), "--out", str(tmp_path / "P")]
    assert main(["ensemble-frames", str(tmp_path / "plan.yaml"), *words]) == 0
    words = ["report-frames", "--task", "va", "--name", "all", "--predictions", str(tmp_path / "P")]
    words += ["--labels", str(tmp_path / "L"), "--out", str(tmp_path / "R")]
    assert main(words) == 2
    assert "had no labels when ensemble-frames ran" in capsys.readouterr().err
    assert main([*words, "--split", "validation"]) == 0
    printed = capsys.readouterr().out.splitlines()[0]
    assert (
        printed == "all on 1 labelled video of the validation set; the members that answer were trained on none of them"
    )


def test_a_submission_tells_of_videos_that_were_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "P", "a", "va", ["1", "2"])
    record_of("2", "9").write(tmp_path / "P/a")
    sample = tmp_path / "sample.txt"
    sample.write_text("image_location,valence,arousal\n1/00001.jpg\n2/00001.jpg\n")
    argv = ["submission", "--task", "va", "--predictions", str(tmp_path / "P"), "--sample", str(sample)]
    assert main([*argv, "--out", str(tmp_path / "out.txt")]) == 0
    printed = capsys.readouterr().out
    assert "2: the model was trained on it, so its answer is none for a new video" in printed
    assert "1: the model was trained on it" not in printed
    assert main([*argv, "--out", str(tmp_path / "out.txt"), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["trained"] == ["2"]


def test_a_record_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    write_model(tmp_path / "P", "a", "va", ["1"])
    record_of("1").write(tmp_path / "P/a")
    path = tmp_path / "P/a/trained_videos.json"
    values = json.loads(path.read_text())
    values["videos"][0]["vidoe"] = "1"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"trained_videos\.json: videos"):
        read_trained_videos(tmp_path / "P/a")
    assert TrackFolder(tmp_path / "P").extractors() == ["a"]


def test_a_base_of_other_sets_is_refused(
    corpus: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second branch is scored on videos that the frozen one may not have learned, whatever both call their sets."""
    labels = tmp_path / "labels"
    shutil.copytree(corpus[1], labels)
    settings = ("audio=[]", "window=50", "hidden=[8,8,4]")
    assert train((corpus[0], labels), tmp_path / "base", *settings, recipe="netease_fusion") == 0
    for track in list(list_label_tracks(labels, "va")):
        label_path(labels, track.task, track.subject).unlink()
        write_label_track(labels, replace(track, split="train" if track.split == "validation" else "validation"))
    both = (*settings, f"base={tmp_path / 'base'}")
    assert train((corpus[0], labels), tmp_path / "both", *both, recipe="netease_two_branches") == 2
    assert "was trained on 6 videos of validation, such as lab/t0" in capsys.readouterr().err


def test_records_are_logged_as_missing_once_for_each_model(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for video in ("1", "2"):
        write_labels(tmp_path / "L", "va", video)
    for name in ("a", "b"):
        write_model(tmp_path / "P", name, "va", ["1", "2"])
    record_of("1").write(tmp_path / "P/b")
    with caplog.at_level(logging.WARNING):
        run_plan(tmp_path, write_plan(tmp_path / "plan.yaml", "va", ["a", "b"]))
    assert caplog.text.count("does not say which videos its model was trained on") == 1
