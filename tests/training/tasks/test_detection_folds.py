"""Reals and fakes of a corpus: their classes, the owners' parts, and originals that are never torn apart."""

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from avf_shards.errors import UserError
from avf_shards.schema.forgery import Forgery
from avf_shards.schema.labels import Labels
from avf_training.tasks.catalog import Dataset, find_dataset
from avf_training.tasks.folds import make_folds
from avf_training.tasks.labelled_clips import LabelledClips, read_labelled_clips, usable_keys
from avf_training.tasks.labelled_shards import LabelledClip
from avf_training.tasks.task import split_validation, transfer_dataset, transfer_task

LAB = Dataset(name="lab", task="detection", split="group", folds=2)
OFFICIAL = replace(LAB, split="column", folds=1, only={"split": ("train", "dev", "test")}, tested={"split": ("test",)})


def _clip(number: int, original: str, fake: bool, split: str = "", subject: str | None = None) -> LabelledClip:
    labels = Labels(
        values={"label": "fake" if fake else "real"} | ({"split": split} if split else {}),
        subject=subject,
        session=original,
        forgery=Forgery(is_fake=fake, original=original, segments=None if fake else ()),
    )
    return LabelledClip(
        index=number, key=f"lab-{number:016x}-000000-000100-0", source="lab", video_id=f"{number}.mp4",
        group_id=original, speaker=None, origin_id=None, labels=labels, silent=number % 2 == 0,
    )  # fmt: skip


def _clips(parts: Sequence[str], *, people: bool = False) -> list[LabelledClip]:
    """Return a real and two fakes of an original for each part."""
    return [
        _clip(3 * number + fake, f"o{number}", bool(fake), part, f"p{number}" if people else None)
        for number, part in enumerate(parts)
        for fake in range(3)
    ]


def _read(clips: list[LabelledClip], data: Dataset) -> LabelledClips:
    return read_labelled_clips(cast(Any, SimpleNamespace(clips=lambda: clips)), data)


def test_classes_are_real_and_fake_in_this_order() -> None:
    assert LAB.labels == ("real", "fake")
    assert LAB.metrics == ("AUC", "AP", "UAR")
    with pytest.raises(ValueError, match="labels of a detection are real, fake, in this order; not fake, real"):
        Dataset(name="lab", task="detection", labels=("fake", "real"))
    with pytest.raises(ValueError, match="split column needs tested"):
        Dataset(name="lab", task="detection", split="column", folds=1)
    classes = _read(_clips(["train"]), LAB).classes()
    assert sorted(classes.values()) == [0, 1, 1]


def test_a_second_test_set_is_in_neither_training_nor_test() -> None:
    clips = _read(_clips(["train", "train", "test", "hidden", "dev"]), OFFICIAL)
    (fold,) = make_folds(OFFICIAL, clips.clips)
    assert (len(fold.train), len(fold.test)) == (9, 3)
    assert clips.excluded == {"left out by `only`": 3}
    hidden = {f"lab-{number:016x}-000000-000100-0" for number in range(9, 12)}
    assert not hidden & {*fold.train, *fold.test}


def test_the_owners_validation_clips_select_the_epoch() -> None:
    data = replace(OFFICIAL, validated={"split": ("dev",)})
    clips = _read(_clips(["train", "train", "test", "dev"]), data)
    (fold,) = make_folds(data, clips.clips)
    train, validation = split_validation(clips, fold.train, 0.0)
    assert (len(train), len(validation)) == (6, 3)
    wrong = replace(data, validated={"split": ("devel",)})
    with pytest.raises(UserError, match="no clip has the values of validated"):
        split_validation(_read(_clips(["train", "train", "test", "dev"]), wrong), fold.train, 0.0)


@pytest.mark.parametrize("people", [False, True])
def test_an_original_and_its_fakes_are_on_one_side_of_every_split(people: bool) -> None:
    clips = _read(_clips([""] * 20, people=people), LAB)
    original_of = {clip.key: clip.original for clip in clips.clips}
    for fold in make_folds(LAB, clips.clips):
        train, validation = split_validation(clips, fold.train, 0.2)
        parts = [{original_of[key] for key in keys} for keys in (train, validation, fold.test)]
        assert all(parts)
        assert sum(map(len, parts)) == 20


def test_a_torn_original_is_refused_by_name() -> None:
    torn = [*_clips(["train", "test"]), _clip(9, "o0", True, "test")]
    clips = _read(torn, OFFICIAL)
    with pytest.raises(UserError, match="both are of the original o0") as error:
        make_folds(OFFICIAL, clips.clips)
    assert "lab-0000000000000009" in str(error.value)
    data = replace(OFFICIAL, validated={"split": ("dev",)})
    clips = _read([*_clips(["train", "test"]), _clip(9, "o0", True, "dev")], data)
    (fold,) = make_folds(data, clips.clips)
    with pytest.raises(UserError, match="to select the epoch is lab-0000000000000009"):
        split_validation(clips, fold.train, 0.1)


def test_a_record_without_truth_is_refused_and_a_silent_fake_is_answered() -> None:
    clips = _clips(["train"])
    silent = _clip(50, "o9", True)
    assert clips[0].labels is not None
    without = replace(clips[0], labels=replace(clips[0].labels, forgery=None))
    with pytest.raises(UserError, match="does not say of which original"):
        _read([without], LAB)
    read = _read([*clips, silent], LAB)
    assert silent.key in read.silent
    assert silent.key in usable_keys(LAB, list(read.index_of), read.silent, "av")


def test_rows_of_the_catalog_are_of_corpora_of_fakes() -> None:
    for name in ("av_deepfake1m", "lav_df", "fakeavceleb", "dfdc", "ffpp"):
        assert find_dataset(name).labels == ("real", "fake")
    assert "only" not in find_dataset("mafw_11").frozen()  # runs of earlier versions go on
    assert find_dataset("lav_df").frozen()["validated"] == {"split": ("dev",)}


def test_a_detector_of_one_corpus_is_tested_on_another() -> None:
    lav_df, fakeavceleb = find_dataset("lav_df"), find_dataset("fakeavceleb")
    assert transfer_dataset(lav_df, fakeavceleb).labels == ("real", "fake")
    with pytest.raises(UserError, match="or both detect fakes"):
        transfer_dataset(find_dataset("iemocap"), lav_df)
    other = replace(LAB, name="other", source="other")
    clips = _clips([""] * 8, people=True)
    others = [
        replace(clip, key=clip.key.replace("lab", "other"), source="other", index=100 + clip.index)
        for clip in _clips([""] * 3)
    ]
    shards = cast(Any, SimpleNamespace(clips=lambda: [*clips, *others]))
    task = transfer_task(LAB, other, shards, "av", 0.2)
    assert len(task.test) == 9
    assert {task.group_of[key] for key in task.test} == {f"{number}.mp4" for number in range(9)}
    assert not {key for key in (*task.train, *task.validation) if key.startswith("other")}
