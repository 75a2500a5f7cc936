"""Every reason that a stage can give has its sentence."""

import ast
import importlib
from pathlib import Path

import avf_curation.stages
from avf_curation.pipeline.denials import DENIED
from avf_curation.stages.checks import ALL_STAGES
from avf_curation.stages.reasons import REASONS
from avf_curation.stages.undecided import STAGES_WITH_UNDECIDED, UNDECIDED
from avf_shards.deletion import takedown
from avf_shards.schema.ledger import TAKEDOWN


def reasons_of_a_stage(path: Path) -> set[str]:
    """Return "stage/reason" of each Check that a module makes with a reason in quotes, or with a constant of it."""
    module = importlib.import_module(f"avf_curation.stages.{path.stem}")
    reasons = [
        keyword.value.value if isinstance(keyword.value, ast.Constant) else vars(module).get(ast.unparse(keyword.value))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Check"
        for keyword in node.keywords
        if keyword.arg == "reason"
    ]
    stage = vars(module).get("STAGE")
    return set() if stage is None else {f"{stage}/{reason}" for reason in reasons if reason is not None}


def test_every_reason_of_the_stages_has_its_sentence() -> None:
    folder = Path(str(avf_curation.stages.__file__)).parent
    given = set().union(*(reasons_of_a_stage(path) for path in folder.glob("*.py")))
    given |= {f"{stage}/{UNDECIDED}" for stage in STAGES_WITH_UNDECIDED}
    given |= {f"{TAKEDOWN}/{takedown.REASON}", f"{DENIED.stage}/{DENIED.reason}"}
    assert given == set(REASONS)
    assert {name.partition("/")[0] for name in REASONS} == {*ALL_STAGES, TAKEDOWN}


def test_the_sentences_are_sentences() -> None:
    for name, reason in REASONS.items():
        assert reason.sentence[0].isupper(), name
        assert reason.sentence.endswith("."), name
        assert reason.score, name
