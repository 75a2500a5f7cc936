"""A folder of a user's own pictures, with a table of labels or without."""

from pathlib import Path

import pytest
from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures import folder
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.types import SkippedInput
from avf_shards.errors import UserError
from support.corpora import write_file
from support.picture_corpora import JPEG

HEADER = "file,identity,set,expression,valence,arousal,AU1,AU12,lamp\n"


def list_folder(root: Path) -> tuple[dict[str, Picture], list[SkippedInput]]:
    skipped: list[SkippedInput] = []
    pictures = list(folder.list_pictures(Listing("pictures", root, skipped)))
    return {picture.picture_id: picture for picture in pictures}, skipped


def test_pictures_without_a_table_are_unlabelled(tmp_path: Path) -> None:
    for name in ("b.JPG", "deep/er/a.png", "deep/c.tif", "deep/new\nline.jpg", "notes.txt", ".hidden.jpg", "old.zip"):
        write_file(tmp_path, name, JPEG)
    (tmp_path / "deep/again").symlink_to(tmp_path)
    pictures, skipped = list_folder(tmp_path)
    assert list(pictures) == ["b.JPG", "deep/c.tif", "deep/new\nline.jpg", "deep/er/a.png"]
    assert all(picture.labels is None and picture.identity is None for picture in pictures.values())
    assert {(each.path, each.kind) for each in skipped} == {
        ("notes.txt", "unexpected"),
        (".hidden.jpg", "hidden"),
        ("old.zip", "unexpected"),
        ("deep/again", "unexpected"),
    }


def test_a_table_gives_labels_identity_and_set(tmp_path: Path) -> None:
    for name in ("anna/1.jpg", "anna/2.jpg"):
        write_file(tmp_path, name, JPEG)
    rows = "anna/1.jpg,anna,Train,happiness,0.5,-1,0,1,on\n./anna/2.jpg,anna,,calm,,,,,\n"
    write_file(tmp_path, "labels.csv", HEADER + rows)
    pictures, skipped = list_folder(tmp_path)
    first, second = pictures["anna/1.jpg"], pictures["anna/2.jpg"]
    assert skipped == []
    assert (first.identity, first.subset, second.subset) == ("anna", "train", None)
    assert first.labels is not None
    assert first.labels.values == {
        "expression": "happiness",
        "abaw_expression": "Happiness",
        "valence": "0.5",
        "arousal": "-1",
        "AU1": "0",
        "AU12": "1",
        "lamp": "on",
    }
    assert second.labels is not None
    assert second.labels.values == {"expression": "calm"}
    assert first.to_input("pictures").group_id == second.to_input("pictures").group_id == "anna"


SETS = ", with the set dev, and here with an empty one"


def test_what_is_no_label_is_named_with_its_row_and_costs_no_picture(tmp_path: Path) -> None:
    for name in ("1.jpg", "2.jpg"):
        write_file(tmp_path, name, JPEG)
    rows = "1.jpg,,dev,Fear,high,1.5,2,1,\ngone.jpg,,,,,,,,\n1.jpg,,,,,,,,\n,,,,,,,,\n2.jpg,,,,nan,,,,,,\n"
    write_file(tmp_path, "labels.csv", HEADER + rows)
    pictures, skipped = list_folder(tmp_path)
    assert list(pictures) == ["1.jpg", "2.jpg"]
    labels = pictures["1.jpg"].labels
    assert labels is not None
    assert labels.values == {"expression": "Fear", "abaw_expression": "Fear", "AU12": "1"}
    assert sorted((each.path, each.kind, each.reason) for each in skipped) == [
        ("2.jpg", "unlisted", "labels.csv has no such row: the picture has no labels"),
        ("labels.csv:2", "bad_row", "AU1 '2' is neither 0 nor 1: the picture has none"),
        ("labels.csv:2", "bad_row", "arousal '1.5' is not from -1 to 1: the picture has none"),
        ("labels.csv:2", "bad_row", "set 'dev' is none of train, validation, test: the picture is in none"),
        ("labels.csv:2", "bad_row", "valence 'high' is no number: the picture has none"),
        ("labels.csv:3", "missing", "no such picture: gone.jpg"),
        ("labels.csv:4", "duplicate", f"1.jpg was listed before, in labels.csv:2{SETS}; line 2 counts"),
        ("labels.csv:5", "bad_row", "no file"),
        ("labels.csv:6", "bad_row", "more fields than columns: 11, and not 9"),
    ]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,valence\na.jpg,1\n", "needs a column `file` and no column twice; it has name, valence"),
        ("file,file\na.jpg,1\n", "needs a column `file` and no column twice"),
        ("", "needs a column `file` and no column twice; it has none"),
        (b"file\n\xff\xfe.jpg\n", "is not UTF-8"),
    ],
)
def test_a_table_that_is_none_is_refused_with_one_sentence(tmp_path: Path, table: str | bytes, message: str) -> None:
    write_file(tmp_path, "labels.csv", table)
    with pytest.raises(UserError, match=message) as caught:
        list_folder(tmp_path)
    assert str(caught.value).startswith(f"--source pictures={tmp_path}: labels.csv")
