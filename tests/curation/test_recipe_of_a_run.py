"""The recipe of a run that older code made: what came later has its default, what is unknown is named."""

import copy
import importlib.metadata

import pytest
from avf_curation.audit.what_if import parse_request
from avf_curation.recipe import load_recipe, read_run_recipe
from avf_shards.errors import UserError
from avf_shards.format.run_identity import RunIdentity


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
