"""A start that learned a tested or held-out recording is refused by its list; what it saw without labels is told."""

import json
import logging
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.schema.versions import stamp
from avf_training.data.storage import StorageConfig
from avf_training.finetuning.initialization import count_seen, inherit_learned
from avf_training.models.saved_config import CONFIG
from avf_training.tasks.labelled_clips import read_labelled_clips
from avf_training.tasks.labelled_shards import LabelledShards
from avf_training.tasks.learned_clips import LEARNED, LearnedClips
from avf_training.tasks.relations import ClipIdentity
from avf_training.tasks.task import Task, fold_task
from avf_training.trainer.run_folder import RUN
from support.labelled import make_dataset, make_label_rows, make_labelled_shards

RELEASES = {"same_recordings_as": "two releases"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    """Two releases of 24 clips with the same file names; each names the people otherwise."""
    rows = {"lab": make_label_rows(6, 2), "more": make_label_rows(6, 2, first=50)}
    return LabelledShards([make_labelled_shards(tmp_path_factory.mktemp("lab"), rows)], StorageConfig())


def make_fold(shards: LabelledShards, source: str, number: int = 1, **changes: object) -> Task:
    return fold_task(make_dataset(source, **{**RELEASES, **changes}), shards, number, "av", 0.2)


def make_start(folder: Path, learned: LearnedClips | None) -> Path:
    """Write the folder of a saved model without weights, with its list."""
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text("{}")
    if learned is not None:
        learned.write(folder)
    return folder


def identities(shards: LabelledShards, source: str) -> list[ClipIdentity]:
    return list(read_labelled_clips(shards, make_dataset(source, **RELEASES)).identity_of.values())


@pytest.mark.parametrize(("tested", "learned"), [("lab", "more"), ("more", "lab")])
def test_a_start_that_learned_another_release_of_a_test_clip_is_refused(
    shards: LabelledShards, tmp_path: Path, tested: str, learned: str
) -> None:
    start = make_start(tmp_path / "start", LearnedClips.with_labels(identities(shards, learned)))
    task = make_fold(shards, tested)
    with pytest.raises(UserError, match=rf"was trained on the recording of {tested}-\S+ and \d+ more clips that") as e:
        inherit_learned(start, task)
    assert f"{tested}/fold_1 tests" in str(e.value)
    separate = make_fold(shards, tested, same_recordings_as="")
    assert inherit_learned(start, separate), "names of two corpora that share nothing mean nothing"


def test_a_start_that_learned_another_release_of_a_held_out_clip_is_refused(
    shards: LabelledShards, tmp_path: Path
) -> None:
    task = make_fold(shards, "lab")
    held_out = {task.identity_of[key].recording for key in task.validation}
    others = [clip for clip in identities(shards, "more") if clip.recording in held_out]
    start = make_start(tmp_path / "start", LearnedClips.with_labels(others))
    with pytest.raises(UserError, match="selects its epoch by"):
        inherit_learned(start, task)


def test_other_clips_of_tested_people_are_refused_unless_the_fold_itself_trains_on_them(
    shards: LabelledShards, tmp_path: Path
) -> None:
    task = make_fold(shards, "lab")
    person = task.identity_of[task.test[0]]
    stranger = type(person)(key="lab-other", recording="lab/another video", person=person.person)
    start = make_start(tmp_path / "start", LearnedClips.with_labels([stranger]))
    with pytest.raises(UserError, match="was trained on the person of lab-"):
        inherit_learned(start, task)
    owners_folds = make_fold(shards, "lab", split="random", subjects_overlap=True)
    assert inherit_learned(start, owners_folds), "people are in both parts of these folds, by their owners"


def test_what_pre_training_saw_is_told_and_not_refused(
    shards: LabelledShards, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_fold(shards, "lab")
    keys = [clip.key for clip in shards.clips() if clip.source == "lab"]
    run = tmp_path / "pretrained"
    make_start(run / "model", None)
    LearnedClips.from_keys(keys, labelled=False).write(run)
    with caplog.at_level(logging.WARNING):
        learned = inherit_learned(run, task)
    count = len(task.test)
    assert f"its pre-training saw {count} of the {count} test clips of lab/fold_1, without their labels" in caplog.text
    assert count_seen(learned, task) == count
    of_other = make_fold(shards, "more", same_recordings_as="lab")
    assert count_seen(learned, of_other) == len(of_other.test), (
        "pre-training knows no row of the user; the row names it"
    )
    assert count_seen(LearnedClips(), task) == 0


def test_a_start_without_a_list_is_told_and_older_runs_are_checked_by_their_keys(
    shards: LabelledShards, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = make_fold(shards, "lab", same_recordings_as="")
    alone = make_start(tmp_path / "alone", None)
    with caplog.at_level(logging.WARNING):
        assert not inherit_learned(alone, task)
    assert (
        f"no list says which clips it learned from ({LEARNED}); whether it saw a test clip of lab/fold_1" in caplog.text
    )
    older = tmp_path / "older"
    make_start(older / "model", None)
    for name in ("train", "validation", "inherited_keys"):
        values = {"train": [], "validation": [], "inherited_keys": []} | {name: [task.test[0]]}
        (older / RUN).write_text(json.dumps(stamp(values, "training run")))
        with pytest.raises(UserError, match=rf"was trained on {task.test[0]} and 0 more clips that lab/fold_1 tests"):
            inherit_learned(older, task)
