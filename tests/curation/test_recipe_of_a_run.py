"""The recipe of a run that older code made: what came later has its default, what is unknown is named."""

import copy
import importlib.metadata
import json
from pathlib import Path

import pytest
from avf_curation.audit.what_if import parse_request
from avf_curation.cli.main import main
from avf_curation.recipe import load_recipe, read_run_recipe
from avf_shards.cli.main import main as shards_main
from avf_shards.errors import UserError
from avf_shards.format.manifest import seal
from avf_shards.format.run_identity import RunIdentity
from support.runs import make_run


def test_a_setting_that_an_older_run_lacks_has_its_default() -> None:
    identity, default = make_identity(), load_recipe()
    del identity.settings["media"]["max_pixels"]
    assert read_run_recipe(identity).defaults.media == default.defaults.media
    assert parse_request(["quality.min_sharpness=40"], identity).thresholds == {"": {"quality.min_sharpness": 40.0}}
    identity.settings["media"]["colour"] = "grey"
    with pytest.raises(UserError, match=r"of the same version, between two releases\), whose settings differ.*colour"):
        read_run_recipe(identity)
    identity.versions["avf-foundry"] = "0.1.0"
    with pytest.raises(UserError, match=r"\(avf-foundry 0\.1\.0: not "):
        read_run_recipe(identity)


def test_commands_read_a_run_that_was_made_before_the_speaker_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, page, shards = make_run(tmp_path), tmp_path / "page.html", tmp_path / "shards"
    values = json.loads((run.root / "run/run.json").read_text())
    values = {name: value for name, value in values.items() if name not in ("self_sha256", "schema_version")}
    for stage in ("speaker", "speech"):
        values["backends"].pop(stage)
    del values["settings"]["speaker"], values["settings"]["gates"]["speaker"]
    (run.root / "run/run.json").write_bytes(seal(values, "curation run"))
    for words in (
        ["audit", str(run.root), "--html", str(page)],
        ["explain", str(run.root), "000.mp4"],
        ["what-if", str(run.root), "--set", "quality.min_sharpness=9"],
        ["what-if", str(run.root), "--set", "speaker.min_share=0.5"],
        ["calibrate", str(run.root), "--source", "made"],
        ["status", str(run.root)],
        ["review", str(run.root), "--out", str(tmp_path / "review")],
    ):
        assert main(words) == 0, f"{words}: {capsys.readouterr().err}"
    assert shards_main(["pack", str(run.root), "--out", str(shards)]) == 0
    assert main(["data-card", str(shards), "--out", str(tmp_path / "card")]) == 0
    capsys.readouterr()
    assert main(["retry", str(run.root), "--engine", "inline", "--weights", str(tmp_path / "none")]) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    assert "speaker" in message


def make_identity() -> RunIdentity:
    return RunIdentity(
        fingerprint="0" * 16,
        settings=copy.deepcopy(load_recipe().values),
        backends={},
        device="cpu",
        weights={},
        versions={"avf-foundry": importlib.metadata.version("avf-foundry")},
        sources=("s",),
    )
