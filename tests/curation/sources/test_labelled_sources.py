"""Labelled corpora in their published layouts give labels, subjects and folds, and report every other file."""

from pathlib import Path

import pytest
from avf_curation.recipe import load_recipe
from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from support.corpora import labels_of, read_corpus, write_file


def test_mafw_layout_is_read(tmp_path: Path) -> None:
    clips = [f"{n:05d}" for n in range(19, 31)]
    for stem in [*clips, "00099"]:
        write_file(tmp_path, f"data/clips/{stem}.mp4")
    for scheme, label in (("single", "anger"), ("compound", "anger_disgust_contempt")):
        for fold in range(1, 6):
            tested = clips[2 * fold - 2 : 2 * fold]
            for part, stems in (("test", tested), ("train", [c for c in clips if c not in tested] + ["20098"])):
                lines = [f"{stem}.mp4 {label}" for stem in stems]
                extra = ["rubbish"] if (scheme, fold, part) == ("single", 1, "train") else []
                write_file(
                    tmp_path, f"Train & Test Set/{scheme}/no_caption/set_{fold}/{part}.txt", "\n".join(lines + extra)
                )
    videos, kinds = read_corpus("mafw", tmp_path)
    assert set(videos) == set(clips)
    assert labels_of(videos["00021"]) == Labels(
        values={"single": "anger", "compound": "anger_disgust_contempt"}, folds={"single": 2, "compound": 2}
    )
    assert labels_of(videos["00030"]).folds == {"single": 0, "compound": 0}, "trained on alone"
    assert kinds == {"unlisted": 1, "missing": 1, "bad_row": 1}


def test_dfew_layout_is_read(tmp_path: Path) -> None:
    for stem in ("00001", "00002", "02522", "16372"):
        write_file(tmp_path, f"Clip/original/{stem}.mp4")
    for fold in range(1, 6):
        test = {1: "2522,6", 2: "1,1"}.get(fold, "2,3")
        write_file(tmp_path, f"EmoLabel_DataSplit/test(single-labeled)/set_{fold}.csv", f"video_name,label\n{test}\n")
        rows = "video_name,label\n1,1\n77,4\n5,0\n"
        write_file(tmp_path, f"EmoLabel_DataSplit/train(single_labeled)/set_{fold}.csv", rows)
    videos, kinds = read_corpus("dfew", tmp_path)
    assert set(videos) == {"00001", "00002", "02522"}
    assert labels_of(videos["02522"]) == Labels(values={"single": "disgust"}, folds={"single": 1})
    assert labels_of(videos["00001"]).folds == {"single": 2}
    assert kinds == {"excluded": 1, "missing": 1, "bad_row": 5}


def test_mer_multi_and_mer24_layouts_are_read(tmp_path: Path) -> None:
    for part, names in (("train", ("sample_00000001", "sample_00000002")), ("test1", ("sample_00000003",))):
        for name in names:
            write_file(tmp_path, f"a/mer2023-dataset/{part}/{name}.avi")
        rows = "".join(f"{name},worried,-1.25\n" for name in names)
        write_file(
            tmp_path,
            f"a/mer2023-dataset/{part}-label.csv",
            "name,discrete,valence\n" + rows + "sample_00000009,joy,1\n",
        )
    write_file(tmp_path, "a/mer2023-dataset/test3/samplenew_00000007.mp4")
    write_file(tmp_path, "a/mer2023-dataset/train/sample_00000001_more.avi")
    videos, kinds = read_corpus("mer_multi", tmp_path / "a")
    assert labels_of(videos["sample_00000003"]) == Labels(
        values={"emotion": "worried", "valence": "-1.25"}, folds={"multi": 1}
    )
    assert labels_of(videos["sample_00000001"]).folds == {"multi": 0}
    assert kinds == {"bad_row": 2, "excluded": 1, "unexpected": 1}
    write_file(tmp_path, "b/video-labeled/samplenew_00000003.mp4")
    rows = "samplenew_00000003,sad,0.5\nsamplenew_00000003,sad,0.5\nsample_00000004,happy,1\n"
    write_file(tmp_path, "b/label-disdim.csv", "name,discrete,valence\n" + rows)
    videos, kinds = read_corpus("mer24", tmp_path / "b")
    assert set(videos) == {"samplenew_00000003"}
    assert labels_of(videos["samplenew_00000003"]).folds == {}
    assert kinds == {"duplicate": 1, "missing": 1}


def test_a_list_of_val_makes_the_train_and_val_of_mer24(tmp_path: Path) -> None:
    names = [f"sample_0000000{number}" for number in range(4)]
    for name in names:
        write_file(tmp_path, f"video-labeled/{name}.mp4")
    write_file(tmp_path, "label-disdim.csv", "name,discrete\n" + "".join(f"{name},sad\n" for name in names))
    write_file(tmp_path, "val.csv", f"name\n{names[1]}\nsample_00000009\n")
    videos, kinds = read_corpus("mer24", tmp_path)
    assert {name: labels_of(video).folds for name, video in videos.items()} == {
        name: {"train_val": int(name == names[1])} for name in names
    }
    assert kinds == {"missing": 1}


def test_crema_d_layout_is_read(tmp_path: Path) -> None:
    for actor, emotion in ((1001, "ANG"), (1018, "NEU"), (1091, "SAD")):
        write_file(tmp_path, f"VideoFlash/{actor}_DFA_{emotion}_XX.flv", b"x" * 2000)
        if actor != 1018:
            write_file(tmp_path, f"AudioWAV/{actor}_DFA_{emotion}_XX.wav")
    write_file(tmp_path, "AudioWAV/1076_MTI_SAD_XX.wav")
    videos, kinds = read_corpus("crema_d", tmp_path)
    video = videos["1001_DFA_ANG_XX"]
    assert labels_of(video) == Labels(values={"emotion": "ANG", "level": "XX"}, subject="1001")
    assert (video.speaker, video.sound_path) == ("1001", "AudioWAV/1001_DFA_ANG_XX.wav")
    assert kinds == {"missing": 2}
    write_file(tmp_path, "VideoFlash/1001_DFA_ANG_XX.flv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(UserError, match="git lfs pull"):
        read_corpus("crema_d", tmp_path)


def test_ravdess_gives_each_recording_once(tmp_path: Path) -> None:
    for name in ("01-01-03-01-01-01-01.mp4", "02-01-03-01-01-01-01.mp4", "03-01-03-01-01-01-01.wav"):
        write_file(tmp_path, f"Actor_01/{name}")
    for name in ("02-01-06-02-02-01-24.mp4", "03-01-06-02-02-01-24.wav", "01-02-03-01-01-01-24.mp4"):
        write_file(tmp_path, f"Actor_24/{name}")
    write_file(tmp_path, "Actor_24/02-01-01-01-01-01-24.mp4")
    videos, kinds = read_corpus("ravdess", tmp_path)
    assert set(videos) == {"01-03-01-01-01-01", "01-06-02-02-01-24", "01-01-01-01-01-24"}
    happy, fearful = videos["01-03-01-01-01-01"], videos["01-06-02-02-01-24"]
    assert (happy.path, happy.sound_path) == ("Actor_01/01-01-03-01-01-01-01.mp4", None)
    assert labels_of(happy).values["emotion"] == "happy"
    assert fearful.sound_path == "Actor_24/03-01-06-02-02-01-24.wav"
    assert (labels_of(fearful).values["emotion"], labels_of(fearful).subject) == ("fearful", "24")
    assert kinds == {"duplicate": 1, "excluded": 1, "missing": 1}


def test_msp_improv_layout_is_read(tmp_path: Path) -> None:
    names = ["S01A-F01-P-FM01", "S02H-M02-R-FM03", "S03N-F01-T-FM10", "S04S-M02-S-MF01"]
    for name, session in zip(names, (1, 2, 1, 2), strict=True):
        path = f"session{session}/{name[:4]}/{name[9]}/MSP-IMPROV-{name}"
        write_file(tmp_path, f"Video/{path}.avi")
        write_file(tmp_path, f"Audio/{path}.wav")
    write_file(tmp_path, "Video/session1/notes.avi")
    blocks = [
        "UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:3.000000; V:3.500000; D:NaN ; N:3.400000;",
        "P_12; Neutral; Neutral; A:3.0; V:3.0; D:3.0; N:4.0;",
        "",
        "UTD-IMPROV-S02H-M02-R-FM03.avi; H; A:4.0; V:4.5; D:3.0 ; N:4.0;",
        "UTD-IMPROV-S03N-F01-T-FM10.avi; X; A:3.0; V:3.5; D:3.0 ; N:3.4;",
        "UTD-IMPROV-S09N-F01-T-FM10.avi; S; A:3.0; V:3.5; D:3.0 ; N:3.4;",
        "UTD-IMPROV-broken",
    ]
    write_file(tmp_path, "Evalution.txt", "\n".join(blocks))
    videos, kinds = read_corpus("msp_improv", tmp_path)
    assert set(videos) == set(names[:2])
    video = videos[names[0]]
    assert labels_of(video).values["emotion"] == "neu", "the consensus, not the letter in the name"
    assert labels_of(video).values["arousal"] == "3.000000"
    assert "dominance" not in labels_of(video).values, "NaN is no rating"
    assert (labels_of(video).subject, labels_of(video).session) == ("F01", "01")
    assert video.sound_path == "Audio/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.wav"
    # the video with consensus X and the video without a row; no audio file of the two remains
    assert kinds == {"excluded": 1, "unlisted": 1, "missing": 1, "bad_row": 1, "unexpected": 1}


def test_avcaffe_layout_is_read(tmp_path: Path) -> None:
    for path in ("aiim001/task_1/a", "aiim001/task_1/b", "aiim003/task_9/c", "aiim003/task_2/d"):
        write_file(tmp_path, f"videos/shorter_segments/{path}.avi")
    write_file(
        tmp_path,
        "ground_truths/arousal.txt",
        "arousal\naiim001_task_1, Neutral\naiim003_task_9, Dull\naiim003_task_2, So\n",
    )
    write_file(tmp_path, "ground_truths/valence.txt", "aiim001_task_1, Pleased\naiim007_task_1, Neutral\n")
    write_file(tmp_path, "info/no_audio_files.txt", "b.avi\n")
    videos, kinds = read_corpus("avcaffe", tmp_path)
    assert set(videos) == {"aiim001_task_1/a", "aiim001_task_1/b", "aiim003_task_9/c"}
    quiet = labels_of(videos["aiim001_task_1/b"])
    assert quiet.values == {"arousal": "Neutral", "valence": "Pleased", "task": "task_1", "speech": "none"}
    assert (quiet.subject, videos["aiim001_task_1/b"].group_id) == ("aiim001", "aiim001_task_1")
    assert kinds == {"bad_row": 1, "unlisted": 1, "missing": 1}


@pytest.mark.parametrize("name", ["msp_improv", "avcaffe", "mafw", "dfew", "mer_multi", "mer24", "crema_d", "ravdess"])
def test_another_layout_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name):
        read_corpus(name, tmp_path)


def test_the_labelled_recipe_rejects_only_unusable_clips() -> None:
    gates = load_recipe(Path("labelled")).defaults.gates
    assert set(gates.non_deciding) == {"scenes", "faces", "silence", "track", "speaker", "sync", "quality"}
    assert load_recipe(Path("labelled")).defaults.scenes.detectors == ()
