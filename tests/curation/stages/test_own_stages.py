"""Our own stages have the definition that a package's stage has, and recipes and ledgers agree with it."""

import dataclasses
from typing import get_args, get_type_hints

from avf_curation.recipe import SourceSettings
from avf_curation.stages.gates import GatesConfig
from avf_curation.stages.own_stages import OWN_STAGES
from avf_curation.stages.reasons import REASONS
from avf_shards.schema.ledger import TAKEDOWN

from reference.verdicts import default_checks


def test_settings_and_gates_of_recipes_are_those_of_the_definitions() -> None:
    settings, gates = get_type_hints(SourceSettings), get_type_hints(GatesConfig)
    for stage in OWN_STAGES:
        assert stage.config in (settings[stage.name], *get_args(settings[stage.name])), stage.name
        if stage.name in gates:
            assert get_args(gates[stage.name]) == stage.gates, stage.name
        names = {item.name for item in dataclasses.fields(stage.config)}
        assert set(stage.thresholds) <= names, stage.name


def test_every_check_of_a_stage_has_a_reason_and_a_threshold_of_its_definition() -> None:
    stages = {stage.name: stage for stage in OWN_STAGES}
    for check in default_checks():
        assert check.reason in stages[check.stage].reasons
        table, _, setting = (check.setting or "").partition(".")
        # Where spans begin and end is decided by scenes and silence: their limits need a new run.
        if table == check.stage and table not in ("scenes", "silence"):
            assert setting in stages[check.stage].thresholds, check
    own = {f"{stage.name}/{reason}" for stage in OWN_STAGES for reason in stage.reasons}
    assert own == {name for name in REASONS if not name.startswith(f"{TAKEDOWN}/")}
