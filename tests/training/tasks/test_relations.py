"""Corpora that share recordings, persons or films leak into no hybrid, held-out part or transfer, in no direction."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_training.data.storage import StorageConfig
from avf_training.tasks.catalog import find_dataset
from avf_training.tasks.corpus_overlap import find_overlap
from avf_training.tasks.folds import FoldClip, make_folds
from avf_training.tasks.hybrid import MAX_VALIDATION_SHARE, hybrid_task
from avf_training.tasks.labelled_clips import LabelledClips, read_labelled_clips
from avf_training.tasks.labelled_shards import LabelledClip, LabelledShards
from avf_training.tasks.relations import (
    RELATIONS,
    ClipIdentity,
    ExcludedClips,
    assert_no_leakage,
    group_related,
    identify_clip,
    namespace_of,
    open_relations,
    recording_digest_name,
)
from avf_training.tasks.task import fold_task, split_validation, transfer_task
from support.clips import pack_drawn_clips
from support.labelled import curate_labelled_clip, make_dataset

EMOTIONS = ("neutral", "angry", "happy", "sad", "worried", "surprise")


def make_clip(key: str = "a", source: str = "lab", **values: str | None) -> LabelledClip:
    fields = {"video_id": "v", "group_id": "v", "speaker": None, "origin_id": None} | values
    return LabelledClip(index=0, key=key, source=source, labels=None, silent=False, **fields)


def write_part(folder: Path, table: Path, numbers: range) -> None:
    """Write clips of MER2023's grammar and the owners' table of their labels; each emotion in turn."""
    folder.mkdir(parents=True)
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "discrete", "valence"])
        for number in numbers:
            name = f"sample_{number:08d}"
            (folder / f"{name}.mp4").write_bytes(f"{folder} {number}".encode())
            rows.writerow([name, EMOTIONS[number % 6], "0.25"])


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> LabelledShards:
    """MER2023 with 72 training and 18 test clips, and MER2024, which has them all and 30 more."""
    folder = tmp_path_factory.mktemp("releases")
    first, second = folder / "mer2023", folder / "mer2024"
    write_part(first / "train", first / "train-label.csv", range(72))
    write_part(first / "test1", first / "test1-label.csv", range(72, 90))
    write_part(second / "video-labeled", second / "label-disdim.csv", range(120))
    sources = {"mer_multi": first, "mer24": second}
    return LabelledShards([pack_drawn_clips(folder, sources, curate_labelled_clip, 64)], StorageConfig())


def recordings(shards: LabelledShards, dataset: str, keys: Iterable[str]) -> set[str]:
    """Return the recordings that keys show, those of another data set's clips left out."""
    identity_of = read_labelled_clips(shards, find_dataset(dataset)).identity_of
    return {identity_of[key].recording for key in keys if key in identity_of}


def test_the_table_gives_each_name_one_meaning_and_each_fact_a_basis() -> None:
    assert namespace_of("mer_multi", "recording") == namespace_of("mer24", "recording") == "mer2023"
    assert namespace_of("mafw", "recording") == "mafw", "00025 is a clip of MAFW and another one of DFEW"
    assert namespace_of("voxceleb2", "film") == namespace_of("celebvhq", "film") == "youtube"
    assert namespace_of("voxceleb2", "person") != namespace_of("celebvhq", "person")
    assert all(each.fact and each.basis and len(each.sources) > 1 for each in RELATIONS)
    assert [each.name for each in open_relations(["mafw", "dfew", "ravdess"])] == ["films and series"]
    assert open_relations(["ravdess", "crema_d"]) == []


def test_a_clip_has_one_identity_in_every_release() -> None:
    named = {"video_id": "sample_00000007", "group_id": "sample_00000007"}
    clips = [make_clip(source, source, **named) for source in ("mer_multi", "mer24")]
    assert {identify_clip(clip).recording for clip in clips} == {"mer2023/sample_00000007"}
    of_user = make_clip("mine", "mine", **named)
    assert identify_clip(of_user).recording == "mine/sample_00000007"
    assert identify_clip(of_user, "mer24").recording == "mer2023/sample_00000007", "a source stands for its relation"
    voices = [make_clip(speaker="id00012", source=source) for source in ("voxceleb2", "cncvs")]
    assert len({identify_clip(clip).person for clip in voices}) == 2, "speakers' names are each corpus' own"
    films = [make_clip(source=source, origin_id="21Uxsk56VDQ") for source in ("voxceleb2", "avspeech", "celebvhq")]
    assert {identify_clip(clip).film for clip in films} == {"youtube/21Uxsk56VDQ"}
    labelled = LabelledClip(
        index=0, key="a", source="ravdess", video_id="v", group_id="v", speaker="Actor_12", origin_id=None,
        labels=Labels(values={}, subject="12"), silent=False,
    )  # fmt: skip
    assert identify_clip(labelled).person == "ravdess/12"


@pytest.mark.parametrize("digits", [32, 12])
def test_a_key_alone_tells_the_recording_also_in_older_shards(digits: int) -> None:
    from avf_shards.schema.clip_key import make_clip_key
    from avf_shards.timeline import Span

    key = make_clip_key("mer_multi", "sample_00000007", Span(0, 50), 0)
    source, video, rest = key.split("-", 2)
    name = recording_digest_name(f"{source}-{video[:digits]}-{rest}")
    clip = ClipIdentity(key="x", recording="mer2023/sample_00000007")
    assert name in {*clip.digest_names()["recording"], *clip.older_digest_names()}


def test_leakage_is_detected_by_key_recording_person_and_film() -> None:
    tested = [
        ClipIdentity(key="a", recording="mer2023/7", film="youtube/x"),
        ClipIdentity(key="b", recording="ravdess/01", person="ravdess/12"),
    ]
    excluded = ExcludedClips(tested)
    harmless = [
        ClipIdentity(key="c", recording="mer2023/8"),
        ClipIdentity(key="d", recording="ravdess/02", person="ravdess/13", film="youtube/y"),
        ClipIdentity(key="e", recording="crema_d/01", person="crema_d/12"),
    ]
    assert [excluded.overlap(clip) for clip in harmless] == [None] * 3
    assert_no_leakage(harmless, tested, "the fold")
    for leak, why in (
        (ClipIdentity(key="a", recording="mer2023/x"), "the same clip"),
        (ClipIdentity(key="f", recording="mer2023/7"), "the same recording (mer2023/7)"),
        (ClipIdentity(key="g", recording="ravdess/x", person="ravdess/12"), "the same person (ravdess/12)"),
        (ClipIdentity(key="h", recording="mer2023/y", film="youtube/x"), "the same film (youtube/x)"),
    ):
        assert excluded.overlap(leak) == why
        with pytest.raises(UserError) as caught:
            assert_no_leakage([leak], tested, "the fold")
        assert f"{leak.key}: {why} is in the test set of the fold" in str(caught.value)
    with_a_person_of_both = ExcludedClips(tested, allowed=[ClipIdentity(key="z", recording="q", person="ravdess/12")])
    assert with_a_person_of_both.overlap(ClipIdentity(key="g", recording="ravdess/x", person="ravdess/12")) is None


@pytest.mark.parametrize(("target", "other"), [("mer_multi", "mer24"), ("mer24", "mer_multi")])
def test_no_release_brings_tested_or_held_out_recordings_into_the_hybrid(
    releases: LabelledShards, target: str, other: str
) -> None:
    fold = fold_task(find_dataset(target), releases, 1, "av", MAX_VALIDATION_SHARE)
    hybrid = hybrid_task(find_dataset(target), releases, 1, modalities="av", validation_share=0.2)
    assert fold.validation
    assert fold.test
    unseen = recordings(releases, target, (*fold.validation, *fold.test))
    for dataset in (target, other):
        learned = recordings(releases, dataset, (*hybrid.train, *hybrid.validation))
        assert learned, f"clips of {dataset} are in the hybrid"
        assert not learned & unseen
    assert recordings(releases, other, (clip.key for clip in releases.clips())) & unseen, "the other release has them"
    parts = [
        recordings(releases, "mer_multi", keys) | recordings(releases, "mer24", keys)
        for keys in (hybrid.train, hybrid.validation)
    ]
    assert all(parts)
    assert not parts[0] & parts[1], "both copies of a recording are on one side of the hybrid's split"


def test_a_transfer_leaves_out_what_the_tested_release_holds(releases: LabelledShards) -> None:
    multi, mer24 = find_dataset("mer_multi"), find_dataset("mer24")
    task = transfer_task(mer24, multi, releases, "av", 0.2)
    assert len(task.test) == 90
    assert len(task.train) + len(task.validation) == 30, "only the clips that MER2024 added are left"
    assert task.summary["left_out_as_related"] == 90
    with pytest.raises(UserError, match="mer_multi to mer24: each of the 90 clips to train on shows a recording"):
        transfer_task(multi, mer24, releases, "av", 0.2)


def test_the_overlap_of_releases_is_told_by_name(releases: LabelledShards) -> None:
    overlap = find_overlap(releases)
    (shared,) = overlap.shared
    assert (shared.sources, shared.shares, shared.clips) == (("mer24", "mer_multi"), "recording", 180)
    assert overlap.unknown_sound == overlap.clips == {"mer24": 120, "mer_multi": 90}
    assert {each.name for each in overlap.relations} == {"mer2024 pool", "films and series", "chinese television"}


def test_two_clips_of_a_recording_are_in_one_random_fold() -> None:
    clips = [
        FoldClip(key=f"mer24-{number:032x}-{part:07d}-{part + 1:07d}-0", label="sad", recording=f"sample_{number}")
        for number in range(40)
        for part in range(3)
    ]
    for fold in make_folds(find_dataset("mer24"), clips):
        tested = {key[:38] for key in fold.test}
        assert tested
        assert not tested & {key[:38] for key in fold.train}


def test_clips_that_share_any_name_are_one_group_also_over_others() -> None:
    names = [
        ("a", "ann", "f1"),  # one film with ben
        ("b", "ben", "f1"),
        ("c", "ben", None),  # ben alone
        ("d", None, "f2"),
        ("e", "eve", None),
        ("a", None, None),  # the first recording, without its people
    ]
    clips = [
        ClipIdentity(key=str(number), recording=recording, person=person, film=film)
        for number, (recording, person, film) in enumerate(names)
    ]
    groups = group_related(clips)
    assert sorted(sorted(clip.key for clip in group) for group in groups.values()) == [
        ["0", "1", "2", "5"],
        ["3"],
        ["4"],
    ]
    assert set(groups) == {"a", "f2", "eve"}, "the least unit names a group"
    assert {name: set(map(id, group)) for name, group in group_related(clips[::-1]).items()} == {
        name: set(map(id, group)) for name, group in groups.items()
    }


def split_clips(rows: Sequence[tuple[str, str | None, str | None]], share: float = 0.5) -> list[set[str]]:
    """Return the keys to train on and to validate on of clips of (label, person, film)."""
    keys = [f"{number:02d}" for number in range(len(rows))]
    clips = LabelledClips(
        data=make_dataset(),
        clips=tuple(FoldClip(key=key, label=label) for key, (label, _, _) in zip(keys, rows, strict=True)),
        index_of={key: number for number, key in enumerate(keys)},
        identity_of={
            key: ClipIdentity(key=key, recording=key, person=person, film=film)
            for key, (_, person, film) in zip(keys, rows, strict=True)
        },
    )
    return [set(part) for part in split_validation(clips, keys, share)]


def test_validation_clips_share_no_person_and_no_film_with_training_clips() -> None:
    people = [(label, f"lab/{name}", None) for name in "abcdef" for label in ("left", "right")]
    # Two people of each film, and a clip of each film whose person nobody named.
    films = [(label, person, f"lab/film {index // 4}") for index, (label, person, _) in enumerate(people)]
    films += [("left", None, f"lab/film {number}") for number in range(3)]
    for rows in (people, films):
        parts = split_clips(rows)
        assert all(parts)
        for value in (1, 2):
            trained, validated = ({rows[int(key)][value] for key in part} - {None} for part in parts)
            assert not trained & validated


def test_without_people_or_with_one_the_films_are_kept_apart() -> None:
    for person in (None, "lab/a"):
        rows = [(label, person, f"lab/{label} {n // 2}") for label in ("left", "right") for n in range(8)]
        trained, validated = ({rows[int(key)][2] for key in part} for part in split_clips(rows))
        assert trained
        assert validated
        assert not trained & validated
    assert split_clips([("left", "lab/a", "lab/film")] * 4)[1] == set(), "no clip can be spared"


@pytest.mark.parametrize("guests", [1, 2, 6])
@pytest.mark.parametrize("name", "abcdefgh")
def test_what_relates_most_clips_to_each_other_stays_in_training(guests: int, name: str) -> None:
    # The friends of a series meet in every film; a guest is alone in a film. Other names draw another order.
    labels = ("left", "right")
    friends = [(labels[n % 2], f"lab/{name}{n % 3}", f"lab/{name} film {n // 4}") for n in range(40)]
    guest_rows = [(labels[n % 2], f"lab/guest {name}{n}", f"lab/{name} guest {n}") for n in range(guests)]
    rows = friends + guest_rows
    trained, validated = split_clips(rows, 0.1)
    assert validated
    assert len(trained) >= len(rows) / 2
    assert {rows[int(key)][0] for key in trained} == set(labels)
    assert validated <= split_clips(rows, 0.3)[1], "a smaller share is a subset"
    apart = {rows[int(key)][2] for key in trained} & {rows[int(key)][2] for key in validated}
    assert not apart
    if guests == 6:  # enough of them: no person is in both parts
        assert not {rows[int(key)][1] for key in trained} & {rows[int(key)][1] for key in validated}


@pytest.mark.parametrize("name", "abcdefgh")
def test_a_film_of_most_clips_stays_in_training(name: str) -> None:
    rows = [("left", None, f"lab/{name} long")] * 20 + [("left", None, f"lab/{name} {n}") for n in range(3)]
    trained, validated = split_clips(rows, 0.1)
    assert len(validated) == 1
    assert len(trained) == 22


@pytest.mark.parametrize("name", "abcdefgh")
@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_a_label_of_one_person_or_one_film_stays_in_training(name: str, share: float) -> None:
    # One person, and one film, has all clips of `right`; by chance all of it could be held out.
    people = [("left", f"lab/{name}{n % 5}", f"lab/{name} film {n % 5}") for n in range(20)]
    people += [("right", f"lab/{name}0", f"lab/{name} film 0")] * 2
    for rows in (people, [(label, None, film) for label, _, film in people]):
        trained, validated = split_clips(rows, share)
        assert validated
        assert {rows[int(key)][0] for key in trained} == {"left", "right"}
        assert validated <= split_clips(rows, 0.7)[1]


def test_where_each_person_has_a_label_of_its_own_recordings_are_split() -> None:
    rows = [(label, f"lab/{label}", None) for label in ("left", "right") for _ in range(10)]
    trained, validated = split_clips(rows, 0.2)
    assert len(validated) == 4
    assert {rows[int(key)][0] for key in trained} == {rows[int(key)][0] for key in validated} == {"left", "right"}
