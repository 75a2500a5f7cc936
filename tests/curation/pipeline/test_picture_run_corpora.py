"""Runs of whole corpora of face pictures end in shards, however often they are killed."""

import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from avf_curation.audit.funnel import summarize_run
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.packing.pack import pack_shards
from avf_shards.packing.selection import Selection
from support import picture_corpora
from support.crash_points import exit_status_in_child
from support.face_pictures import (
    EMBEDDED_PICTURES,
    curate_pictures,
    encode_face,
    load_picture_recipe,
    write_face,
)
from support.picture_corpora import read_pictures
from support.picture_runs import STORE_WHOLE, decisions_of_pictures, pack_pictures
from support.trees import file_digests


def test_corpora_that_their_owners_aligned_are_stored_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number in (1, 2):
        write_face(root, f"img_align_celeba/{number:06d}.jpg", number)
    (root / "img_align_celeba/000003.jpg").write_bytes(encode_face(3)[:-100])
    (root / "list_eval_partition.txt").write_text("000001.jpg 0\n000002.jpg 2\n000003.jpg 1\n")
    run = curate_pictures(root, tmp_path / "run", source="celeba")
    assert Counter(decision.status for decision in decisions_of_pictures(run).values()) == {"kept": 2, "failed": 1}
    pictures = pack_pictures(run, tmp_path / "shards")
    for name, subset in (("000001", "train"), ("000002", "test")):
        stored = pictures[name]
        assert stored.data == (root / f"img_align_celeba/{name}.jpg").read_bytes()
        assert (stored.record.window_px, stored.record.face_px, stored.record.subset) == (None, None, subset)
        assert {check.stage for check in stored.record.checks} == {"picture", "quality"}


@pytest.mark.parametrize(
    ("source", "pictures", "labels"),
    [
        ("affectnet_full", 4, {"expression", "abaw_expression", "valence", "arousal"}),
        ("affectnet_2021", 3, {"expression", "abaw_expression", "valence", "arousal"}),
        ("raf_db", 2, {"expression", "abaw_expression"}),
        ("casia_webface", 2, set()),
        ("celeba", 4, set()),
        ("imdb_wiki", 1, set()),
        ("webface260m", 3, set()),
    ],
)
def test_each_corpus_becomes_shards(
    source: str, pictures: int, labels: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trees are those of `sources check`, with pictures that decode; each picture has other bytes."""
    numbers = iter(range(1000))
    write = picture_corpora.write_file

    def write_pictures(root: Path, name: str, content: str | bytes) -> None:
        write(root, name, encode_face(1, smile=next(numbers) / 50) if content == picture_corpora.JPEG else content)

    monkeypatch.setattr(picture_corpora, "write_file", write_pictures)
    make: Callable[[Path], Path] = getattr(picture_corpora, source)
    (tmp_path / "in").mkdir()
    root, name = make(tmp_path / "in"), source.removesuffix("_full").removesuffix("_2021")
    listed = read_pictures(name, root)[0]
    run = curate_pictures(root, tmp_path / "run", *STORE_WHOLE, source=name)
    decisions = decisions_of_pictures(run)
    assert decisions.keys() == listed.keys()
    assert summarize_run(run).accounting_errors == ()
    stored = pack_pictures(run, tmp_path / "shards")
    kept_names = {name for name, decision in decisions.items() if decision.status == "kept"}
    assert stored.keys() == kept_names
    assert len(stored) >= pictures
    for picture_id, picture in stored.items():
        record, known = picture.record, listed[picture_id]
        assert (record.identity, record.subset, record.labels) == (known.identity, known.subset, known.labels)
        assert picture.data == (root / known.path).read_bytes() or known.packed is not None
    if name == "imdb_wiki":
        assert {picture_id: decision.reason for picture_id, decision in decisions.items()} == {
            "wiki/00/a.jpg": None,
            "wiki/00/b.jpg": "owners_no_face",
            "wiki/01/c.jpg": "owners_second_face",
            "wiki/01/d.jpg": "owners_no_face",
        }
    assert {label for each in stored.values() if each.record.labels for label in each.record.labels.values} == labels


def run_job(root: Path, out: Path) -> None:
    recipe = load_picture_recipe(["pictures"], *STORE_WHOLE, "plan.unit_videos=1")
    run = curate(recipe, EMBEDDED_PICTURES, {"pictures": root}, out / "run", RunOptions(engine="inline"))
    pack_shards(run, out / "shards", Selection(clips_per_shard=2))


def die_after(number: int, root: Path, out: Path) -> None:
    from avf_shards.system import durable_io

    remaining = [number]

    def watch(operation: str, path: Path) -> None:
        remaining[0] -= 1
        if not remaining[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    with durable_io.watch(watch):
        run_job(root, out)


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number in (1, 2, 3):
        write_face(root, f"{number}.png", number)
    run_job(root, tmp_path / "undisturbed")
    out, statuses = tmp_path / "hunted", []
    for number in range(15, 90, 10):
        statuses.append(exit_status_in_child(lambda number=number: die_after(number, root, out)))
    assert statuses.count(-signal.SIGKILL) >= 3
    run_job(root, out)
    assert file_digests(out) == file_digests(tmp_path / "undisturbed")
