"""A link that leads out of a corpus is followed where the user says so, and is counted and named everywhere else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_curation.cli.main import main
from avf_curation.sources.registry import list_inputs
from avf_curation.sources.types import SkippedInput, Video
from avf_shards.errors import UserError
from support import corpora
from support.corpora import PLAN, write_file
from support.images import write_images


def smic(root: Path) -> Path:
    write_images(root / "s1/micro/negative/s1_ne_01", [f"image{n}.bmp" for n in range(1, 6)])
    return root


def werewolf(root: Path) -> Path:
    write_file(root, "Speaker_Video/07_01_200.mp4")
    write_file(root, "labels.csv", "VideoName,Mean_P_1,Mean_A_1,Mean_D_1\n07_01_200,1,2,3\n")
    write_file(root, "players.csv", "session,seat,player\n7,1,anna\n")
    return root


def ravdess(root: Path) -> Path:
    write_file(root, "Actor_01/01-01-03-01-01-01-01.mp4")
    return root


def plain(root: Path) -> Path:
    for name in ("a.mp4", "b/c.mp4", "b/d/e.wav"):
        write_file(root, name)
    return root


def labelled(root: Path) -> Path:
    write_file(root, "labels.csv", "file,label\nb/c.mp4,happy\na.mp4,sad\n")
    return plain(root)


LAYOUTS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "voxceleb2": ("voxceleb2", corpora.voxceleb2),
    "avspeech": ("avspeech", corpora.avspeech),
    "mer2024": ("mer2024", corpora.mer2024),
    "mer24": ("mer24", corpora.mer2024),
    "cncvs": ("cncvs", corpora.cncvs),
    "celebvhq": ("celebvhq", corpora.celebvhq),
    "smic": ("smic", smic),
    "werewolf_xl": ("werewolf_xl", werewolf),
    "ravdess": ("ravdess", ravdess),
    "plain": ("mine", plain),
    "labelled": ("mine", labelled),
}


def list_videos(source: str, root: Path, *, follow: bool) -> tuple[list[Video], list[SkippedInput]]:
    skipped: list[SkippedInput] = []
    return list(list_inputs(source, root, PLAN, skipped, follow_symlinks=follow)), skipped


def files_of(videos: list[Video]) -> set[str]:
    return {path for video in videos for path in (video.path, video.sound_path, video.boxes_path) if path is not None}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_source_follows_a_link_out_of_the_corpus(layout: str, tmp_path: Path) -> None:
    """Each file and folder of the corpus in turn becomes a link to what lies outside."""
    source, make = LAYOUTS[layout]
    root = make(tmp_path / "in")
    complete, _ = list_videos(source, root, follow=False)
    assert complete
    for path in sorted(root.rglob("*")):
        name, outside = str(path.relative_to(root)), tmp_path / "outside"
        shutil.move(path, outside)
        path.symlink_to(outside)
        followed, _ = list_videos(source, root, follow=True)
        assert files_of(followed) == files_of(complete), name
        refusal, videos, skipped = "", list[Video](), list[SkippedInput]()
        try:
            videos, skipped = list_videos(source, root, follow=False)
        except UserError as error:  # a table, or a folder that the layout cannot do without
            refusal = str(error)
        outer = [used for used in files_of(videos) if not (root / used).resolve().is_relative_to(root)]
        assert not outer, name
        if refusal:
            assert "--follow-symlinks" in refusal, refusal
        elif files_of(videos) != files_of(complete):
            assert [item.path for item in skipped if item.kind == "outside"] == [name]
        path.unlink()
        shutil.move(outside, path)


def test_links_inside_the_corpus_and_a_root_that_is_a_link_are_followed(tmp_path: Path) -> None:
    plain(tmp_path / "real")
    (tmp_path / "real/again.mp4").symlink_to("b/c.mp4")
    (tmp_path / "in").symlink_to(tmp_path / "real")
    videos, skipped = list_videos("mine", tmp_path / "in", follow=False)
    assert files_of(videos) == {"a.mp4", "again.mp4", "b/c.mp4", "b/d/e.wav"}
    assert not skipped


@pytest.mark.parametrize("target", ["/nowhere/at all.mp4", "../secret.mp4"])
def test_the_command_counts_and_names_them(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain(tmp_path / "in")
    write_file(tmp_path, "secret.mp4")
    (tmp_path / "in/link.mp4").symlink_to(target)
    words = ["plan", "--source", f"s={tmp_path / 'in'}", "--weights", str(tmp_path), "--json", "-"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    out, err = capsys.readouterr()
    assert [(item["path"], item["kind"]) for item in json.loads(out)["skipped_inputs"]] == [("link.mp4", "outside")]
    assert "1 link, such as s: link.mp4; --follow-symlinks follows them" in err
    assert main([*words, "--out", str(tmp_path / "run2"), "--follow-symlinks"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["skipped_inputs"] == []
    assert json.loads(out)["sources"][0]["videos"] == 4
    assert "follow" not in err
