"""Runs of face pictures, from the folder to the shards: verdicts, what is stored, takedowns, retries."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.cli.main import main
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.cli.main import main as shards_main
from avf_shards.deletion.requests import DeletionRequest
from avf_shards.errors import UserError
from avf_shards.format.corpus import load_corpus
from avf_shards.format.picture_record import PictureRecord, read_stored_picture
from avf_shards.format.run_folder import RunFolder
from avf_shards.format.shard_manifest import read_manifest
from avf_shards.packing.verify import verify_shards
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import StreamOrder
from avf_shards.timeline import Span
from avf_training.data.picture import MAX_PIXELS
from avf_training.data.reader import ClipReader, read_corpus
from avf_training.data.storage import StorageConfig
from PIL import Image
from support.bombs import write_png
from support.face_pictures import (
    EMBEDDED_PICTURES,
    curate_pictures,
    draw_faces,
    encode_face,
    load_picture_recipe,
    write_face,
)
from support.picture_corpora import make_record, write_records
from support.picture_runs import STORE_WHOLE, decisions_of_pictures, pack_pictures
from support.shard_folders import read_clips
from support.takedowns import delete_clips, take_down
from support.trees import file_digests


def write_blurred(path: Path) -> None:
    cv2.imwrite(str(path), cv2.GaussianBlur(draw_faces(3), (0, 0), 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a picture for each verdict, and the run of it in RUN."""
    root = tmp_path_factory.mktemp("pictures") / "in"
    write_face(root, "anna/1.png", 1)
    write_face(root, "anna/2.jpg", 2)
    write_face(root, "copy.jpg", 2)
    write_face(root, "two.jpg", 1, 2)
    write_face(root, "none.jpg")
    write_face(root, "small.png", 3)
    small_HWC = cv2.resize(cv2.imread(str(root / "small.png")), (45, 40), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(root / "small.png"), small_HWC)
    write_blurred(root / "blurred.png")
    (root / "cut.jpg").write_bytes(encode_face(3)[:-200])
    (root / "text.jpg").write_text("no picture")
    write_png(root / "bomb.png", 9000, 9000)
    (root / "labels.csv").write_text(
        "file,identity,set,expression,valence,AU12\nanna/1.png,anna,train,Happiness,0.5,1\nanna/2.jpg,anna,test,,bad,0\n"
    )
    curate_pictures(root, root.parent / "run")
    return root


@pytest.fixture
def run(folder: Path) -> RunFolder:
    return RunFolder(folder.parent / "run")


def test_every_picture_has_one_verdict_of_one_frame(run: RunFolder) -> None:
    decisions = decisions_of_pictures(run)
    assert {decision.span for decision in decisions.values()} == {Span(0, 1)}
    assert {
        name: decision.status if decision.status == "kept" else f"{decision.stage}/{decision.reason or decision.error}"
        for name, decision in decisions.items()
    } == {
        "anna/1.png": "kept",
        "anna/2.jpg": "kept",
        "copy.jpg": "kept",
        "two.jpg": "faces/several_faces",
        "none.jpg": "faces/no_face",
        "small.png": "picture/too_small",
        "blurred.png": "quality/blurred",
        "cut.jpg": "open/not_media",
        "text.jpg": "open/not_media",
        "bomb.png": "open/picture_size",
    }
    summary = summarize_run(run)
    assert (summary.content, summary.accounting_errors, summary.duplicate_inputs) == ("pictures", (), 1)
    totals = summary.totals
    assert (totals["videos"], totals["input_frames"]) == (10, 10)
    assert [totals[f"{status}_frames"] for status in ("kept", "rejected", "failed")] == [3, 4, 3]


def test_the_shards_hold_the_face_its_labels_and_every_score(run: RunFolder, folder: Path, tmp_path: Path) -> None:
    pictures = pack_pictures(run, tmp_path / "shards")
    assert set(pictures) == {"anna/1.png"} | ({"anna/2.jpg", "copy.jpg"} & set(pictures))
    assert len(pictures) == 2, "two files of the same bytes are packed once"
    stored = pictures["anna/1.png"]
    record = stored.record
    assert (record.identity, record.subset, record.group_id) == ("anna", "train", "anna")
    assert (record.label("abaw_expression"), record.number("valence"), record.action_units) == (
        "Happiness",
        0.5,
        {"AU12": 1},
    )
    assert (stored.extension, record.width_px, record.height_px) == ("jpg", 224, 224)
    assert (record.source_width_px, record.source_height_px) == (240, 200)
    assert Image.open(io.BytesIO(stored.data)).size == (224, 224)
    assert record.window_px is not None
    assert record.face_px is not None
    left, top, right, bottom = record.window_px
    assert right - left == bottom - top == round(1.5 * (record.face_px[2] - record.face_px[0]))
    assert record.input_sha256 == hashlib.sha256((folder / "anna/1.png").read_bytes()).hexdigest()
    names = [f"{check.stage}/{check.reason}" for check in record.checks]
    assert names == [
        "picture/too_small",
        *(f"faces/{reason}" for reason in ("no_face", "several_faces", "too_small", "out_of_frame")),
        *("faces/too_narrow", "faces/too_wide", "track/out_of_frame", "quality/blurred", "quality/black"),
    ]
    assert all(check.passed for check in record.checks)
    manifest = read_manifest(tmp_path / "shards")
    assert manifest.content == "pictures"
    corpus = read_corpus(tmp_path / "shards", StorageConfig(), "pictures")
    reader = ClipReader(tmp_path / "shards", StorageConfig(), corpus)
    assert {reader.read_picture(number).record.picture_id for number in range(2)} == set(pictures)


def test_the_crop_is_the_window_of_the_owners_picture(run: RunFolder, folder: Path, tmp_path: Path) -> None:
    stored = pack_pictures(run, tmp_path / "shards")["anna/1.png"]
    assert stored.record.window_px is not None
    left, top, right, bottom = map(int, stored.record.window_px)
    source_HWC = cv2.copyMakeBorder(cv2.imread(str(folder / "anna/1.png")), *[200] * 4, cv2.BORDER_CONSTANT)
    expected_HWC = cv2.resize(source_HWC[top + 200 : bottom + 200, left + 200 : right + 200], (224, 224))
    crop_HWC = cv2.imdecode(np.frombuffer(stored.data, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(crop_HWC.astype(int) - expected_HWC).mean() < 4  # grey levels: JPEG, and another interpolation


def test_pictures_of_two_people_are_kept_where_the_owners_mark_one(tmp_path: Path) -> None:
    root = tmp_path / "in"
    write_face(root, "Manually_Annotated_Images/1/a.jpg", 1, 2)
    write_face(root, "Manually_Annotated_Images/1/b.jpg", 1, 2)
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal\n"
    rows = "1/a.jpg,30,40,60,60,1,3,0.1,0.2\n1/b.jpg,NULL,NULL,NULL,NULL,1,0,0.1,0.2\n"
    (root / "training.csv").write_text(header + rows)
    run = curate_pictures(root, tmp_path / "run", source="affectnet")
    decisions = decisions_of_pictures(run)
    assert (decisions["1/a.jpg"].status, decisions["1/b.jpg"].reason) == ("kept", "several_faces")
    record = pack_pictures(run, tmp_path / "shards")["1/a.jpg"].record
    assert record.label("abaw_expression") == "Surprise"
    assert record.face_px is not None
    assert record.face_px[2] < 120, "the person on the left"


def test_a_picture_on_its_side_is_stored_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    (tmp_path / "in").mkdir()
    Image.fromarray(draw_faces(1)).save(tmp_path / "in/a.jpg", exif=exif)
    run = curate_pictures(tmp_path / "in", tmp_path / "run", *STORE_WHOLE)
    stored = pack_pictures(run, tmp_path / "shards")["a.jpg"]
    assert (stored.record.width_px, stored.record.height_px) == (200, 240)
    assert Image.open(io.BytesIO(stored.data)).size == (200, 240)


def test_packed_pictures_are_read_from_their_records_and_copies_packed_once(tmp_path: Path) -> None:
    root = tmp_path / "in"
    files = {1: encode_face(1), 2: encode_face(2), 3: encode_face(1), 4: encode_face(3)[:-200]}
    write_records(root, {key: make_record([float(key % 2)], data) for key, data in files.items()})
    run = curate_pictures(root, tmp_path / "run", source="webface260m")
    decisions = decisions_of_pictures(run)
    assert {name: decision.status for name, decision in decisions.items()} == {
        "1": "kept",
        "2": "kept",
        "3": "kept",
        "4": "failed",
    }
    assert decisions["1"].path == "train.rec#1"
    assert decisions["2"].input_sha256 == hashlib.sha256(files[2]).hexdigest()
    assert decisions["2"].input_bytes == len(files[2])
    pictures = pack_pictures(run, tmp_path / "shards")
    assert len(pictures) == 2
    assert {picture.data for picture in pictures.values()} == {files[1], files[2]}
    assert {(picture.record.path, picture.record.record) for picture in pictures.values()} >= {("train.rec", 2)}


def test_a_file_that_changes_after_the_plan_fails_and_is_decided_by_a_retry(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number in (1, 2):
        write_face(root, f"{number}.jpg", number)
    (root / "3.jpg").write_bytes(encode_face(3)[:-200])
    run = curate_pictures(root, tmp_path / "run", *STORE_WHOLE)
    assert decisions_of_pictures(run)["3.jpg"].status == "failed"
    write_face(root, "3.jpg", 3)
    words = ["retry", str(run.root), "--engine", "inline", "--weights", str(tmp_path)]
    assert main(words) == 0
    decisions = decisions_of_pictures(run)
    assert {name: (decision.status, decision.attempt) for name, decision in decisions.items()} == {
        "1.jpg": ("kept", 0),
        "2.jpg": ("kept", 0),
        "3.jpg": ("kept", 1),
    }
    assert set(pack_pictures(run, tmp_path / "shards")) == {"1.jpg", "2.jpg", "3.jpg"}


def test_a_person_who_is_taken_down_is_gone_everywhere_and_stays_away(tmp_path: Path) -> None:
    root, out = tmp_path / "in", tmp_path / "run"
    for name, seed in (("a/1.jpg", 1), ("a/2.jpg", 2), ("b/1.jpg", 3), ("b/2.jpg", 4)):
        write_face(root, name, seed)
    rows = [f"{person}/{number}.jpg,{person}" for person in "ab" for number in (1, 2)]
    (root / "labels.csv").write_text("\n".join(["file,identity", *rows]) + "\n")
    run = curate_pictures(root, out, *STORE_WHOLE)
    shards = tmp_path / "shards"
    pictures = pack_pictures(run, shards)
    assert len(pictures) == 4
    request = DeletionRequest(words=(("speaker", "pictures/a"),))
    assert len(delete_clips(shards, request).keys) == 2
    assert len(take_down(run, request)) == 2
    assert verify_shards(shards) == []
    left = [read_stored_picture(files, key).record.identity for key, files in read_clips(shards).items()]
    assert left == ["b", "b"]
    assert {name: decision.status for name, decision in decisions_of_pictures(run).items()} == {
        "a/1.jpg": "rejected",
        "a/2.jpg": "rejected",
        "b/1.jpg": "kept",
        "b/2.jpg": "kept",
    }
    corpus = read_corpus(shards, StorageConfig(), "pictures")
    assert corpus.sources[0].count == 4, "deleted pictures keep their positions in the stream"
    recipe = load_picture_recipe(["pictures"], *STORE_WHOLE)
    later = curate(
        recipe,
        EMBEDDED_PICTURES,
        {"pictures": root},
        tmp_path / "later",
        RunOptions(engine="inline", deny=run.denylist()),
    )
    assert summarize_run(later).totals["rejected_frames"] == 2
    assert summarize_run(later).accounting_errors == ()


def test_commands_speak_of_pictures(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    root = str(run.root)
    assert main(["audit", root, "--html", str(tmp_path / "a.html")]) == 0
    text = capsys.readouterr().out
    assert text.split()[:7] == ["source", "pictures", "=", "kept", "+", "rejected", "+"]
    assert "rejected faces/several_faces" in text
    page = (tmp_path / "a.html").read_text()
    assert page.count('<img alt="') >= 5, "kept and rejected pictures are on the contact sheets"
    assert "Every picture has exactly one of three verdicts" in page
    assert not [words for words in ("Every second", "press Enter to play", "story of this clip") if words in page]
    assert main(["explain", root, "two.jpg"]) == 0
    assert "rejected faces/several_faces: 1 > 0.2" in capsys.readouterr().out
    assert main(["explain", root, "two.jpg", "--picture", str(tmp_path / "two.png")]) == 2
    assert "is a run of pictures, which have no curves over time; leave --picture out" in capsys.readouterr().err
    assert main(["what-if", root, "--set", "quality.min_sharpness=0", "--json", "-"]) == 0
    source = json.loads(capsys.readouterr().out)["sources"]["pictures"]
    assert (source["kept_before"], source["admitted"], source["unknown"]) == (3, 1, 0)
    assert main(["what-if", root, "--set", "faces.max_several_share=1", "--json", "-"]) == 0
    source = json.loads(capsys.readouterr().out)["sources"]["pictures"]
    assert (source["admitted"], source["unknown"]) == (0, 1), "no later stage has seen the picture of two people"
    assert main(["status", root]) == 0
    assert "10/10 pictures" in capsys.readouterr().out
    pack_pictures(run, tmp_path / "shards")
    assert main(["data-card", str(tmp_path / "shards"), "--out", str(tmp_path / "card")]) == 0
    card = (tmp_path / "card/DATA_CARD.md").read_text()
    assert "2 pictures of faces, from 1 source." in card
    for command in (("review", "--out"), ("export", "--fiftyone")):
        assert main([command[0], root, command[1], str(tmp_path / "new")]) == 2
        assert "is a run of pictures, and this command shows videos" in capsys.readouterr().err


def test_training_decodes_every_size_that_curation_stores() -> None:
    assert load_picture_recipe(["celeba"]).settings_for("celeba").media.max_pixels <= MAX_PIXELS


def test_pictures_have_one_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_face(tmp_path / "in", "a.jpg", 1)
    words = ["run", "--source", f"pictures={tmp_path / 'in'}", "--out", str(tmp_path / "run"), "--refiners", "1"]
    assert main(words) == 2
    assert "a run of pictures has one pool" in capsys.readouterr().err


def test_the_order_of_the_stream_has_every_picture_once(
    run: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pack_pictures(run, tmp_path / "shards")
    capsys.readouterr()
    assert shards_main(["order", str(tmp_path / "shards"), "--batch", "1"]) == 0
    assert "2 steps of 1 from epoch 0" in capsys.readouterr().out
    order = StreamOrder(load_corpus(tmp_path / "shards"), Mixture(), 0)
    assert sorted(order.clips_between(0, 2)[0].tolist()) == [0, 1]


@pytest.mark.slow
def test_ray_writes_the_same_bytes(folder: Path, run: RunFolder, tmp_path: Path) -> None:
    recipe = load_picture_recipe(["pictures"])
    options = RunOptions(cluster=ClusterConfig(workers=2))
    other = curate(recipe, EMBEDDED_PICTURES, {"pictures": folder}, tmp_path / "run", options)
    for name in ("attempt-0/ledger", "attempt-0/units", "run"):
        assert file_digests(other.root / name) == file_digests(run.root / name)


def test_a_crop_without_a_search_for_faces_is_refused() -> None:
    with pytest.raises(UserError, match=r"gates\.faces is skip, and picture\.store is face"):
        load_picture_recipe(["pictures"], "gates.faces=skip")


def test_without_a_face_nothing_is_cropped_whatever_the_recipe_lets_pass(tmp_path: Path) -> None:
    write_face(tmp_path / "in", "none.jpg")
    run = curate_pictures(tmp_path / "in", tmp_path / "run", "gates.faces=measure")
    decision = decisions_of_pictures(run)["none.jpg"]
    assert (decision.status, decision.stage, decision.reason) == ("rejected", "track", "face_lost")


def test_pictures_of_plain_folders_need_only_the_recipe(tmp_path: Path) -> None:
    write_face(tmp_path / "in", "a.jpg", 1)
    words = ["run", "--source", f"holiday={tmp_path / 'in'}", "--recipe", "pictures", "--out", str(tmp_path / "run")]
    assert main([*words, "--engine", "inline", "--weights", str(tmp_path)]) == 0
    assert decisions_of_pictures(RunFolder(tmp_path / "run"))["a.jpg"].status == "kept"


def test_a_record_is_the_same_on_every_reading(run: RunFolder, tmp_path: Path) -> None:
    for picture in pack_pictures(run, tmp_path / "shards").values():
        record = picture.record
        assert PictureRecord.from_json(record.to_json(), "a") == record
        assert replace(record, subset=None).to_json() != record.to_json() or record.subset is None
