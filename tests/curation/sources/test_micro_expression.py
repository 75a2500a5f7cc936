"""Micro-expression and dialogue corpora in their published layouts give labels, subjects and time ranges."""

from pathlib import Path

import numpy as np
import pytest
from avf_curation.demo.video import ShotScript, shot_frames
from avf_curation.media.decode import MediaFile
from avf_curation.media.types import MediaError
from avf_curation.pipeline.input_check import find_time_range
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.errors import UserError
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from avf_training.data.storage import StorageConfig
from avf_training.tasks.catalog import find_dataset
from avf_training.tasks.labelled_clips import read_labelled_clips
from avf_training.tasks.labelled_shards import LabelledShards
from support.corpora import labels_of, read_corpus, write_file
from support.curation_runs import EMBEDDED, make_recipe
from support.images import write_images, write_xlsx

CASME2 = ("Subject", "Filename", "", "OnsetFrame", "ApexFrame", "OffsetFrame", "", "Action Units", "Estimated Emotion")


def test_casme2_layout_is_read(tmp_path: Path) -> None:
    rows = [
        CASME2,
        (1, "EP02_01f", "", 46, "/", 60.0, "", "4+7", "disgust"),
        (2, "EP01_01", "", 85, 88, 60, "", "4", "happiness"),  # before its onset: taken to the last picture
        (3, "EP09_09", "", 5, 6, 400, "", "4", "others"),
        (4, "EP12_01f", "", 1, 2, 3, "", "4", "surprise"),
        ("x", "EP", "", 1, 2, 3, "", "4", "surprise"),
    ]
    write_xlsx(tmp_path / "CASME2-coding-20140508.xlsx", rows)
    for folder, first, last in (("sub01/EP02_01f", 40, 70), ("sub02/EP01_01", 80, 95), ("sub03/EP09_09", 1, 20)):
        names = [f"img{n}.jpg" for n in range(first, last + 1)]
        write_images(tmp_path / "CASME2_RAW_selected" / folder, [*names, ".hidden1.jpg"])
    videos, kinds = read_corpus("casme2", tmp_path)
    early_onset, late_onset = videos["sub01/EP02_01f"], videos["sub02/EP01_01"]
    assert (early_onset.start_s, early_onset.stop_s) == (6 / 25, 21 / 25), (
        "img46 is the seventh picture, img60 the twenty-first"
    )
    assert labels_of(early_onset).values == {"emotion": "disgust", "pictures_per_s": "200", "action_units": "4+7"}
    assert (labels_of(early_onset).subject, early_onset.group_id) == ("sub01", "sub01")
    assert (late_onset.start_s, late_onset.stop_s) == (5 / 25, 16 / 25)
    assert set(videos) == {"sub01/EP02_01f", "sub02/EP01_01"}
    assert kinds == {"excluded": 1, "bad_row": 3}


@pytest.mark.parametrize("take", ["../../../secret", "EP\0"])
def test_a_table_that_names_a_folder_outside_the_corpus_opens_nothing(take: str, tmp_path: Path) -> None:
    write_images(tmp_path / "secret", [f"img{n}.jpg" for n in range(1, 9)])
    corpus = tmp_path / "corpus"
    write_images(corpus / "CASME2_RAW_selected/sub01/EP01", [f"img{n}.jpg" for n in range(1, 9)])
    rows = [CASME2, (1, "EP01", "", 1, 2, 8, "", "4", "disgust"), (1, take, "", 1, 2, 8, "", "4", "disgust")]
    if "\0" in take:  # a spreadsheet cannot hold it, a table of text can
        lines = "\n".join(",".join(str(cell) for cell in row) for row in rows)
        (corpus / "CASME2-coding-20140508.csv").write_text(lines)
    else:
        write_xlsx(corpus / "CASME2-coding-20140508.xlsx", rows)
    videos, kinds = read_corpus("casme2", corpus)
    assert set(videos) == {"sub01/EP01"}
    assert kinds == {"bad_row": 1}


def test_known_errors_of_the_tables_are_corrected(tmp_path: Path) -> None:
    """CASME II, row 60 below the head: an offset before its onset, where 91 is meant."""
    filler = [(9, f"EP{n:02d}", "", 1, 2, 3, "", "4", "others") for n in range(60)]
    row = (2, "EP01_01", "", 85, 88, 19, "", "4", "happiness")
    write_xlsx(tmp_path / "CASME2-coding-20140508.xlsx", [CASME2, *filler, row])
    write_images(tmp_path / "CASME2_RAW_selected/sub02/EP01_01", [f"img{n}.jpg" for n in range(80, 96)])
    videos, _ = read_corpus("casme2", tmp_path)
    assert (videos["sub02/EP01_01"].start_s, videos["sub02/EP01_01"].stop_s) == (5 / 25, 12 / 25)


def test_samm_is_read_below_its_preamble(tmp_path: Path) -> None:
    head = ("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro",
            "Action Units", "Estimated Emotion", "Objective Classes", "Notes")  # fmt: skip
    rows = [("SAMM", "", ""), *[("",)] * 12, head]
    rows += [("006", "006_1_2", 1, 562, 588, 605, 44, "Micro - 1/2", "4+7", "Anger", 4, ""),
             (7, "007_3_1", 1, 500, 510, 56, 9, "", "4", "Other", 4, "")]  # fmt: skip
    write_xlsx(tmp_path / "SAMM_Micro_FACS_Codes_v2.xlsx", rows)
    write_images(tmp_path / "SAMM/006/006_1_2", [f"006_{n:05d}.jpg" for n in range(560, 610)])
    write_images(tmp_path / "SAMM/007/007_3_1", [f"007_{n:04d}.jpg" for n in (498, 500, 504)])
    videos, kinds = read_corpus("samm", tmp_path)
    assert labels_of(videos["006_1_2"]).values["emotion"] == "anger"
    assert (videos["006_1_2"].start_s, videos["006_1_2"].stop_s) == (2 / 25, 46 / 25)
    assert (videos["007_3_1"].start_s, videos["007_3_1"].stop_s) == (1 / 25, 3 / 25), "offset before onset: to the end"
    assert kinds == {"bad_row": 1}


def test_smic_mmew_and_casme3_layouts_are_read(tmp_path: Path) -> None:
    smic = tmp_path / "smic/SMIC_all_cropped/HS"
    write_images(smic / "s1/micro/negative/s1_ne_01", ["reg_image000123.bmp", "reg_image000124.bmp"])
    write_images(smic / "s1/micro/surprise/s1_sur_02", ["reg_image000001.bmp"])
    write_images(smic / "s1/non_micro/s1_n_01", ["reg_image000001.bmp"])
    videos, kinds = read_corpus("smic", tmp_path / "smic")
    assert {name: labels_of(video).values["emotion"] for name, video in videos.items()} == {
        "s1_ne_01": "negative",
        "s1_sur_02": "surprise",
    }
    assert kinds == {"excluded": 1}

    mmew = tmp_path / "mmew/Micro_Expression"
    write_images(mmew / "anger/S01-02-003", ["10.jpg", "9.jpg", "1.jpg"])
    (mmew / "others/S02-07-001").mkdir(parents=True)
    videos, kinds = read_corpus("mmew", tmp_path / "mmew")
    assert labels_of(videos["S01-02-003"]).subject == "S01"
    assert kinds == {"missing": 6}

    casme3 = tmp_path / "casme3"
    rows = [("Subject", "Filename", "Onset", "Apex", "Offset", "AU", "Objective class", "emotion"),
            ("spNO.10", "a", 116, 121, 126, "4", "II", "Disgust"), ("spNO.1", "b", 5, 6, 7, "4", "II", "happy"),
            ("spNO.1", "b", "?", 6, 7, "4", "II", "happy")]  # fmt: skip
    write_xlsx(casme3 / "cas(me)3_part_A_ME_label_JpgIndex_v2.xlsx", rows)
    write_images(casme3 / "Part_A_ME_clip/frame/spNo.10_a_116", ["116.jpg", "117.jpg"])
    videos, kinds = read_corpus("casme3", casme3)
    assert labels_of(videos["spNo.10_a_116"]).values["emotion"] == "disgust"
    assert labels_of(videos["spNo.10_a_116"]).subject == "spNO.10"
    assert kinds == {"missing": 1, "bad_row": 1}


DFME = ("Subject", "Filename", "Onset", "Apex", "Offset", "Emotion", "AUs")


def test_dfme_layout_is_read(tmp_path: Path) -> None:
    tables = {
        "training": [
            (3, "sub0003_01", 2, 4, 6, "Happiness", "AU12"),
            (3, "sub0003_02", 9, 4, 6, "Others", ""),  # offset before onset: to the last picture
            (3, "sub0003_01", 2, 4, 6, "Fear", ""),  # a second time
            (3, "sub0003_03", 2, 4, 60, "Fear", ""),  # beyond the pictures
            (3, "sub0003_04", "", 4, 6, "Fear", ""),
            (3, "sub0003_05", 1, 4, 6, "", ""),
            (3, "../../secret", 1, 4, 6, "Fear", ""),
        ],
        "testA": [(14, "sub0014_01", 1, 2, 3, "SURPRISE", "AU1")],
        "testB": [(15, "sub0015_01", 1, 2, 3, "contempt", ""), (15, "sub0015_02", 1, 2, 3, "Anger", "")],
    }
    for name, rows in tables.items():
        write_xlsx(tmp_path / f"full_release_annotation/{name}_full_with_AU.xlsx", [DFME, *rows])
    names = [f"{number:05d}.png" for number in range(1, 12)]
    for take in ("sub0003_01", "sub0003_02", "sub0003_03"):
        write_images(tmp_path / "train_data/train_data" / take, names)
    write_images(tmp_path / "test_data_A/test_data_A/sub0014_01", names)
    write_images(tmp_path / "test_data_B/sub0015_01", names)  # unpacked without the second folder
    videos, kinds = read_corpus("dfme", tmp_path)
    assert set(videos) == {"training/sub0003_01", "training/sub0003_02", "test_a/sub0014_01", "test_b/sub0015_01"}
    happy, late = videos["training/sub0003_01"], videos["training/sub0003_02"]
    assert labels_of(happy).values == {"emotion": "happiness", "split": "training", "action_units": "AU12"}
    assert (labels_of(happy).subject, happy.group_id) == ("sub0003", "sub0003")
    assert (happy.start_s, happy.stop_s) == (1 / 25, 6 / 25)
    assert (late.start_s, late.stop_s) == (8 / 25, 11 / 25)
    assert labels_of(videos["test_a/sub0014_01"]).values["emotion"] == "surprise"
    assert labels_of(videos["test_b/sub0015_01"]).values["split"] == "test_b"
    assert kinds == {"bad_row": 5, "duplicate": 1, "missing": 1}


def test_a_part_of_dfme_without_its_table_is_noted(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "training_full_with_AU.xlsx", [DFME, (1, "sub0001_01", 1, 2, 3, "Fear", "")])
    write_images(tmp_path / "train_data/sub0001_01", ["00001.png", "00002.png", "00003.png"])
    videos, kinds = read_corpus("dfme", tmp_path)
    assert set(videos) == {"training/sub0001_01"}
    assert kinds == {"missing": 2}


def test_iemocap_turns_are_time_ranges_and_frame_halves_of_a_dialogue(tmp_path: Path) -> None:
    base = "IEMOCAP_full_release/Session1/dialog"
    write_file(tmp_path, f"{base}/avi/DivX/Ses01F_impro01.avi")
    lines = [
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]",
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]",
        "C-E2:\tNeutral;\t()",
        "[10.0100 - 11.3925]\tSes01F_impro01_M001\texc\t[2.5000, 3.5000, 2.5000]",
        "[112.0 - 111.0]\tSes01F_impro01_M002\txxx\t[2.5000, 3.5000, 2.5000]",
        "[112.0]\tnonsense",
    ]
    write_file(tmp_path, f"{base}/EmoEvaluation/Ses01F_impro01.txt", "\n".join(lines))
    write_file(tmp_path, f"{base}/EmoEvaluation/Ses01M_script01_1b.txt", "")
    videos, kinds = read_corpus("iemocap", tmp_path)
    woman, man = videos["Ses01F_impro01_F000"], videos["Ses01F_impro01_M001"]
    assert (woman.side, man.side) == ("left", "right"), "the woman wears the markers and sits on the left"
    assert (woman.start_s, woman.stop_s) == (6.2901, 8.2357)
    assert labels_of(woman).values == {
        "emotion": "neu",
        "valence": "2.5000",
        "activation": "2.5000",
        "dominance": "2.5000",
    }
    assert (labels_of(man).subject, labels_of(man).session) == ("1M", "1")
    assert kinds == {"bad_row": 2, "missing": 5}, "four sessions and a video"


def test_werewolf_players_keep_their_subject_across_games(tmp_path: Path) -> None:
    for name in ("07_01_200", "07_02_3", "08_01_1"):
        write_file(tmp_path, f"Werewolf-XL_Speaker_Video/{name}.mp4")
    table = "VideoName,Session,Categorical,Mean_P_1_2_3_4,Mean_A_1_2,Mean_D_1_2_4,Group\n"
    table += "07_01_200,7,中性,0.25,1.0,0.5,1\n08_01_1,8,高兴,-0.5,0.5,x,1\n09_01_1,9,高兴,-0.5,0.5,0,1\n"
    write_file(tmp_path, "labels.csv", table)
    write_file(tmp_path, "players.csv", "session,seat,player\n7,1,ann\n8,1,bob\n")
    videos, kinds = read_corpus("werewolf_xl", tmp_path)
    labels = labels_of(videos["07_01_200"])
    assert (labels.values["valence"], labels.values["arousal"], labels.values["dominance"]) == ("0.25", "1.0", "0.5")
    assert (labels.subject, labels.session) == ("ann", "07")
    assert kinds == {"unlisted": 2, "bad_row": 1, "missing": 1}


@pytest.mark.parametrize(
    ("source", "files", "message"),
    [
        ("casme2", {"CASME2-coding-20140508.xlsx": "no zip"}, "CASME2-coding-20140508.xlsx cannot be read as an .xlsx"),
        ("casme2", {"CASME2-coding-20140508.csv": "a,b\n1,2\n"}, "has no row with the columns subject, filename"),
        ("samm", {}, "none of the tables SAMM_Micro_FACS_Codes_v2.xlsx is in it"),
        ("dfme", {"x": "y"}, "none of the tables training_full_with_AU.xlsx, testA"),
        ("smic", {"x": "y"}, "no folder such as s1/micro in it"),
        ("mmew", {"x": "y"}, "no folder Micro_Expression/"),
        ("iemocap", {"x": "y"}, "no folder Session1/"),
        ("werewolf_xl", {"x": "y"}, "none of the folders Werewolf-XL_Speaker_Video, Speaker_Video, video"),
        ("werewolf_xl", {"video/07_01_1.mp4": "y"}, "no .csv with VideoName and Mean_P"),
    ],
)
def test_another_layout_is_refused_with_one_sentence(
    tmp_path: Path, source: str, files: dict[str, str], message: str
) -> None:
    for path, text in files.items():
        write_file(tmp_path, path, text)
    with pytest.raises(UserError, match=message):
        read_corpus(source, tmp_path)


def test_images_are_frames_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    levels = [10, 60, 110, 160, 210]
    frames = [np.full((64, 64, 3), level, np.uint8) for level in levels]
    write_images(
        tmp_path / "mmew/Micro_Expression/anger/S01-02-003", ["8.png", "9.png", "10.png", "11.png", "100.png"], frames
    )
    videos, _ = read_corpus("mmew", tmp_path / "mmew")
    (video,) = videos.values()
    with MediaFile(tmp_path / "mmew" / video.path, load_recipe().defaults.media, None, find_time_range(video)) as media:
        brightness = [int(entry.frame.to_ndarray(format="gray").mean()) for entry in media.frames()]
        assert brightness == pytest.approx(levels, abs=2)
        assert media.video_track is not None
        assert media.video_track.frames == 5
        assert media.audio(5) is None


def test_images_of_a_micro_expression_become_a_labelled_clip(tmp_path: Path) -> None:
    faces, _ = shot_frames(ShotScript(frames=24, speakers=(3,), seed=5))
    names = [f"img{n}.jpg" for n in range(40, 64)]
    write_images(tmp_path / "in/CASME2_RAW_selected/sub01/EP02_01f", names, list(faces))
    write_xlsx(
        tmp_path / "in/CASME2-coding-20140508.xlsx", [CASME2, (1, "EP02_01f", "", 45, 50, 56, "", "4", "repression")]
    )
    run = curate(
        make_recipe(*labelled_settings()),
        EMBEDDED,
        {"casme2": tmp_path / "in"},
        tmp_path / "run",
        RunOptions(engine="inline"),
    )
    pack_shards(run, tmp_path / "shards", Selection())
    labelled = read_labelled_clips(LabelledShards([tmp_path / "shards"], StorageConfig()), find_dataset("casme2"))
    (clip,) = labelled.clips
    assert (clip.label, clip.subject) == ("negative", "sub01")
    assert clip.key in labelled.silent
    (record,) = [record for _, record in LabelledShards([tmp_path / "shards"], StorageConfig()).records()]
    assert (record.span.start_frame, record.span.stop_frame) == (0, 12)


def labelled_settings() -> list[str]:
    sets = ["scenes.detectors=[]", "gates.silence=skip"]
    return sets + [f"gates.{stage}=measure" for stage in ("scenes", "faces", "track", "sync", "quality")]


def test_a_playlist_with_the_name_of_an_image_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/1.jpg").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hosts\n")
    with pytest.raises(MediaError, match="cannot be opened as a video"):
        MediaFile(tmp_path / "x", load_recipe().defaults.media)
