"""Corpora of face pictures as their owners lay them out: what they hold, what they lack, and their plan."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.runs.planning import plan_run
from avf_curation.sources.own_corpora import CORPORA
from avf_curation.sources.pictures.label_maps import AFFECTNET, RAF_DB
from avf_curation.sources.pictures.registry import PICTURE_CORPORA
from avf_curation.sources.registry import corpus_reader, load_recipe_for
from avf_curation.sources.types import OwnersFaces
from avf_shards.errors import UserError
from support import picture_corpora
from support.corpora import write_file
from support.curation_runs import EMBEDDED
from support.picture_corpora import JPEG, encode_npy, read_pictures

MAKE: dict[str, Callable[[Path], Path]] = {
    "affectnet": picture_corpora.affectnet_full,
    "raf_db": picture_corpora.raf_db,
    "casia_webface": picture_corpora.casia_webface,
    "celeba": picture_corpora.celeba,
    "imdb_wiki": picture_corpora.imdb_wiki,
    "webface260m": picture_corpora.webface260m,
}


def test_the_full_release_of_affectnet(tmp_path: Path) -> None:
    pictures, skipped = read_pictures("affectnet", picture_corpora.affectnet_full(tmp_path))
    values = {name: picture.labels.values for name, picture in pictures.items() if picture.labels}
    assert values == {
        "1/a.jpg": {"expression": "Happy", "abaw_expression": "Happiness", "valence": "0.5", "arousal": "-0.25"},
        "1/b.jpg": {"expression": "No-Face"},
        "2/c.jpg": {"expression": "Contempt", "valence": "0.1", "arousal": "0.2"},
        "2/e.png": {"expression": "Fear", "abaw_expression": "Fear", "arousal": "0.2"},
        "2/f.jpg": {"expression": "Anger", "abaw_expression": "Anger", "valence": "0", "arousal": "-1"},
    }
    assert (pictures["1/a.jpg"].box_px, pictures["1/b.jpg"].box_px) == ((10, 20, 40, 60), None)
    assert {name for name, picture in pictures.items() if picture.subset == "validation"} == {"1/a.jpg", "2/f.jpg"}
    assert skipped["training.csv:2"][1] == (
        "1/a.jpg is in the set train here, and listed in validation.csv:1, which counts"
    )
    assert {path: kind for path, (kind, _) in skipped.items()} == {
        "training.csv:5": "bad_row",  # expression 11
        "training.csv:6": "bad_row",  # valence 5: the picture has no valence
        "training.csv:7": "missing",
        "training.csv:8": "missing",
        "training.csv:9": "bad_row",
        "training.csv:10": "bad_row",
        "training.csv:2": "duplicate",
        "Manually_Annotated_Images/3/spare.jpg": "unlisted",
    }


def test_the_release_of_affectnet_in_folders(tmp_path: Path) -> None:
    pictures, skipped = read_pictures("affectnet", picture_corpora.affectnet_2021(tmp_path))
    assert {name: dict(picture.labels.values) for name, picture in pictures.items() if picture.labels} == {
        "train/7": {"expression": "Surprise", "abaw_expression": "Surprise", "valence": "0.5", "arousal": "-0.5"},
        "train/8": {"expression": "Contempt"},
        "validation/7": {"expression": "Neutral", "abaw_expression": "Neutral", "valence": "0", "arousal": "0"},
    }
    assert {path: kind for path, (kind, _) in skipped.items()} == {
        f"train_set/annotations/9_{name}.npy": "missing" for name in ("exp", "val", "aro")
    }


def make_npy_head(shape: str) -> bytes:
    head = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not numpy",
        encode_npy(np.array([1, 2])),
        encode_npy("happy"),
        encode_npy(float("nan")),
        encode_npy({"an": "object"}),
        encode_npy(3)[:-1],
        make_npy_head("(1000000, 1000000, 1000)"),
        encode_npy(3.0).replace(b"<f8", b"<f3"),
        make_npy_head("(" * 2000),
        make_npy_head("-" * 3000),
    ],
)
def test_an_annotation_that_holds_no_number_is_named(data: bytes, tmp_path: Path) -> None:
    picture_corpora.affectnet_2021(tmp_path)
    write_file(tmp_path, "train_set/annotations/7_val.npy", data)
    pictures, skipped = read_pictures("affectnet", tmp_path)
    assert set(pictures) == {"train/8", "validation/7"}
    assert skipped["train_set/annotations/7_val.npy"][0] == "bad_row"


def test_raf_db(tmp_path: Path) -> None:
    pictures, skipped = read_pictures("raf_db", picture_corpora.raf_db(tmp_path))
    assert {
        name: (picture.subset, picture.labels and dict(picture.labels.values)) for name, picture in pictures.items()
    } == {
        "train_00001": ("train", {"expression": "Sadness", "abaw_expression": "Sadness"}),
        "test_0001": ("test", {"expression": "Surprise", "abaw_expression": "Surprise"}),
    }
    table = "basic/EmoLabel/list_patition_label.txt"
    assert {path: kind for path, (kind, _) in skipped.items()} == {
        f"{table}:3": "duplicate",
        f"{table}:4": "missing",
        f"{table}:5": "bad_row",
        f"{table}:6": "bad_row",
        "basic/Image/aligned/test_0003_aligned.jpg": "unlisted",
    }


def test_persons_in_folders(tmp_path: Path) -> None:
    pictures, skipped = read_pictures("casia_webface", picture_corpora.casia_webface(tmp_path / "casia"))
    assert {name: picture.identity for name, picture in pictures.items()} == {
        "0000045/001.jpg": "0000045",
        "0000045/002.jpg": "0000045",
        "0000099/001.jpg": "0000099",
    }
    assert {path: kind for path, (kind, _) in skipped.items()} == {
        "CASIA-WebFace/0000100": "missing",
        "CASIA-WebFace/0000099/notes.txt": "unexpected",
    }
    pictures, skipped = read_pictures("webface260m", picture_corpora.webface260m(tmp_path / "webface"))
    assert sorted(pictures) == ["0_0_0000001/0_0.jpg", "0_0_0000001/0_1.jpg", "0_1_0000002/0_0.jpg"]
    assert not skipped


def test_celeba(tmp_path: Path) -> None:
    pictures, skipped = read_pictures("celeba", picture_corpora.celeba(tmp_path))
    assert {name: picture.subset for name, picture in pictures.items()} == {
        "000001": "train",
        "000002": "validation",
        "000003": "test",
        "000004": None,
    }
    assert {path: kind for path, (kind, _) in skipped.items()} == {
        "list_eval_partition.txt:5": "bad_row",
        "img_align_celeba/000004.jpg": "unlisted",
        "list_eval_partition.txt:4": "missing",
    }


def test_a_picture_of_celeba_in_two_sets_is_in_the_later_and_told_with_both_lines(tmp_path: Path) -> None:
    root = picture_corpora.celeba(tmp_path)
    write_file(root, "list_eval_partition.txt", "000003.jpg 2\n000001.jpg 0\n000003.jpg 0\n000001.jpg 1\n")
    pictures, skipped = read_pictures("celeba", root)
    assert (pictures["000001"].subset, pictures["000003"].subset) == ("validation", "test")
    told = {path: reason for path, (kind, reason) in skipped.items() if kind == "duplicate"}
    assert told == {
        "list_eval_partition.txt:3": "000003 is in the set train here, and in test by list_eval_partition.txt:1: "
        "counts for test",
        "list_eval_partition.txt:4": "000001 is in the set validation here, and in train by "
        "list_eval_partition.txt:2: counts for validation",
    }


def test_imdb_wiki_has_what_the_owners_detector_saw(tmp_path: Path) -> None:
    pictures, skipped = read_pictures("imdb_wiki", picture_corpora.imdb_wiki(tmp_path))
    assert {name: (picture.owners_faces, picture.box_px) for name, picture in pictures.items()} == {
        "wiki/00/a.jpg": (OwnersFaces(score=3.5, second_score=None), (1, 2, 30, 40)),
        "wiki/00/b.jpg": (OwnersFaces(score=None, second_score=None), None),
        "wiki/01/c.jpg": (OwnersFaces(score=4.0, second_score=2.0), (1, 2, 30, 40)),
        "wiki/01/d.jpg": (OwnersFaces(score=0.5, second_score=None), (1, 2, 30, 40)),
    }
    assert skipped == {
        "wiki_crop/wiki.mat: entry 5": ("missing", "no picture '01/gone.jpg' in wiki_crop/"),
        "wiki_crop/01/spare.jpg": ("unlisted", "wiki_crop/wiki.mat has no such entry"),
    }


@pytest.mark.parametrize("data", [b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_a_damaged_table_of_imdb_wiki_is_refused_with_one_sentence(data: bytes, tmp_path: Path) -> None:
    picture_corpora.imdb_wiki(tmp_path)
    write_file(tmp_path, "wiki_crop/wiki.mat", data)
    with pytest.raises(UserError, match=r"wiki\.mat cannot be read \(.*\); is it the owners' table\?"):
        read_pictures("imdb_wiki", tmp_path)


def test_a_table_that_claims_gigabytes_is_refused(tmp_path: Path) -> None:
    """An array that claims 64 GB and holds eight bytes is the fault of its file, in one sentence."""
    picture_corpora.imdb_wiki(tmp_path)
    write_file(tmp_path, "wiki_crop/wiki.mat", make_mat_head() + make_array(b"wiki", (80_000, 100_000)))
    with pytest.raises(UserError, match=r"wiki\.mat cannot be read"):
        read_pictures("imdb_wiki", tmp_path)


def make_mat_head() -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"


def make_array(name: bytes, shape: tuple[int, int]) -> bytes:
    """Return a matrix of float64 that holds eight bytes, whatever its shape says."""
    body = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, *shape)
    body += struct.pack("<II", 1, len(name)) + name.ljust(8, b"\0")
    body += struct.pack("<IId", 9, min(8 * shape[0] * shape[1], 0xFFFF_FFF0), 0.0)
    return struct.pack("<II", 14, len(body)) + body


def test_check_counts_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [f"{name}={make(_folder(tmp_path / name))}" for name, make in MAKE.items()]
    assert main(["sources", "check", *arguments]) == 0
    output = capsys.readouterr().out
    assert "affectnet: 5 pictures of the owners' 420,299" in output
    assert "abaw_expression: Anger 1, Fear 1, Happiness 1" in output
    assert "numbers: arousal 4, valence 3" in output
    assert "casia_webface: 3 pictures of the owners' 494,414" in output
    assert "2 persons" in output
    assert main(["sources", "check", *arguments, "--json", "-"]) == 0
    reports = {report["source"]: report for report in json.loads(capsys.readouterr().out)}
    assert reports["celeba"]["subsets"] == {"test": 1, "train": 1, "validation": 1}
    assert reports["imdb_wiki"]["kinds"] == {"missing": 1, "unlisted": 1}
    assert reports["imdb_wiki"]["numbers"] == {"face score": 3, "second face score": 1}


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("name", MAKE)
def test_pictures_are_planned_with_what_their_owners_say(name: str, tmp_path: Path) -> None:
    root = MAKE[name](_folder(tmp_path / "in"))
    pictures, _ = read_pictures(name, root)
    recipe = load_recipe_for([name], None, [])
    plan = plan_run(recipe, EMBEDDED, {name: root}, tmp_path / "run")
    inputs = {video.video_id: video for job in plan.jobs(set()) for video in job.videos}
    assert plan.content == "pictures"
    assert inputs == {picture_id: picture.to_input(name) for picture_id, picture in pictures.items()}
    assert all(video.picture is not None for video in inputs.values())
    assert {video.speaker for video in inputs.values()} == {picture.identity for picture in pictures.values()}


def test_pictures_and_videos_are_not_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        _folder(tmp_path / name)
    words = ["plan", "--source", f"celeba={tmp_path / 'a'}", "--out", str(tmp_path / "run")]
    assert main([*words, "--source", f"talks={tmp_path / 'b'}"]) == 2
    assert "holds pictures, and a run has pictures alone or none; curate talks into another" in capsys.readouterr().err
    assert main([*words, "--source", f"voxceleb2={tmp_path / 'b'}", "--recipe", "pictures"]) == 2
    assert "--source voxceleb2=...: is a corpus of videos" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [corpus.name for corpus in PICTURE_CORPORA if corpus.name != "pictures"])
def test_another_layout_is_refused_with_one_sentence(name: str, tmp_path: Path) -> None:
    write_file(tmp_path, "holiday/1.jpg", JPEG)
    with pytest.raises(UserError, match=f"^--source {name}="):
        read_pictures(name, tmp_path)


def test_names_of_picture_corpora_are_unique_and_misspelt_ones_refused() -> None:
    names = [corpus.name for corpus in (*CORPORA, *PICTURE_CORPORA)]
    assert len(set(names)) == len(names)
    assert corpus_reader("affectnet") is None
    with pytest.raises(UserError, match="did you mean affectnet"):
        corpus_reader("affect_net")


def test_every_class_of_the_owners_is_mapped() -> None:
    assert sorted(AFFECTNET) == list(range(11))
    assert [AFFECTNET[n][1] for n in range(8)] == [
        *("Neutral", "Happiness", "Sadness", "Surprise", "Fear", "Disgust", "Anger"),
        None,
    ]
    assert [RAF_DB[n][1] for n in range(1, 8)] == [
        *("Surprise", "Fear", "Disgust", "Happiness", "Sadness", "Anger", "Neutral")
    ]
