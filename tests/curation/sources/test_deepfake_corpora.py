"""Corpora of deepfakes as their owners distribute them give the truth of each video, and every bad row is named."""

import json
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from avf_curation.sources.json_rows import read_json_rows
from avf_curation.sources.types import Video
from avf_shards.errors import UserError
from avf_shards.schema.forgery import ForgedSegment, Forgery
from support.corpora import labels_of, read_corpus, write_file

REAL_ROW: dict[str, Any] = {
    "file": "id00012/21Uxsk56VDQ/00001/real.mp4",
    "original": None,
    "split": "train",
    "modify_type": "real",
    "audio_model": None,
    "video_model": None,
    "fake_segments": [],
    "audio_fake_segments": [],
    "visual_fake_segments": [],
    "video_frames": 236,
    "audio_frames": 151_040,
}
FAKE_ROW: dict[str, Any] = {
    **REAL_ROW,
    "file": "id00012/21Uxsk56VDQ/00001/fake_video_fake_audio.mp4",
    "original": REAL_ROW["file"],
    "modify_type": "both_modified",
    "audio_model": "yourtts",
    "video_model": "Talklip",
    "fake_segments": [[4.4, 4.64]],
    "visual_fake_segments": [[4.4, 4.64]],
    "audio_fake_segments": [[4.4, 4.64]],
}


def truth_of(video: Video) -> Forgery:
    forgery = labels_of(video).forgery
    assert forgery is not None
    return forgery


def write_avd(root: Path, rows: list[Mapping[str, Any]], split: str = "train") -> None:
    for row in rows:
        write_file(root, f"{split}/{row['file']}")
    write_file(root, f"{split}_metadata.json", json.dumps(rows))


def test_av_deepfake1m_gives_segments_of_both_streams(tmp_path: Path) -> None:
    voice = {
        **FAKE_ROW,
        "file": "id00012/21Uxsk56VDQ/00001/real_video_fake_audio.mp4",
        "modify_type": "audio_modified",
        "video_model": None,
        "visual_fake_segments": [],
        "audio_fake_segments": [[1.0, 1.5]],
        "fake_segments": [[1.0, 1.5]],
    }
    write_avd(tmp_path, [REAL_ROW, FAKE_ROW, voice])
    write_file(tmp_path, "test_files.txt", "000001.mp4\n")
    videos, kinds = read_corpus("av_deepfake1m", tmp_path)
    base = "train/id00012/21Uxsk56VDQ/00001"
    assert set(videos) == {f"{base}/{name}" for name in ("real", "fake_video_fake_audio", "real_video_fake_audio")}
    assert truth_of(videos[f"{base}/real"]) == Forgery(is_fake=False, original=f"{base}/real")
    both = ForgedSegment(start_s=4.4, stop_s=4.64, kind="both", method="yourtts+Talklip")
    fake = videos[f"{base}/fake_video_fake_audio"]
    assert truth_of(fake) == Forgery(
        is_fake=True, original=f"{base}/real", kind="both", method="yourtts+Talklip", segments=(both,)
    )
    labels = labels_of(fake)
    assert (labels.subject, labels.session, fake.group_id) == ("id00012", f"{base}/real", f"{base}/real")
    assert labels.values == {
        "label": "fake",
        "forged": "both",
        "method": "yourtts+Talklip",
        "split": "train",
        "modify_type": "both_modified",
        "audio_model": "yourtts",
        "video_model": "Talklip",
    }
    assert truth_of(videos[f"{base}/real_video_fake_audio"]).segments == (
        ForgedSegment(start_s=1.0, stop_s=1.5, kind="audio", method="yourtts"),
    )
    assert kinds == {"excluded": 1}


def test_the_second_release_with_a_json_beside_each_video(tmp_path: Path) -> None:
    real = {**REAL_ROW, "file": "silent_videos/subject_3_ab12_vid_1_1/00004_p1.mp4", "original": "whole.mp4"}
    fake = {**FAKE_ROW, "file": "lrs3/ukgnU2aXM2c/00004/00004_p4.mp4", "original": "lrs3/ukgnU2aXM2c/00004/00004.mp4"}
    fake["modify_type"] = "both-modified"  # as the owners' code spells it
    for row in (real, fake):
        write_file(tmp_path, f"val/val/{row['file']}")
        write_file(tmp_path, f"val/val/{row['file'].replace('.mp4', '.json')}", json.dumps(row))
    write_file(tmp_path, "val/val/lrs3/broken.json", "{")
    videos, kinds = read_corpus("av_deepfake1m", tmp_path)
    assert {video.path for video in videos.values()} == {f"val/val/{row['file']}" for row in (real, fake)}
    silent = videos["val/silent_videos/subject_3_ab12_vid_1_1/00004_p1"]
    assert truth_of(silent).original == "val/silent_videos/subject_3_ab12_vid_1_1/00004_p1", (
        "a real is its own original"
    )
    assert labels_of(silent).subject == "subject_3"
    assert truth_of(videos["val/lrs3/ukgnU2aXM2c/00004/00004_p4"]).original == "val/lrs3/ukgnU2aXM2c/00004/00004"
    assert kinds == {"bad_row": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"fake_segments": [[4.4, 99.0]]}, "from 4.4 to 99 s ends behind the video, which has 9.44 s"),
        ({"audio_fake_segments": [[4.6, 4.4]]}, r"audio_fake_segments: \[4.6, 4.4\] is no segment"),
        ({"visual_fake_segments": 7}, "must be a list of"),
        ({"original": None}, "is a fake without an original"),
        ({"modify_type": "lips"}, "modify_type 'lips' is none of real"),
        ({"modify_type": "real"}, "modify_type is real, and there are 1 fake_segments"),
        ({"fake_segments": []}, "modify_type is both_modified, and there are 0 fake_segments"),
        ({"file": "../other.mp4"}, "is no path of an mp4"),
    ],
)
def test_a_bad_row_of_av_deepfake1m_is_named(change: Mapping[str, Any], reason: str, tmp_path: Path) -> None:
    write_avd(tmp_path, [REAL_ROW])
    write_file(tmp_path, f"train/{FAKE_ROW['file']}")
    write_file(tmp_path, "train_metadata.json", json.dumps([REAL_ROW, {**FAKE_ROW, **change}]))
    skipped = read_skipped("av_deepfake1m", tmp_path)
    assert [(path, kind) for path, kind, _ in skipped] == [("train_metadata.json[1]", "bad_row")]
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(skipped[0][2])


def read_skipped(name: str, root: Path) -> list[tuple[str, str, str]]:
    from avf_curation.recipe import load_recipe
    from avf_curation.sources.registry import list_inputs
    from avf_curation.sources.types import SkippedInput

    skipped: list[SkippedInput] = []
    list(list_inputs(name, root, load_recipe().defaults.plan, skipped))
    return [(each.path, each.kind, each.reason) for each in skipped]


def test_a_listed_file_that_is_absent_is_counted(tmp_path: Path) -> None:
    write_avd(tmp_path, [REAL_ROW])
    write_file(tmp_path, "train_metadata.json", json.dumps([REAL_ROW, FAKE_ROW]))
    videos, kinds = read_corpus("av_deepfake1m", tmp_path)
    assert (len(videos), kinds) == (1, {"missing": 1})


def test_a_list_of_rows_takes_the_memory_of_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    rows = [{**FAKE_ROW, "file": f"id00012/{number:08d}/real.mp4"} for number in range(20_000)]
    path.write_text(json.dumps(rows))
    assert path.stat().st_size > 6e6
    del rows
    tracemalloc.start()
    count = sum(1 for _ in read_json_rows(path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 3e6


@pytest.mark.parametrize("text", ["[]", " [ ] ", '\ufeff[\n{"a": 1}\n,\n{"a": "],["}]\n'])
def test_lists_in_every_layout_are_read(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, "utf-8")
    assert [row for _, row in read_json_rows(path)] == json.loads(text.lstrip("\ufeff"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}', "is no list of JSON objects"),
        ("", "is no JSON list from row 0 on"),
        ('[{"a": 1}, {"a"', "is no JSON list from row 1 on"),
        ('[{"a": 1}', "is no JSON list from row 1 on"),
        ("[1, 2]", "row 0 is no JSON object"),
        ("[" * 200_000, "is no JSON list from row 0 on"),
    ],
)
def test_a_damaged_list_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        list(read_json_rows(path))
    path.write_bytes(b'[{"a": "\xff"}]')
    with pytest.raises(UserError, match="is not UTF-8"):
        list(read_json_rows(path))


def lav_row(**change: Any) -> dict[str, Any]:
    return {
        "file": "test/000001.mp4",
        "n_fakes": 1,
        "fake_periods": [[1.2, 1.9]],
        "duration": 6.2,
        "original": "test/000000.mp4",
        "modify_video": True,
        "modify_audio": False,
        "split": "test",
        "video_frames": 155,
        **change,
    }


def test_lav_df_layout_is_read(tmp_path: Path) -> None:
    real = lav_row(file="test/000000.mp4", n_fakes=0, fake_periods=[], original=None, modify_video=False)
    rows = [
        real,
        lav_row(),
        lav_row(file="dev/000002.mp4", split="dev", modify_audio=True),
        lav_row(file="dev/000003.mp4", n_fakes=2),
        lav_row(file="dev/000004.mp4", original=None),
        lav_row(file="dev/000005.mp4", fake_periods=[[5, 7]]),
        lav_row(file="dev/000006.mp4", modify_video=False),
        lav_row(file="dev/000007.mp4", split="demo"),
        lav_row(file="test/000009.mp4"),
    ]
    for row in rows[:-1]:
        write_file(tmp_path, row["file"])
    write_file(tmp_path, "demo/000000.mp4")
    write_file(tmp_path, "dev/000099.mp4")
    write_file(tmp_path, "metadata.min.json", json.dumps(rows))
    videos, kinds = read_corpus("lav_df", tmp_path)
    assert set(videos) == {"test/000000", "test/000001", "dev/000002"}
    assert truth_of(videos["test/000000"]) == Forgery(is_fake=False, original="test/000000")
    period = ForgedSegment(start_s=1.2, stop_s=1.9, kind="video")
    assert truth_of(videos["test/000001"]) == Forgery(
        is_fake=True, original="test/000000", kind="video", segments=(period,)
    )
    assert labels_of(videos["dev/000002"]).values == {"label": "fake", "forged": "both", "split": "dev"}
    assert kinds == {"bad_row": 5, "missing": 1, "unlisted": 2}


FAKEAVCELEB = """\
source,target1,target2,method,category,type,race,gender,path,
id00076,-,-,real,A,RealVideo-RealAudio,African,men,00109.mp4,FakeAVCeleb/RealVideo-RealAudio/African/men/id00076
id00076,id00166,-,faceswap-wav2lip,D,FakeVideo-FakeAudio,African,men,00109_2.mp4,FakeAVCeleb/FakeVideo-FakeAudio/African/men/id00076
id00077,-,-,rtvc,B,RealVideo-FakeAudio,African,men,00110.mp4,FakeAVCeleb/RealVideo-FakeAudio/African/men/id00077
id00076,-,-,wav2lip,C,FakeVideo-RealAudio,African,men,gone.mp4,FakeAVCeleb/FakeVideo-RealAudio/African/men/id00076
id00076,-,-,wav2lip,C,Lips,African,men,x.mp4,FakeAVCeleb/Lips
short,row
"""


@pytest.mark.parametrize("header", ["path,", "path", "filename,path"])
def test_fakeavceleb_layout_is_read(header: str, tmp_path: Path) -> None:
    table = FAKEAVCELEB.replace("gender,path,\n", f"gender,{header}\n")
    write_file(tmp_path, "FakeAVCeleb_v1.2/meta_data.csv", table)
    for folder, name in (
        ("RealVideo-RealAudio/African/men/id00076", "00109"),
        ("FakeVideo-FakeAudio/African/men/id00076", "00109_2"),
        ("RealVideo-FakeAudio/African/men/id00077", "00110"),
    ):
        write_file(tmp_path, f"FakeAVCeleb_v1.2/{folder}/{name}.mp4")
    videos, kinds = read_corpus("fakeavceleb", tmp_path)
    real, fake = "RealVideo-RealAudio/African/men/id00076/00109", "FakeVideo-FakeAudio/African/men/id00076/00109_2"
    assert set(videos) == {real, fake, "RealVideo-FakeAudio/African/men/id00077/00110"}
    assert truth_of(videos[fake]) == Forgery(
        is_fake=True, original=real, kind="both", method="faceswap-wav2lip", segments=None
    )
    labels = labels_of(videos[fake])
    assert (labels.subject, labels.session) == ("id00076", "id00076")
    assert labels.values["target1"] == "id00166"
    assert "target2" not in labels.values
    assert truth_of(videos[real]) == Forgery(is_fake=False, original=real)
    assert kinds == {"missing": 2, "bad_row": 2}, "a file, and the original of id00077"


def test_dfdc_layout_is_read(tmp_path: Path) -> None:
    part = {
        "a.mp4": {"label": "REAL", "split": "train"},
        "b.mp4": {"label": "FAKE", "split": "train", "original": "a.mp4"},
        "c.mp4": {"label": "FAKE", "split": "train"},
        "d.mp4": {"label": "MAYBE"},
        "e.mp4": "FAKE",
        "../f.mp4": {"label": "REAL"},
        "gone.mp4": {"label": "REAL"},
    }
    for name in ("a", "b", "c", "d", "e"):
        write_file(tmp_path, f"dfdc_train_part_00/dfdc_train_part_00/{name}.mp4")
    write_file(tmp_path, "dfdc_train_part_00/dfdc_train_part_00/metadata.json", json.dumps(part))
    write_file(tmp_path, "dfdc_train_part_01/metadata.json", "[")
    write_file(tmp_path, "test/t1.mp4")
    write_file(tmp_path, "test/t2.mp4")
    write_file(tmp_path, "test/t9.mp4")
    write_file(tmp_path, "dfdc_train_part_00/dfdc_train_part_00/z.mp4")
    write_file(tmp_path, "test/labels.csv", "filename,label\nt1.mp4,1\nt2.mp4,0\nt3.mp4,1\nt1.mp4\n")
    videos, kinds = read_corpus("dfdc", tmp_path)
    assert set(videos) == {f"dfdc_train_part_00/{name}" for name in "abc"} | {"test/t1", "test/t2"}
    original = "dfdc_train_part_00/a"
    assert truth_of(videos["dfdc_train_part_00/b"]) == Forgery(is_fake=True, original=original, segments=None)
    assert truth_of(videos["dfdc_train_part_00/c"]).original == "dfdc_train_part_00/c"
    assert labels_of(videos["test/t1"]).values == {"label": "fake", "split": "test"}
    assert labels_of(videos["test/t2"]).values == {"label": "real", "forged": "none", "method": "real", "split": "test"}
    assert kinds == {"bad_row": 4, "missing": 4, "unlisted": 2}


def test_ffpp_layout_is_read(tmp_path: Path) -> None:
    for name in ("000", "003"):
        write_file(tmp_path, f"original_sequences/youtube/c23/videos/{name}.mp4")
    write_file(tmp_path, "original_sequences/actors/c23/videos/01__meeting_serious.mp4")
    for method, name in (("Deepfakes", "000_003"), ("FaceSwap", "003_000"), ("Deepfakes", "777_778")):
        write_file(tmp_path, f"manipulated_sequences/{method}/c23/videos/{name}.mp4")
    write_file(tmp_path, "manipulated_sequences/Deepfakes/c23/videos/odd.mp4")
    write_file(tmp_path, "manipulated_sequences/Deepfakes/masks/videos/000_003.mp4")
    write_file(tmp_path, "manipulated_sequences/DeepFakeDetection/c23/videos/01_02__meeting_serious__YVGY8LOK.mp4")
    write_file(tmp_path, "splits/train.json", json.dumps([["000", "003"]]))
    write_file(tmp_path, "splits/val.json", json.dumps([["003", "777"]]))
    videos, kinds = read_corpus("ffpp", tmp_path)
    fake = videos["Deepfakes/c23/000_003"]
    assert truth_of(fake) == Forgery(
        is_fake=True, original="youtube/c23/000", kind="video", method="Deepfakes", segments=None
    )
    assert labels_of(fake).values == {
        "label": "fake",
        "forged": "video",
        "method": "Deepfakes",
        "split": "train",
        "quality": "c23",
    }
    assert (labels_of(fake).subject, labels_of(fake).session, fake.group_id) == ("000", "000", "000")
    acted = videos["DeepFakeDetection/c23/01_02__meeting_serious__YVGY8LOK"]
    assert truth_of(acted).original == "actors/c23/01__meeting_serious"
    assert "split" not in labels_of(acted).values
    assert labels_of(videos["Deepfakes/c23/777_778"]).values["split"] == "val"
    assert len(videos) == 7
    assert kinds == {"duplicate": 1, "missing": 2, "unexpected": 1}, "003 is in two splits; 777 and a list are absent"


@pytest.mark.parametrize(
    ("name", "files", "message"),
    [
        ("av_deepfake1m", {}, "no train_metadata.json"),
        ("av_deepfake1m", {"val_metadata.json": "{}"}, "is no list of JSON objects"),
        ("lav_df", {}, "no metadata.json or metadata.min.json"),
        ("fakeavceleb", {}, "meta_data.csv cannot be read"),
        ("fakeavceleb", {"meta_data.csv": "source,path\n"}, "has no column method, type; it has"),
        ("dfdc", {}, "no dfdc_train_part_N/ and no test/"),
        ("ffpp", {}, "neither original_sequences nor manipulated_sequences"),
        ("ffpp", {"splits/test.json": '["000"]'}, "splits/test.json is no JSON list of pairs"),
    ],
)
def test_a_folder_of_another_layout_is_refused(
    name: str, files: Mapping[str, str], message: str, tmp_path: Path
) -> None:
    for path, text in files.items():
        write_file(tmp_path, path, text)
    with pytest.raises(UserError, match=message):
        read_corpus(name, tmp_path)
