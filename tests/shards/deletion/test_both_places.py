"""One takedown in a run and its shards: both are locked first, what is unknown is refused, twins are found."""

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from avf_curation.pipeline.outcomes import VideoOutcomes
from avf_curation.sources.types import Video
from avf_shards.cli.main import main
from avf_shards.deletion.twins import _match_sound
from avf_shards.format.denylist import read_denylist
from avf_shards.format.generations import open_for_writing
from avf_shards.format.index import FINGERPRINT, load_index, sidecar_path
from avf_shards.format.run_folder import PART, RunFolder
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.clip_key import make_video_prefix
from avf_shards.system import storage_faults
from support.clips import curate_flashing_clip, make_flashing_shards, pack_drawn_clips
from support.crash_points import crash_after_operation
from support.shard_folders import read_clips


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("both")
    make_flashing_shards(folder, {"a": 6, "b": 3})
    return folder


@pytest.fixture
def folder(packed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(packed, tmp_path / "all"))


def file_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "log" not in path.parts
    }


def test_nothing_is_changed_while_either_place_is_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file_bytes(folder)
    command = ["delete", str(folder / "shards"), "--video", "a/003.mp4", "--run", str(folder / "run")]
    with RunFolder(folder / "run").lock():
        assert main(command) == 2
    assert file_bytes(folder) == before, "the run was in use, and the shards were rewritten"
    with open_for_writing(folder / "shards"):
        assert main(command) == 2
    assert {name for name in file_bytes(folder) if "writer" not in name} == set(before)
    assert capsys.readouterr().err.count("is at work in it") == 2
    shutil.rmtree(folder / "run" / "attempt-0" / "ledger")
    assert main(command) == 2
    assert "the run is not finished" in capsys.readouterr().err
    assert verify_shards(folder / "shards") == []
    assert main(command[:-2]) == 0


def test_what_is_known_nowhere_is_refused_and_forbidden_with_an_option(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file_bytes(folder)
    command = ["delete", "--run", str(folder / "run"), "--video", "a/003.mp4", "--video", "a/nobody.mp4"]
    assert main(command) == 2
    assert "video a/nobody.mp4" in capsys.readouterr().err
    assert file_bytes(folder) == before
    assert main([*command, "--allow-unknown"]) == 0
    assert "known nowhere here: video a/nobody.mp4" in capsys.readouterr().out
    denylist = read_denylist(folder / "run")
    assert any(True for _ in denylist.match_input("a", "nobody.mp4"))
    assert main(command) == 0, "it is on the list now"


def test_a_run_alone_and_shards_alone_are_taken_down(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["delete", "--video", "a/003.mp4"]) == 2
    assert "give SHARDS, --run RUN, or both" in capsys.readouterr().err
    assert main(["delete", "--run", str(folder / "run"), "--video", "a/003.mp4", "--json", "-"]) == 0
    (key,) = json.loads(capsys.readouterr().out)["erased_in_run"]
    assert key in read_clips(folder / "shards")
    assert main(["delete", str(folder / "shards"), "--video", "a/003.mp4"]) == 0
    assert key not in read_clips(folder / "shards")


def test_a_twin_in_the_shards_is_deleted_by_its_bytes(tmp_path: Path) -> None:
    make_flashing_shards(tmp_path, {"a": 3, "b": 3})
    source = tmp_path / "in" / "a"
    (source / "003.mp4").write_bytes((source / "001.mp4").read_bytes())
    shutil.rmtree(tmp_path / "run")
    shutil.rmtree(tmp_path / "shards")
    shutil.rmtree(tmp_path / "in" / "b")
    (tmp_path / "in" / "b").mkdir()
    # Of equal bytes pack takes one clip; a twin in another source is packed.
    (tmp_path / "in" / "b" / "005.mp4").write_bytes((source / "001.mp4").read_bytes())
    sources = {name: tmp_path / "in" / name for name in ("a", "b")}
    shards = pack_drawn_clips(tmp_path, sources, curate_flashing_clip, 4)
    assert any(key.startswith("b-") for key in read_clips(shards))
    assert main(["delete", str(shards), "--video", "a/001.mp4"]) == 0
    assert not any(key.startswith("b-") for key in read_clips(shards))
    assert verify_shards(shards) == []


def test_a_takedown_in_both_killed_after_any_file_operation_can_be_repeated(packed: Path, tmp_path: Path) -> None:
    number = 0
    while True:
        folder = Path(shutil.copytree(packed, tmp_path / str(number)))
        command = ["delete", str(folder / "shards"), "--video", "b/001.mp4", "--run", str(folder / "run")]
        with crash_after_operation(number) as crash:
            main(command)
        assert main(command) == 0
        assert verify_shards(folder / "shards") == []
        assert not any(key in read_clips(folder / "shards") for key in _keys_of(packed, "b", "001.mp4"))
        assert len(list((folder / "run").glob("denylist-*"))) == 1
        shutil.rmtree(folder)
        if not crash.happened:
            break
        number += 6  # each sixth: the shards and the run each have a test of every operation
    assert number > 20


def _keys_of(folder: Path, source: str, video: str) -> list[str]:
    prefix = make_video_prefix(source, video)
    return [key for key in read_clips(folder / "shards") if key.startswith(prefix)]


def curate_sounding_clip(video: Video, root: Path, settings: object, tools: object) -> VideoOutcomes:
    """Replace `curate_video`: clips of two seconds or more with a fingerprint of their sound, all different."""
    outcomes = curate_flashing_clip(video, root, settings, tools)
    (outcome,) = outcomes.outcomes
    number = int(video.path.split(".")[0])
    sound = np.random.default_rng(number).integers(0, 1 << 32, 200, np.uint32).astype("<u4").tobytes()
    clips = tuple(replace(clip, media=clip.media | {FINGERPRINT: sound}) for clip in outcome.clips)
    return replace(outcomes, outcomes=(replace(outcome, clips=clips),))


def test_a_second_takedown_and_a_later_pack_read_no_erased_sound(tmp_path: Path) -> None:
    source = tmp_path / "in" / "a"
    source.mkdir(parents=True)
    for number in range(4):
        (source / f"{number:03d}.mp4").write_bytes(f"{number}".encode())
    shards = pack_drawn_clips(tmp_path, {"a": source}, curate_sounding_clip, 4)
    for number in (0, 1):
        command = ["delete", str(shards), "--video", f"a/{number:03d}.mp4", "--run", str(tmp_path / "run")]
        assert main(command) == 0
    (tmp_path / "select.toml").write_text("[near_duplicates]\n")
    argv = ["pack", str(tmp_path / "run"), "--out", str(tmp_path / "later"), "--select", str(tmp_path / "select.toml")]
    assert main(argv) == 0
    assert len(read_clips(tmp_path / "later")) == 2


def test_a_damaged_clip_of_another_video_stops_no_takedown_and_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in" / "a"
    source.mkdir(parents=True)
    for number in range(4):
        (source / f"{number:03d}.mp4").write_bytes(f"{number}".encode())
    pack_drawn_clips(tmp_path, {"a": source}, curate_sounding_clip, 4)
    run = RunFolder(tmp_path / "run")
    damaged = make_video_prefix("a", "002.mp4")
    (part,) = run.root.rglob(PART)
    (member,) = [
        each for each in load_index(sidecar_path(part)).members if damaged in each.name and FINGERPRINT in each.name
    ]
    with open(part, "r+b") as file:
        file.seek(member.offset)
        file.write(b"damage")
    assert main(["delete", "--run", str(run.root), "--video", "a/001.mp4"]) == 0
    output = capsys.readouterr().out
    assert "1 clip erased" in output
    assert f"sound not compared: {PART}: member {member.name}" in output


def test_what_the_run_denies_leaves_the_shards_with_the_next_takedown_in_both(folder: Path) -> None:
    folders = [str(folder / "shards"), "--run", str(folder / "run")]
    assert main(["delete", *folders[1:], "--video", "a/003.mp4"]) == 0
    assert main(["delete", *folders, "--video", "a/002.mp4"]) == 0
    clips = read_clips(folder / "shards")
    assert not any(
        key.startswith((make_video_prefix("a", "003.mp4"), make_video_prefix("a", "002.mp4"))) for key in clips
    )


@pytest.mark.parametrize("frames", ["0000200-0000200", "0000200-0000100", f"{10**20}-{10**21}"])
def test_a_key_without_a_span_is_refused_and_nothing_is_written(
    frames: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = file_bytes(folder)
    (tmp_path / "list").write_text(f"key a-{'0' * 32}-{frames}-0\n")
    command = ["delete", str(folder / "shards"), "--run", str(folder / "run"), "--list", str(tmp_path / "list")]
    assert main([*command, "--allow-unknown"]) == 2
    assert "not a clip's key" in capsys.readouterr().err
    assert file_bytes(folder) == before


def test_a_comment_behind_an_entry_of_a_list_is_no_part_of_it(folder: Path, tmp_path: Path) -> None:
    text = "\ufeff# asked in March\nvideo a/003.mp4   # by letter\nvideo a/no#5.mp4\n"
    (tmp_path / "list").write_text(text, "utf-8")
    command = ["delete", "--run", str(folder / "run"), "--list", str(tmp_path / "list"), "--allow-unknown"]
    assert main(command) == 0
    denylist = read_denylist(folder / "run")
    for name, denied in (("003.mp4", True), ("no#5.mp4", True), ("no", False)):
        assert any(True for _ in denylist.match_input("a", name)) is denied


def test_a_folder_that_cannot_be_listed_has_no_empty_denylist(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: object) -> list[str]:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(storage_faults, "RETRY_PAUSES_S", (0.0,))
    monkeypatch.setattr("avf_shards.format.denylist.os.listdir", fail)
    with pytest.raises(PermissionError):
        read_denylist(folder / "run")


def test_the_same_sound_in_another_video_is_offered_with_its_similarity() -> None:
    draw = np.random.default_rng(0)
    sound = draw.integers(0, 1 << 32, 200, np.uint32)
    coded = sound.copy()
    coded[::10] ^= np.uint32(1)
    fingerprints = {"a": sound, "copy": coded, "person2": sound, "other": draw.integers(0, 1 << 32, 200, np.uint32)}
    videos = {"a": "s/1", "person2": "s/1", "copy": "s/2", "other": "s/3"}
    (twin,) = _match_sound(fingerprints, videos, {"a"})
    assert (twin.key, twin.twin_of) == ("copy", "a")
    assert 0.99 < twin.similarity < 1
