"""What a table of an owner lists and the copy lacks, or lists twice, is named by the table's file and line."""

from pathlib import Path

import pytest
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput
from support.corpora import PLAN, write_file

MAFW = "Train_Test_Set/single/no_caption/set_1"
DFEW = "EmoLabel_DataSplit/train(single-labeled)"
MSP = "A:3; V:3; D:3; N:3;"


@pytest.mark.parametrize(
    ("name", "folder", "tables", "told"),
    [
        (
            "mafw",
            "data/clips",
            {f"{MAFW}/train.txt": "00001.mp4 anger\n00002.mp4 fear\n", f"{MAFW}/test.txt": "\n00001.mp4 fear\n"},
            {
                f"{MAFW}/train.txt:1: data/clips/ has no 00001.mp4",
                f"{MAFW}/train.txt:2: data/clips/ has no 00002.mp4",
                f"{MAFW}/test.txt:2: 00001 has the label fear here and anger in {MAFW}/train.txt:1",
            },
        ),
        (
            "dfew",
            "Clip/original",
            {f"{DFEW}/set_1.csv": "video_name,label\n1,1\n", f"{DFEW}/set_2.csv": "video_name,label\n\n1,2\n"},
            {
                f"{DFEW}/set_1.csv:2: Clip/original/ has no 00001.mp4",
                f"{DFEW}/set_2.csv:3: 00001 has the label sad here and happy in {DFEW}/set_1.csv:2",
            },
        ),
        (
            "mer_multi",
            "train",
            {
                "train-label.csv": "name,discrete\n\nsample_00000001,sad\nsample_00000001,sad\n",
                "test1-label.csv": "name,discrete\n",
            },
            {
                "train-label.csv:3: no clip sample_00000001 in train/",
                "train-label.csv:4: sample_00000001 was listed before, in line 3",
            },
        ),
        (
            "mer24",
            "video-labeled",
            {"label-disdim.csv": "name,discrete\n", "val.csv": "name\n\nsample_00000001\n"},
            {"val.csv:3: no labelled clip sample_00000001"},
        ),
        (
            "msp_improv",
            "Video",
            {"Evalution.txt": f"\nUTD-IMPROV-S01A-F01-P-FM01.avi; N; {MSP}\nUTD-IMPROV-S01A-F01-P-FM01.avi; H; {MSP}"},
            {
                "Evalution.txt:3: there is no video S01A-F01-P-FM01",
                "Evalution.txt:3: S01A-F01-P-FM01 was listed before, in line 2; line 3 counts",
            },
        ),
        (
            "avcaffe",
            "videos/shorter_segments",
            {
                "ground_truths/arousal.txt": "arousal\naiim007_task_1, Neutral\n",
                "ground_truths/valence.txt": "aiim007_task_1, Neutral\n",
                "info/no_audio_files.txt": "",
            },
            {"ground_truths/arousal.txt:2: aiim007_task_1 is labelled, but has no segment"},
        ),
        (
            "werewolf_xl",
            "Werewolf-XL_Speaker_Video",
            {
                "labels.csv": "VideoName,Mean_P,Mean_A,Mean_D\n01_02_3,1,1,1\n",
                "players.csv": "session,seat,player\n1,two,7\n1,3,8\n",
            },
            {"labels.csv: row 2: no such clip: 01_02_3", "players.csv: row 2: session or seat is no number"},
        ),
    ],
)
def test_a_row_that_finds_no_clip_is_named(
    name: str, folder: str, tables: dict[str, str], told: set[str], tmp_path: Path
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "test1").mkdir()
    for path, text in tables.items():
        write_file(tmp_path, path, text)
    skipped: list[SkippedInput] = []
    assert not list(list_inputs(name, tmp_path, PLAN, skipped))
    assert told <= {f"{each.path}: {each.reason}" for each in skipped}
