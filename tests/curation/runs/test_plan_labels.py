"""A plan is frozen with its labels, and a table that is corrected later is told where it was passed over."""

from collections.abc import Callable
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.runs.planning import plan_run
from avf_curation.sources.registry import load_recipe_for
from avf_shards.errors import UserError
from support.corpora import aff_wild2, write_file
from support.curation_runs import EMBEDDED
from support.picture_corpora import (
    JPEG,
    affectnet_2021,
    affectnet_full,
    celeba,
    encode_npy,
    imdb_wiki,
    raf_db,
    webface260m,
)

ROWS = "file,identity,set,expression,valence\nanna/1.jpg,anna,train,Happiness,0.6\nanna/2.jpg,anna,train,Fear,0.1\n"


def own_pictures(root: Path) -> Path:
    for name in ("anna/1.jpg", "anna/2.jpg", "ben/1.jpg"):
        write_file(root, name, JPEG)
    write_file(root, "labels.csv", ROWS)
    return root


def own_videos(root: Path) -> Path:
    for name in ("a.mp4", "b.mp4"):
        write_file(root, name)
    write_file(root, "labels.csv", "file,label,subject\na.mp4,happy,anna\nb.mp4,sad,ben\n")
    return root


def replace_text(file: str, before: str, now: str) -> Callable[[Path], None]:
    """Return the function that corrects a table."""

    def correct(root: Path) -> None:
        text = (root / file).read_text()
        assert before in text
        (root / file).write_text(text.replace(before, now, 1))

    return correct


def correct_npy(root: Path) -> None:
    (root / "train_set/annotations/7_val.npy").write_bytes(encode_npy("0.75"))


Writer = Callable[[Path], Path]
#: Name of the source -> its writer, what is corrected, and what the refusal says of it.
CORRECTIONS: dict[str, tuple[str, Writer, Callable[[Path], None], str]] = {
    "a value": (
        *("pictures", own_pictures, replace_text("labels.csv", "0.6", "0.4")),
        r"of 1 picture of pictures .*anna/1\.jpg \(valence '0\.6', now '0\.4'\)",
    ),
    "a set": (
        *("pictures", own_pictures, replace_text("labels.csv", "train", "test")),
        r"anna/1\.jpg \(set 'train', now 'test'\)",
    ),
    "a person": (
        *("pictures", own_pictures, replace_text("labels.csv", "2.jpg,anna", "2.jpg,ben")),
        r"anna/2\.jpg \(person 'anna', now 'ben'\)",
    ),
    "a new row": (
        *("pictures", own_pictures, replace_text("labels.csv", "anna/1", "ben/1.jpg,ben,,Anger,\nanna/1")),
        r"of 1 picture of pictures .*ben/1\.jpg \(abaw_expression none, now 'Anger'\)",
    ),
    "no table": (
        *("pictures", own_pictures, lambda root: (root / "labels.csv").unlink()),
        r"of 2 pictures of pictures .*anna/1\.jpg \(abaw_expression 'Happiness', now none\)",
    ),
    "raf_db": (
        *(
            "raf_db",
            raf_db,
            replace_text("basic/EmoLabel/list_patition_label.txt", "train_00001.jpg 5", "train_00001.jpg 6"),
        ),
        r"train_00001 \(abaw_expression 'Sadness', now 'Anger'\)",
    ),
    "affectnet": (
        *("affectnet", affectnet_full, replace_text("validation.csv", "1,0.5,-0.25", "1,0.75,-0.25")),
        r"1/a\.jpg \(valence '0\.5', now '0\.75'\)",
    ),
    "affectnet of 2021": ("affectnet", affectnet_2021, correct_npy, r"train/7 \(valence '0\.5', now '0\.75'\)"),
    "celeba": (
        *("celeba", celeba, replace_text("list_eval_partition.txt", "000001.jpg 0", "000001.jpg 1")),
        r"000001.* \(set 'train', now 'validation'\)",
    ),
    "videos": (
        *("talks", own_videos, replace_text("labels.csv", "happy", "angry")),
        r"of 1 video of talks .*a\.mp4 \(label 'happy', now 'angry'\)",
    ),
}


def plan(source: str, root: Path, run: Path) -> None:
    plan_run(load_recipe_for([source], None, []), EMBEDDED, {source: root}, run)


@pytest.mark.parametrize("case", CORRECTIONS)
def test_a_corrected_table_is_refused_until_it_is_put_back(case: str, tmp_path: Path) -> None:
    source, write, correct, message = CORRECTIONS[case]
    (tmp_path / "in").mkdir()
    root = write(tmp_path / "in")
    plan(source, root, tmp_path / "run")
    plan(source, root, tmp_path / "run")
    correct(root)
    with pytest.raises(UserError, match=message) as caught:
        plan(source, root, tmp_path / "run")
    assert "put the table back to go on with it, or take a new --out" in str(caught.value)
    plan(source, root, tmp_path / "new")
    write(root)
    plan(source, root, tmp_path / "run")


def test_labels_of_frames_count_too(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    root = aff_wild2(tmp_path / "in")
    plan("aff_wild2", root, tmp_path / "run")
    tables = sorted(root.rglob("VA_Estimation_Challenge/*/*.txt"))
    lines = tables[0].read_text().splitlines()
    tables[0].write_text("\n".join([lines[0], "0.125,0.125", *lines[2:]]) + "\n")
    with pytest.raises(UserError, match=r"of aff_wild2 are not those of its plan, as of .* \(frames "):
        plan("aff_wild2", root, tmp_path / "run")


def test_a_table_that_comes_later_is_told(tmp_path: Path) -> None:
    own_pictures(tmp_path / "in")
    (tmp_path / "in/labels.csv").unlink()
    plan("pictures", tmp_path / "in", tmp_path / "run")
    write_file(tmp_path / "in", "labels.csv", ROWS)
    with pytest.raises(UserError, match=r"of 2 pictures of pictures .*\(abaw_expression none, now 'Happiness'\)"):
        plan("pictures", tmp_path / "in", tmp_path / "run")


def test_files_that_came_or_went_are_no_labels(tmp_path: Path) -> None:
    root = own_pictures(tmp_path / "in")
    plan("pictures", root, tmp_path / "run")
    write_file(root, "carl/1.jpg", JPEG)
    (root / "anna/2.jpg").unlink()
    plan("pictures", root, tmp_path / "run")


@pytest.mark.parametrize(("name", "write"), [("webface260m", webface260m), ("imdb_wiki", imdb_wiki)])
def test_only_sources_of_which_owners_say_more_are_listed_again(
    name: str, write: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    root = write(tmp_path / "in")
    plan(name, root, tmp_path / "run")
    listed: list[str] = []
    monkeypatch.setattr(
        "avf_curation.runs.plan_labels.list_inputs", lambda source, *more, **options: listed.append(source) or ()
    )
    plan(name, root, tmp_path / "run")
    assert listed == ([] if name == "webface260m" else ["imdb_wiki"])


def test_cells_that_cannot_be_right_are_told_when_a_run_is_planned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = own_pictures(tmp_path / "in")
    rows = "anna/1.jpg,anna,dev,Hapiness,high\nanna/2.jpg,anna,train,calm,1.5\nben/1.jpg,ben,,,\n"
    write_file(root, "labels.csv", f"file,identity,set,expression,valence\n{rows}")
    plan("pictures", root, tmp_path / "run")
    (line,) = [line for line in caplog.messages if "not used" in line]
    assert "not used, because they cannot be right: 4 rows or cells of tables, such as pictures: labels.csv:2" in line
    assert "expression 'Hapiness' is none of ABAW's, as 'Happiness' is" in line
    assert "calm" not in line, "a class of the user's own"


@pytest.mark.parametrize(("source", "noun"), [("pictures", "picture"), ("talks", "video")])
def test_a_source_without_an_input_is_told_at_each_start_and_by_a_check(
    source: str, noun: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "in").mkdir()
    for _ in range(2):
        caplog.clear()
        plan(source, tmp_path / "in", tmp_path / "run")
        assert f"source {source}: no input in {tmp_path / 'in'}" in caplog.text
    caplog.clear()
    assert main(["sources", "check", f"{source}={tmp_path / 'in'}"]) == 0
    assert f"source {source}: no {noun} in {tmp_path / 'in'}" in caplog.text + capsys.readouterr().err
