"""`avf-curate forge`: exact truth, the same bytes again, real videos encoded as their forgeries, and clear refusals."""

import csv
import shutil
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from avf_curation.cli.main import main
from avf_curation.demo.video import ShotScript, encode_shots, shot_frames
from avf_curation.forging.film_file import pad_film
from avf_curation.forging.forge import forge_folder
from avf_curation.forging.methods import METHODS
from avf_curation.forging.original_films import ForgeConfig
from avf_curation.forging.originals import assign_splits, list_originals
from avf_curation.forging.takes import MARGIN_FRAMES
from avf_curation.recipe import load_recipe
from avf_curation.sources.registry import list_inputs
from avf_shards.errors import UserError
from avf_shards.system.run_lock import RunLock

FRAMES = 83
SIZE = (208, 156)  # smaller than the films of the demo, to be quicker


def write_talk(path: Path, person: int, frames: int = FRAMES, *, sound: bool = True) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images, samples_S = shot_frames(ShotScript(frames=frames, speakers=(person,), seed=person))
    small = (np.asarray(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), np.uint8) for image in images)
    path.write_bytes(encode_shots([(small, samples_S)], sound, size=SIZE))


def read_rows(out: Path) -> list[dict[str, str]]:
    with open(out / "labels.csv", newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*")) if path.is_file()}


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two people."""
    folder = tmp_path_factory.mktemp("talks")
    for person in (3, 4):
        write_talk(folder / f"{person}/talk.mp4", person)
    return folder


@pytest.fixture(scope="module")
def forged(talks: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that forge makes of them."""
    out = tmp_path_factory.mktemp("forged") / "out"
    forge_folder(talks, out, ForgeConfig(seed=7))
    return out


def test_every_original_has_each_forgery_once(forged: Path) -> None:
    rows = read_rows(forged)
    assert Counter(row["method"] for row in rows) == dict.fromkeys(["real", *METHODS], 2)
    for row in rows:
        assert row["original"] == f"{row['subject']}/talk/real.mp4"
        assert row["forged"] == ("none" if row["fake"] == "0" else METHODS[row["method"]].kind)
        with av.open(str(forged / row["file"])) as file:
            expected = "real" if row["fake"] == "0" else f"forged, {row['method']}"
            assert expected in file.metadata["comment"]
            assert file.streams.video[0].frames == FRAMES - 2 * MARGIN_FRAMES
            assert file.streams.audio[0].rate == 16_000


def test_the_segments_are_where_the_film_differs(forged: Path) -> None:
    """Outside its segment a forgery equals the real file but for what encoding does; inside it does not."""
    for row in read_rows(forged):
        if row["method"] not in ("voice_word", "still_mouth", "repeated"):
            continue
        start, stop = (round(float(text) * 25) for text in row["segments"].split("-"))
        assert 0 <= start < stop <= FRAMES - 2 * MARGIN_FRAMES
        frames, real_frames = (decode(forged / name) for name in (row["file"], row["original"]))
        sound, real_sound = (decode_sound(forged / name) for name in (row["file"], row["original"]))
        picture_T = np.abs(frames.astype(np.int16) - real_frames).max((1, 2, 3))
        sound_T = np.abs(sound - real_sound)[: len(frames) * 640].reshape(len(frames), -1).max(1)
        outside = np.ones(len(frames), bool)
        outside[max(0, start - 2) : stop + 2] = False
        if row["forged"] == "video":
            assert sound_T.max() == 0
            assert picture_T[start + 2 : stop].max() > 3 * picture_T[outside].mean()
        else:
            assert picture_T.max() == 0
            assert sound_T[outside].max() < 0.1 * sound_T[start:stop].max()


def decode(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)])


def decode_sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.concatenate([frame.to_ndarray()[0] for frame in file.decode(audio=0)])


def test_a_classifier_on_the_size_alone_is_at_chance(forged: Path) -> None:
    rows = read_rows(forged)
    size = {row["file"]: (forged / row["file"]).stat().st_size for row in rows}
    for row in rows:
        assert size[row["file"]] == size[row["original"]]
    real, fake = ([size[row["file"]] for row in rows if row["fake"] == is_fake] for is_fake in "01")
    wins = np.sign(np.subtract.outer(fake, real))
    assert 0.5 + wins.mean() / 2 == 0.5


def test_the_folder_is_a_source_with_the_truth(forged: Path) -> None:
    skipped: list[object] = []
    videos = list(list_inputs("mine", forged, load_recipe().defaults.plan, skipped))
    assert len(videos) == 2 * (1 + len(METHODS))
    truths = {video.video_id: video.labels for video in videos if video.labels}
    word = truths["3/talk/voice_word.mp4"]
    assert word.forgery is not None
    assert (word.forgery.is_fake, word.forgery.kind, word.session) == (True, "audio", "3/talk/real.mp4")
    (segment,) = word.forgery.segments or ()
    assert 0.4 <= round(segment.stop_s - segment.start_s, 6) <= 1
    assert word.values == {"label": "fake", "forged": "audio", "method": "voice_word"}
    assert truths["3/talk/real.mp4"].values == {"label": "real", "forged": "none", "method": "real"}
    assert {video.group_id for video in videos} == {"3/talk/real.mp4", "4/talk/real.mp4"}


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_bytes(talks: Path, tmp_path: Path) -> None:
    config = ForgeConfig(methods=("late", "repeated"), seed=7)
    for processes in (1, 2):
        forge_folder(talks, tmp_path / str(processes), config, processes=processes)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_the_same_call_gives_the_same_bytes_and_a_stopped_one_goes_on(talks: Path, tmp_path: Path) -> None:
    config = ForgeConfig(methods=("late", "repeated"), seed=7)
    forge_folder(talks, tmp_path / "a", config)
    before = files_of(tmp_path / "a")
    (tmp_path / "a/labels.csv").unlink()
    (tmp_path / "a/4/talk/late.mp4").unlink()
    stands = (tmp_path / "a/3/talk/late.mp4").stat().st_mtime_ns
    forge_folder(talks, tmp_path / "a", config)
    assert files_of(tmp_path / "a") == before
    assert (tmp_path / "a/3/talk/late.mp4").stat().st_mtime_ns == stands


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("late", "lips")}, "--methods late,lips: must be names of dubbed, late"),
        ({"methods": ()}, "must be names of"),
        ({"seconds": 2.0}, "--seconds 2: must be from 4 to 30"),
        ({"seconds": float("nan")}, "--seconds nan: must be from 4 to 30"),
        ({"fakes": 8}, "--fakes 8: must be from 1 to 7"),
    ],
)
def test_settings_out_of_range_are_refused(
    change: dict[str, object], message: str, talks: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        forge_folder(talks, tmp_path / "out", ForgeConfig(**change))  # type: ignore[arg-type]  # any setting
    assert not (tmp_path / "out").exists()


def test_folders_in_the_way_are_refused(talks: Path, forged: Path, tmp_path: Path) -> None:
    forge = partial(forge_folder, config=ForgeConfig(methods=("late",)))
    for folder, out, message in (
        (talks, talks / "out", "lies in"),
        (talks / "3", talks, "lies around"),
        (tmp_path / "no", tmp_path / "out", "no such folder"),
        (talks, forged, "was made with --methods"),
    ):
        with pytest.raises(UserError, match=message):
            forge(folder, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds files that avf-curate forge did not make"):
        forge(talks, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_what_cannot_be_forged_is_named(
    talks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "in"
    shutil.copytree(talks / "3", folder / "3")
    write_talk(folder / "3/short.mp4", 3, frames=50)
    write_talk(folder / "3/silent.mp4", 3, sound=False)
    (folder / "3/broken.mp4").write_bytes(b"no film")
    out = tmp_path / "out"
    arguments = ["forge", str(folder), "--out", str(out), "--methods", "late,dubbed,repeated", "--workers", "1"]
    assert main(arguments) == 0
    assert "2 real videos; people: 1; forged: 1 late, 2 repeated" in capsys.readouterr().out
    messages = caplog.text
    assert "3/short: not used: 2.00 s of video, and 3.12 s are needed" in messages
    assert "3/broken: not used:" in messages
    assert "3/silent late: not forged: has no sound" in messages
    assert "3/talk dubbed: not forged: no video of another person" in messages
    with av.open(str(out / "3/silent/real.mp4")) as file:
        assert not file.streams.audio


def test_two_calls_at_once_do_not_write_one_folder(talks: Path, tmp_path: Path) -> None:
    state = tmp_path / "out/.forge"
    state.mkdir(parents=True)  # as a call leaves it that was killed before anything else
    with RunLock(state, "forge", "other"), pytest.raises(UserError, match=r"--out .*out"):
        forge_folder(talks, tmp_path / "out", ForgeConfig(methods=("late",)))
    assert not (state / "settings.json").exists()
    with pytest.raises(UserError, match="no forgery could be made of 1 video"):
        forge_folder(talks / "3", tmp_path / "out", ForgeConfig(methods=("dubbed",)))
    assert [path.name for path in state.iterdir() if path.name.startswith("forge-")] == []


def test_a_folder_of_which_nothing_can_be_forged_is_refused(talks: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no forgery could be made of 1 video, as of talk dubbed: no video of another"):
        forge_folder(talks / "3", tmp_path / "out", ForgeConfig(methods=("dubbed",)))
    assert not (tmp_path / "out/labels.csv").exists()


def test_a_folder_without_videos_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    assert main(["forge", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 2
    assert "holds no real video" in caplog.text
    assert not (tmp_path / "out").exists()


def test_people_are_parted_and_nobody_is_in_two_parts() -> None:
    people = [f"p{number}" for number in range(20)]
    splits = assign_splits([*people, *people], 3)
    assert Counter(splits.values()) == {"train": 14, "val": 2, "test": 4}
    assert set(splits) == set(people)
    assert splits != assign_splits(people, 4)
    assert set(assign_splits(people[:9], 3).values()) == {""}
    assert Counter(assign_splits(people[:10], 3).values()) == {"train": 6, "val": 2, "test": 2}


def test_the_table_names_people_and_fakes_are_no_originals(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(
        "file,fake,original,subject\na.mp4,0,,anna\nb.mp4,1,a.mp4,anna\nc.mp4,0,,ben\n"
    )
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_bytes(b"film")
    originals, _ = list_originals(tmp_path, 0, follow_symlinks=False)
    assert [(original.name, original.subject) for original in originals] == [("a", "anna"), ("c", "ben")]


def test_files_of_one_name_have_folders_of_their_own(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv", "b.mp4", " c.mp4"):
        (tmp_path / name).write_bytes(b"film")
    originals, _ = list_originals(tmp_path, 0, follow_symlinks=False)
    assert [original.name for original in originals] == ["_ c", "a.mkv", "a.mp4", "b"]


def test_a_film_is_padded_in_its_index(forged: Path) -> None:
    film = (forged / "3/talk/real.mp4").read_bytes()
    longer = pad_film(film, len(film) + 5000)
    assert len(longer) == len(film) + 5000
    (forged.parent / "longer.mp4").write_bytes(longer)
    assert np.array_equal(decode(forged.parent / "longer.mp4"), decode(forged / "3/talk/real.mp4"))
    with pytest.raises(ValueError, match="cannot be padded"):
        pad_film(film, len(film) + 7)
