"""Miniature trees of the corpora in the layout that their owners distribute, with the known faults of each corpus."""

import json
from collections import Counter
from pathlib import Path

from avf_curation.runs.plan import make_plan
from avf_curation.runs.plan_table import videos_of
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.schema.labels import Labels

from support.curation_runs import make_recipe

HEAD = "Identity : \tid00012\nReference : \t_21Uxsk56VD\nOffset : \t-1\nFV Conf : \t20.6\nASD Conf : \t5.2\n\n"
TRACK = (
    HEAD
    + "FRAME \tX \tY \tW \tH \n"
    + "".join(f"{frame:06d} \t0.376 \t0.166 \t0.227 \t0.403 \n" for frame in range(149, 249))
)


def write_file(root: Path, path: str, data: bytes | str = b"media") -> Path:
    """Write a file below `root`, with its folders; return its path."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data.encode() if isinstance(data, str) else data)
    return file


def voxceleb2(root: Path) -> Path:
    """Write VoxCeleb2: two speakers, an id that begins with '-', clips without audio, audio without clips."""
    for clip in ("id00012/21Uxsk56VDQ/00001", "id00012/21Uxsk56VDQ/00002", "id00017/-abcDEF_12x/00001"):
        write_file(root, f"dev/mp4/{clip}.mp4", f"film {clip}")
        write_file(root, f"dev/txt/{clip}.txt", TRACK)
        if clip[-1] == "1":
            write_file(root, f"dev/aac/{clip}.m4a")
    write_file(root, "dev/txt/id00012/21Uxsk56VDQ/00002.txt", HEAD + "FRAME \tX \tY \tW \tH \n000149 \tnothing\n")
    write_file(root, "dev/aac/id00012/21Uxsk56VDQ/00009.m4a")
    write_file(root, "dev/aac/id00018/aaaaaaaaaaa/00001.m4a")
    write_file(root, "dev/mp4/id00012/21Uxsk56VDQ/notes.docx")
    write_file(root, "dev/mp4/vox2_dev_mp4_partaa")
    write_file(root, "test/mp4/id00099/21Uxsk56VDQ/00001.mp4")
    return root


def avspeech(root: Path) -> Path:
    """Write AVSpeech: duplicate and broken rows, rows without a file, downloads named by each known scheme."""
    rows = [
        "youtube_id,start,end,x,y",
        "Qa_3zKpLm-0,30.030000,36.503133,0.468750,0.281944",
        "Qa_3zKpLm-0,90,95.5,0.5,0.3",
        "Qa_3zKpLm-0,30.03,36.503133,0.468750,0.281944",
        "-_startsodd,1,5,0.5,0.5",
        "wholefilm__,2,4,0.25,0.75",
        "gonegonegon,0,3,0.5,0.5",
        "short,0,3,0.5,0.5",
        "backwards__,9,3,0.5,0.5",
        "outside____,1,3,1.5,0.5",
        "threecolumns,1,3",
    ]
    write_file(root, "avspeech_train.csv", "\n".join(rows) + "\n")
    write_file(root, "avspeech_test.csv", "7,numbered___,10.0,14.0,0.5,0.5\n")
    write_file(root, "clips/Qa_3zKpLm-0_030.030000-036.503133.mp4")
    write_file(root, "clips/-_startsodd_001.000000-005.000000.mp4")
    write_file(root, "clips/-_startsodd_002.000000-005.000000.mp4")
    write_file(root, "clips/nobodyknows_001.000000-005.000000.mp4")
    write_file(root, "more/wholefilm__.mkv")
    write_file(root, "more/numbered____0.mp4")
    write_file(root, "more/holiday.mp4")
    return root


def mer2024(root: Path) -> Path:
    """Write MER2024: three labelled and four unlabelled clips, a name in both folders, a row without a clip."""
    for name in ("sample_00000001", "sample_00000002", "samplenew_00000003"):
        write_file(root, f"mer2024-dataset/video-labeled/{name}.mp4")
    for name in ("sample_00000002", "sample_00001001", "sample_00001002", "samplenew_00001003"):
        write_file(root, f"mer2024-dataset/video-unlabeled-with-test2noise/{name}.mp4")
    rows = ["name,discrete,valence", "sample_00000001,worried,-1.25", "sample_00000009,happy,1.5", ",sad,0"]
    write_file(root, "mer2024-dataset/label-disdim.csv", "\n".join(rows) + "\n")
    return root


def cncvs(root: Path) -> Path:
    """Write both parts of CN-CVS, a speaker without audio files, CN-Celeb-AV, and the audio of CN-Celeb."""
    write_file(root, "cncvs/news/n001/video/n001_00001_001.mp4")
    write_file(root, "cncvs/news/n001/video/n001_00001_002.mp4")
    write_file(root, "cncvs/news/n001/audio/n001_00001_001.wav")
    write_file(root, "cncvs/news/n001/audio/n001_00001_009.wav")
    write_file(root, "cncvs/speech/s00001/video/s00001_00003_001.mp4")
    write_file(root, "cncvs/speech/s00001/video/s00002_00003_001.mp4")
    write_file(root, "final_video/id1000/interview-01-001.mp4")
    write_file(root, "final_audio/id1000/interview-01-001.wav")
    entry = {"url": "https://example.org/v", "start_time": "00:01:02:05", "duration": "00:00:04:00", "id": "id1000"}
    entries = [entry | {"filename": "interview-01-001.mp4"}, entry | {"filename": "interview-01-002.mp4"}, {"id": "x"}]
    write_file(root, "final_metadata/id1000.json", json.dumps(entries))
    write_file(root, "CN-Celeb_flac/data/id00000/singing-01-001.flac")
    return root


def make_celebvhq_entry(youtube_id: str, start: float, stop: float, **values: object) -> dict[str, object]:
    """Return the entry of a clip in the JSON file of CelebV-HQ."""
    return {
        "ytb_id": youtube_id,
        "duration": {"start_sec": start, "end_sec": stop},
        "bbox": {"top": 0.0, "bottom": 0.8815, "left": 0.1964, "right": 0.6922},
        "attributes": {"emotion": {"sep_flag": False, "labels": "neutral"}},
        "version": "v0.1",
    } | values


def celebvhq(root: Path, top: str = "meta_info") -> Path:
    """Write CelebV-HQ: a video with two clips, a cut clip, an id without a video, a bad box, a clip listed twice."""
    changing = {"emotion": {"sep_flag": True, "labels": [{"emotion": "happy", "start_sec": 0, "end_sec": 1}]}}
    upside_down = {"top": 0.5, "bottom": 0.2, "left": 0, "right": 1}
    clips = {
        "M2Ohb0FAaJU_1": make_celebvhq_entry("M2Ohb0FAaJU", 1.0, 3.0),
        "M2Ohb0FAaJU_2": make_celebvhq_entry("M2Ohb0FAaJU", 4.0, 5.5, attributes=changing),
        "_0tfABCDE_q_0": make_celebvhq_entry("_0tfABCDE_q", 7.0, 9.0),
        "deaddeaddea_0": make_celebvhq_entry("deaddeaddea", 0.0, 2.0),
        "badbadbadba_0": make_celebvhq_entry("badbadbadba", 0.0, 2.0, bbox=upside_down),
        "otherotherot_0": make_celebvhq_entry("M2Ohb0FAaJU", 0.0, 2.0),
    }
    text = json.dumps({top: {"appearance_mapping": []}, "clips": clips})
    duplicate = json.dumps({"M2Ohb0FAaJU_1": clips["M2Ohb0FAaJU_1"]})[1:-1]
    write_file(root, "celebvhq_info.json", text.replace('"clips": {', '"clips": {' + duplicate + ", "))
    write_file(root, "downloaded_celebvhq/raw/M2Ohb0FAaJU.mp4")
    write_file(root, "downloaded_celebvhq/raw/unusedunuse.mp4")
    write_file(root, "downloaded_celebvhq/processed/_0tfABCDE_q_0.mp4")
    return root


PLAN = make_recipe().defaults.plan


def read_corpus(name: str, root: Path) -> tuple[dict[str, Video], Counter[str]]:
    """Return the videos of a corpus by their id, and how many inputs were skipped for each kind of reason."""
    skipped_inputs: list[SkippedInput] = []
    videos = list(list_inputs(name, root, PLAN, skipped_inputs))
    assert videos_of(make_plan(videos, {name: PLAN})) == sorted(videos, key=lambda v: (v.group_id, v.video_id)), (
        "plan keeps all"
    )
    return {video.video_id: video for video in videos}, Counter(skipped.kind for skipped in skipped_inputs)


def labels_of(video: Video) -> Labels:
    """Return the labels of a video that must have some."""
    assert video.labels is not None
    return video.labels


AU_HEADER = "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"
EXPRESSION_HEADER = "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"


def write_annotation(root: Path, path: str, header: str, lines: list[str]) -> None:
    """Write an annotation of Aff-Wild2 below the folder of the 6th challenge."""
    write_file(root, f"6th_ABAW_Annotations/{path}.txt", "\n".join([header, *lines]) + "\n")


def aff_wild2(root: Path) -> Path:
    """Write Aff-Wild2: names inside one another, two persons in a film, both spellings, and each known fault."""
    for name in ("batch1/1-30-1280x720.mp4", "batch1/11-30-1280x720.mp4", "batch1/video10_1.mp4", "batch1/video10.avi"):
        write_file(root, name, f"film {name}")
    for name in ("batch2/10-60-1280x720.mp4", "batch2/6-30-1920x1080.mp4", "new_vids/143.avi", "new_vids/spare.mp4"):
        write_file(root, name, f"film {name}")
    va, header = "VA_Estimation_Challenge", "valence,arousal"
    write_annotation(root, f"{va}/Train_Set/1-30-1280x720", header, ["0.602,0.389", "-5,-5", "-0.5,1"])
    write_annotation(root, f"{va}/Train_Set/10-60-1280x720", header, ["0.1,0.2"])
    write_annotation(root, f"{va}/Train_Set/10-60-1280x720_right", header, ["0.3,0.4"])
    write_annotation(root, f"{va}/Validation_Set/video10_1_left", header, ["0.1,zero", "0.2,0.5", "2,0", ""])
    write_annotation(root, f"{va}/Validation_Set/gone", header, ["0,0"])
    write_annotation(root, f"{va}/Train_Set/video10", header, ["0,0"])
    write_annotation(root, f"{va}/Validation_Set/video10", header, ["0,0"])
    write_annotation(root, "EXPR_Recognition_Challenge/Train_Set/6-30-1920x1080_left", EXPRESSION_HEADER, ["4", "-1"])
    write_annotation(
        root, "EXPR_Classification_Challenge/Train_Set/1-30-1280x720", EXPRESSION_HEADER, ["0", "7", "8", "-1"]
    )
    write_annotation(root, "EXPR_Recognition_Challenge/Validation_Set/11-30-1280x720", "Neutral,Anger", ["0"])
    write_annotation(
        root, "AU_Detection_Challenge/Validation_Set/1-30-1280x720", AU_HEADER, ["0,0,0,0,1,0,0,0,0,0,1,-1"]
    )
    lists = "names_of_videos_in_each_test_set"
    write_file(root, f"{lists}/Valence_Arousal_Estimation_Challenge_test_set_release.txt", "11-30-1280x720\nlost\n")
    write_file(root, f"{lists}/Expression_Classification_Challenge_test_set_release.txt", "143\n")
    return root
