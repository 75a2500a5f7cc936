"""Selection: quotas, seeded order, stricter thresholds and inputs with equal bytes."""

from pathlib import Path

import pytest
from avf_shards.cli.main import main
from avf_shards.errors import UserError
from avf_shards.packing.selection import Selection, SourceSelection, load_selection, select_clips
from avf_shards.schema.ledger import Decision, decisions_to_table
from avf_shards.timeline import Span
from support.ledgers import make_ledger


def test_a_quota_is_met_and_a_shortfall_reported() -> None:
    table = make_ledger({"a": [5.0] * 30, "b": [5.0] * 4})
    result = select_clips(table, Selection(sources={"a": SourceSelection(quota=10), "b": SourceSelection(quota=10)}))
    assert [(len(result.clips[s]), result.sources[s].short) for s in "ab"] == [(10, 0), (4, 6)]


def test_order_is_seeded_and_a_quota_is_a_prefix() -> None:
    table = make_ledger({"a": [5.0] * 50})
    all_clips = select_clips(table, Selection(seed=3)).clips["a"]
    part = select_clips(table, Selection(seed=3, sources={"a": SourceSelection(quota=20)})).clips["a"]
    other = select_clips(table, Selection(seed=4)).clips["a"]
    assert all_clips[:20] == part
    assert sorted(all_clips) == sorted(other)
    assert all_clips != other


def test_stricter_thresholds_reject_low_scores_and_keep_missing_scores() -> None:
    table = make_ledger({"a": [3.5, 4.5, None], "b": [3.5]})
    name = "sync/low_confidence"
    result = select_clips(
        table, Selection(thresholds={name: 4.0}, sources={"a": SourceSelection(), "b": SourceSelection()})
    )
    assert (len(result.clips["a"]), len(result.clips["b"])) == (2, 0)
    per_source = Selection(sources={"a": SourceSelection(thresholds={name: 4.0}), "b": SourceSelection()})
    result = select_clips(table, per_source)
    assert (len(result.clips["a"]), len(result.clips["b"])) == (2, 1)


def test_laxer_and_unknown_thresholds_are_refused() -> None:
    table = make_ledger({"a": [5.0]})
    with pytest.raises(UserError, match="laxer than 3"):
        select_clips(table, Selection(thresholds={"sync/low_confidence": 2.0}))
    with pytest.raises(UserError, match="no kept clip has a check of this name"):
        select_clips(table, Selection(thresholds={"sync/confidence": 4.0}))
    with pytest.raises(UserError, match="no such source"):
        select_clips(table, Selection(sources={"nope": SourceSelection()}))


def test_clips_of_equal_input_bytes_are_selected_once() -> None:
    rows = [
        Decision(
            source="a",
            video_id=n,
            group_id=n,
            path=n,
            span=Span(0, 50),
            status="kept",
            input_sha256="same",
            clips=(f"a-{i:012x}-0000000-0000050-0",),
        )
        for i, n in enumerate(("one", "two"))
    ]
    result = select_clips(decisions_to_table(rows), Selection())
    assert (len(result.clips["a"]), result.sources["a"].duplicates) == (1, 1)


def test_persons_of_one_file_are_no_copies_of_each_other() -> None:
    rows = [
        Decision(
            source="a",
            video_id=video_id,
            group_id="film",
            path=path,
            span=Span(0, 50),
            status="kept",
            input_sha256="same",
            clips=(f"a-{number:012x}-0000000-0000050-0",),
        )
        for number, (video_id, path) in enumerate(
            (("1_left", "film.mp4"), ("1_right", "film.mp4"), ("2_left", "copy.mp4"), ("2_right", "copy.mp4"))
        )
    ]
    result = select_clips(decisions_to_table(rows), Selection())
    assert [int(key.split("-")[1], 16) for key, _, _ in sorted(result.clips["a"])] == [0, 1]
    assert result.sources["a"].duplicates == 2


def test_a_selection_that_is_nested_too_deeply_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f"a = {'[' * 100_000}")
    with pytest.raises(UserError, match=r"s.toml: not a TOML file \(nested too deeply\)"):
        load_selection(path)


def test_a_selection_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "pick.toml"
    path.write_text('seed = 7\n[sources.a]\nquota = 3\n[thresholds]\n"sync/low_confidence" = 4.0\n')
    assert load_selection(path) == Selection(
        seed=7, thresholds={"sync/low_confidence": 4.0}, sources={"a": SourceSelection(quota=3)}
    )
    path.write_text("seeed = 7\n")
    with pytest.raises(UserError, match=r"pick\.toml\.seeed: unknown setting; did you mean 'seed'"):
        load_selection(path)
    path.write_text("= nonsense")
    with pytest.raises(UserError, match="not a TOML file"):
        load_selection(path)


def test_pack_refuses_another_selection(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from support.runs import make_run

    make_run(tmp_path)
    arguments = ["pack", str(tmp_path / "run"), "--out", str(tmp_path / "shards")]
    assert main(arguments) == 0
    assert main(arguments) == 0
    (tmp_path / "s.toml").write_text("seed = 9\n")
    assert main([*arguments, "--select", str(tmp_path / "s.toml")]) == 2
    assert "selection.seed: 0 -> 9" in capsys.readouterr().err


def test_ls_show_and_lineage_describe_the_shards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from support.runs import make_run

    make_run(tmp_path)
    shards = str(tmp_path / "shards")
    assert main(["pack", str(tmp_path / "run"), "--out", shards]) == 0
    capsys.readouterr()
    assert main(["ls", shards, "--keys"]) == 0
    keys = capsys.readouterr().out.split()
    assert len(keys) == 6
    assert main(["show", shards, keys[0]]) == 0
    assert main(["lineage", shards, keys[0]]) == 0
    out = capsys.readouterr().out
    assert "sync/low_confidence" in out
    assert "cannot tell" in out
    assert "made: 00" in out
    assert main(["lineage", shards, "../../etc"]) == 2
    assert "not a clip's key" in capsys.readouterr().err


def test_speakers_are_selected_in_turn() -> None:
    table = make_ledger({"a": [5.0] * 30}, speakers=10)
    selection = Selection(sources={"a": SourceSelection(quota=20, order="speakers")})
    speakers = dict(zip((keys[0] for keys in table["clips"].to_pylist()), table["speaker"].to_pylist(), strict=True))
    selected = [speakers[row[0]] for row in select_clips(table, selection).clips["a"]]
    assert len(set(selected[:10])) == len(set(selected[10:])) == 10


def test_every_kept_clip_has_a_selection_reason() -> None:
    table = make_ledger({"a": [5.0] * 6 + [3.5] * 3, "b": [5.0] * 4})
    selection = Selection(
        thresholds={"sync/low_confidence": 4.0}, sources={"a": SourceSelection(quota=4)}, absent_sources="report"
    )
    result = select_clips(table, selection)
    rows = result.as_table().to_pylist()
    assert [row["key"] for row in rows] == sorted(key for keys in table["clips"].to_pylist()[:9] for key in keys)
    assert [row["reason"] for row in rows if not row["selected"]].count("sync/low_confidence") == 3
    assert [row["reason"] for row in rows if not row["selected"]].count("quota") == 2
    counts = result.sources["a"]
    assert (counts.kept, counts.available, counts.selected, counts.below_threshold) == (9, 6, 4, 3)


def test_a_missing_source_with_a_quota_is_a_shortfall() -> None:
    table = make_ledger({"a": [5.0] * 3})
    selection = Selection(sources={"a": SourceSelection(), "z": SourceSelection(quota=7)}, absent_sources="report")
    assert select_clips(table, selection).sources["z"].short == 7
