"""A plan names each video once, and a source without an input is told."""

from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.recipe import PlanConfig
from avf_curation.runs.plan import make_plan
from avf_curation.runs.plan_table import encode_plan, read_plan_table, videos_of
from avf_curation.runs.planning import plan_run
from avf_shards.errors import FaultError, UserError
from avf_shards.schema import clip_key
from support.curation_runs import EMBEDDED, make_recipe, make_source_video
from support.runs import make_inputs

CONFIG: dict[str, PlanConfig] = {"s": make_recipe().settings_for("s").plan}


def test_two_inputs_of_one_id_are_refused_in_different_groups_too() -> None:
    videos = [make_source_video("a.mp4", "s", group_id=group) for group in ("1", "3")]
    videos[1] = replace(videos[1], path="other/a.mp4")
    between = make_source_video("b.mp4", "s", group_id="2")
    with pytest.raises(UserError, match=r"s: two inputs have the id 'a\.mp4': a\.mp4 and other/a\.mp4; rename one"):
        make_plan([videos[0], between, videos[1]], CONFIG)


def test_two_inputs_whose_clips_would_have_one_key_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_key, "_video_digest", lambda video: "0" * 32)
    videos = [make_source_video(name, "s") for name in ("a.mp4", "b.mp4")]
    with pytest.raises(UserError, match=r"s: two inputs would have the same clip keys \('a\.mp4' and 'b\.mp4'\)"):
        make_plan(videos, CONFIG)
    assert make_plan([videos[0], replace(videos[1], source="t")], CONFIG | {"t": CONFIG["s"]}).num_rows == 2


def test_a_source_without_an_input_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/notes.txt").write_text("no video")
    plan_run(make_recipe(), EMBEDDED, {"talks": tmp_path / "in"}, tmp_path / "run")
    assert f"source talks: no input in {tmp_path / 'in'} (1 path skipped); the plan is frozen" in caplog.text
    caplog.clear()
    (tmp_path / "in/a.jpg").write_bytes(b"a picture")
    plan_run(make_recipe(), EMBEDDED, {"talks": tmp_path / "in"}, tmp_path / "of_images")
    assert "images are the input of --source pictures=DIR" in caplog.text
    caplog.clear()
    make_inputs(tmp_path / "full", 1)
    plan_run(make_recipe(), EMBEDDED, {"made": tmp_path / "full"}, tmp_path / "another")
    assert "no input" not in caplog.text


def test_a_plan_of_an_earlier_version_has_no_share_of_the_sides(tmp_path: Path) -> None:
    video = replace(make_source_video("a", "s"), side="left", side_share=0.38)
    table = make_plan([video], CONFIG)
    for name, plan, share in (("now", table, 0.38), ("before", table.drop_columns(["side_share"]), 0.5)):
        (tmp_path / name).write_bytes(encode_plan(plan))
        assert videos_of(read_plan_table(tmp_path / name)) == [replace(video, side_share=share)]
    (tmp_path / "damaged").write_bytes(encode_plan(table.drop_columns(["side"])))
    with pytest.raises(FaultError, match="there is no column side"):
        read_plan_table(tmp_path / "damaged")
