"""Every kind of failure that the code names has its sentence."""

import ast
from pathlib import Path

import avf_curation
from avf_curation.pipeline.failures import FAILURE_SENTENCES


def kinds_in_the_code() -> set[str]:
    """Return the first argument of each MediaError, and `error=` of each FailureCause, where they are literals."""
    kinds = set()
    for path in Path(str(avf_curation.__file__)).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func).rpartition(".")[2]
                values = node.args[:1] if name == "MediaError" else []
                if name == "FailureCause":
                    values = [keyword.value for keyword in node.keywords if keyword.arg == "error"]
                kinds |= {value.value for value in values if isinstance(value, ast.Constant)}
    return kinds


def test_every_kind_of_failure_has_its_sentence() -> None:
    assert kinds_in_the_code() == set(FAILURE_SENTENCES)
    assert all(sentence.endswith(".") for sentence in FAILURE_SENTENCES.values())
