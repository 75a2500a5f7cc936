"""The catalog of labelled data sets: folds, and aligned labels."""

import json
import re
from dataclasses import replace

import pytest
from avf_shards.errors import UserError
from avf_training.cli.main import main
from avf_training.tasks.catalog import DATASETS, find_dataset
from avf_training.tasks.folds import FoldClip, has_values, make_folds
from avf_training.tasks.label_alignment import ALIGNED, HYBRID_LABELS, micro_expression_class


def test_the_catalog_has_seventeen_consistent_data_sets() -> None:
    assert len({data.name for data in DATASETS}) == len(DATASETS)
    assert sum(data.task != "detection" for data in DATASETS) == 22, (
        "seventeen sets, AVCAffe's two axes, two ways to split MER24 and Werewolf-XL, DFME's two test parts"
    )
    for data in DATASETS:
        assert len(set(data.labels)) == len(data.labels)
        assert bool(data.labels) != bool(data.dimensions)
        assert set(data.per_label) <= set(data.labels)
        if data.per_label and data.name not in ("casme3", "mafw_11"):
            assert sum(data.per_label.values()) == data.clips, data.name
    assert len(find_dataset("mafw_43").labels) == 43
    assert sum(find_dataset("mafw_11").per_label.values()) == 9_172
    with pytest.raises(UserError, match="did you mean 'iemocap'"):
        find_dataset("iemocop")


def test_aligned_labels_belong_to_the_data_set_and_to_the_hybrid() -> None:
    assert len(HYBRID_LABELS) == len(set(HYBRID_LABELS)) == 13
    for name, table in ALIGNED.items():
        assert set(table.values()) <= set(HYBRID_LABELS)
        assert set(table) <= {*find_dataset(name).labels, "exc"}
    assert {label for table in ALIGNED.values() for label in table.values()} == set(HYBRID_LABELS)


def test_micro_expressions_map_to_three_classes() -> None:
    def label_of(dataset: str, native: str) -> str | None:
        return micro_expression_class(native, find_dataset(dataset).excluded)

    assert label_of("casme2", "repression") == "negative"
    assert label_of("casme2", "fear") is None, "MEGC 2019 leaves it out of CASME II"
    assert label_of("samm", "Fear") == "negative"
    assert label_of("mmew", "others") is None
    assert label_of("casme3", "happy") == "positive"
    assert label_of("smic", "surprise") == "surprise"


def test_folds_by_blocks_of_actors_are_those_of_the_authors() -> None:
    actors = [FoldClip(key=f"crema_d-{a}", label="ANG", subject=str(a)) for a in range(1001, 1092)]
    folds = make_folds(find_dataset("crema_d_6"), actors)
    assert [len(fold.test) for fold in folds] == [18, 18, 18, 18, 19]
    assert folds[0].test[0] == "crema_d-1001"
    assert folds[4].test == tuple(f"crema_d-{a}" for a in range(1073, 1092))
    (last,) = make_folds(find_dataset("crema_d_4"), actors)
    assert last.test == folds[4].test
    people = [FoldClip(key=f"r-{a:02d}", label="sad", subject=str(a)) for a in range(1, 25)]
    assert [fold.test for fold in make_folds(find_dataset("ravdess"), people)][1] == ("r-05", "r-06", "r-07", "r-08")


def test_each_test_part_of_dfme_is_in_no_fold_of_the_other() -> None:
    splits = ("training", "test_a", "test_b")
    clips = [FoldClip(key=f"k-{split}", label="fear", subject=split, values={"split": split}) for split in splits]
    for name, tested in (("dfme_a", "test_a"), ("dfme_b", "test_b")):
        data = find_dataset(name)
        (fold,) = make_folds(data, [clip for clip in clips if has_values(clip, data.only)])
        assert (fold.train, fold.test) == (("k-training",), (f"k-{tested}",))


def test_folds_follow_each_split_rule() -> None:
    clips = [
        FoldClip(
            key=f"k{n}",
            label="neu",
            subject=f"s{n % 10}",
            session=f"Session{n % 10 // 2 + 1}",
            folds={"single": n % 5 + 1},
        )
        for n in range(50)
    ]
    sessions = make_folds(find_dataset("iemocap"), clips)
    assert [len(fold.test) for fold in sessions] == [10] * 5
    for fold in sessions:
        assert not set(fold.train) & set(fold.test)
        assert len(fold.train) + len(fold.test) == 50
    assert [len(fold.test) for fold in make_folds(find_dataset("dfew"), clips)] == [10] * 5
    unknown = [replace(clip, subject=None) for clip in clips]
    folds = make_folds(find_dataset("mer24"), unknown)
    assert folds == make_folds(find_dataset("mer24"), unknown[::-1])
    assert list(folds[0].test) != sorted(clip.key for clip in unknown)[: len(folds[0].test)], (
        "in a random order, not by name"
    )
    assert len(make_folds(find_dataset("smic"), clips)) == 10
    people = [FoldClip(key=f"a{n}", label="Calm", subject=f"aiim{n:03d}") for n in range(1, 109)]
    (fold,) = make_folds(find_dataset("avcaffe_arousal"), people)
    assert len(fold.test) == len(find_dataset("avcaffe_arousal").test_subjects) == 20


@pytest.mark.parametrize(
    ("name", "clips", "message"),
    [
        ("iemocap", [FoldClip(key="k", label="neu", subject="s", session=None)], "k: its record has no session"),
        ("crema_d_6", [FoldClip(key="k", label="ANG")], "k: its record has no subject"),
        ("dfew", [FoldClip(key="k", label="sad", folds={"compound": 1})], "k: its record has no fold 'single'"),
        ("dfew", [FoldClip(key="k", label="sad", folds={"single": 9})], "k: its record has no fold 'single'"),
        ("ravdess", [FoldClip(key="k", label="sad", subject="1")], "1 sessions or subjects cannot make 6 folds"),
        ("mafw_11", [], "no labelled clip"),
        (
            "msp_improv",
            [FoldClip(key=f"k{n}", label="neu", subject=f"p{n % 7}", session=str(n % 6 + 1)) for n in range(84)],
            r"msp_improv, fold 1: subject p1 is trained on \(k1\) and tested \(k78\)",
        ),
    ],
)
def test_impossible_folds_name_the_clip_and_the_rule(name: str, clips: list[FoldClip], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_folds(find_dataset(name), clips)


def test_the_command_lists_data_sets(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it; a pipe has no width
    assert main(["datasets"]) == 0
    output = capsys.readouterr().out
    for data in DATASETS:  # no name is so long that it runs into its neighbour
        assert re.search(rf"^{re.escape(data.name)} +{re.escape(data.title)} +{data.source} ", output, re.MULTILINE)
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["datasets"]) == 0
    table = capsys.readouterr().out.partition("folds: ")[0]
    assert all(len(line) <= 80 for line in table.splitlines())
    assert "\N{HORIZONTAL ELLIPSIS}" not in table
    for data in DATASETS:  # a title goes on in the next line at a space; no word is cut
        assert re.search(rf"^{data.name} +{re.escape(data.title.split()[0])} .*{data.source} ", table, re.MULTILINE)
    monkeypatch.delenv("COLUMNS")
    assert main(["datasets", "--alignment"]) == 0
    output = capsys.readouterr().out
    assert re.search(r"happy +happiness +happy +happy +happy +hap\+exc +HAP +HAP +happy", output)
    assert (
        "in no hybrid: mafw_43, msp_improv, werewolf_xl, werewolf_xl_subjects, avcaffe_arousal, avcaffe_valence"
        in output
    )
    assert main(["datasets", "--json", "-"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == [data.name for data in DATASETS]


def test_players_of_werewolf_xl_are_apart_by_subject_and_return_by_session() -> None:
    clips = [
        FoldClip(key=f"{session}-{player}", label="", subject=player, session=f"{session:02d}")
        for session in range(1, 31)
        for player in (f"p{session % 10}", f"q{session}")  # the first plays in three sessions
    ]
    folds = make_folds(find_dataset("werewolf_xl_subjects"), clips)
    assert sum(len(fold.test) for fold in folds) == len(clips)
    for fold in folds:
        assert not {key.split("-")[1] for key in fold.train} & {key.split("-")[1] for key in fold.test}
    by_session = make_folds(find_dataset("werewolf_xl"), clips)
    assert [{key.split("-")[0] for key in fold.test} for fold in by_session] == [
        {str(session) for session in range(first, first + 6)} for first in range(1, 31, 6)
    ]


def test_train_and_val_of_mer24_are_those_of_the_list() -> None:
    clips = [FoldClip(key=f"k{number}", label="sad", folds={"train_val": int(number < 3)}) for number in range(9)]
    (fold,) = make_folds(find_dataset("mer24_tv"), clips)
    assert fold.test == ("k0", "k1", "k2")
    with pytest.raises(UserError, match=r"no fold 'train_val' of mer24_tv; .* the owners' list of its folds"):
        make_folds(find_dataset("mer24_tv"), [FoldClip(key="k0", label="sad")])
