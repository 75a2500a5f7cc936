"""Plans of ensembles in tests: written, built, and run by the command."""

from pathlib import Path
from typing import Any

import yaml
from avf_training.cli.main import main
from avf_training.framewise.combination.plan import EnsembleMember, EnsemblePlan
from avf_training.framewise.combination.record import EnsembleRecord, read_record

VIDEOS = ["1", "10", "110", "video1", "7_left", "7_right"]


def write_plan(path: Path, task: str, members: list[Any], **fields: Any) -> Path:
    """Write a plan; a member is a name or a table."""
    plan = {"schema": "avf-foundry frame ensemble plan", "schema_version": 1, "task": task, "name": "together"}
    listed = [{"name": member} if isinstance(member, str) else member for member in members]
    path.write_text(yaml.safe_dump({**plan, "members": listed, **fields}, sort_keys=False))
    return path


def make_plan(task: str, members: list[Any], **fields: Any) -> EnsemblePlan:
    """Return a plan; a member is a name or a table."""
    listed = tuple(EnsembleMember(**({"name": each} if isinstance(each, str) else each)) for each in members)
    values: dict[str, Any] = {"schema": "avf-foundry frame ensemble plan", "schema_version": 1, "name": "together"}
    return EnsemblePlan(**values, task=task, members=listed, **fields)


def run_plan(folder: Path, plan: Path, *options: str) -> EnsembleRecord:
    """Run a plan over FOLDER/P and FOLDER/L into FOLDER/P."""
    words = ["ensemble-frames", str(plan), "--predictions", str(folder / "P"), "--out", str(folder / "P"), *options]
    assert main([*words, "--labels", str(folder / "L")]) == 0
    record = read_record(folder / "P/together")
    assert record is not None
    return record
