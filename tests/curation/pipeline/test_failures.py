"""Every kind of failure that the code names has its sentence."""

import ast
import pickle
from pathlib import Path

import avf_curation
import pytest
from avf_curation.pipeline.failures import FAILURE_SENTENCES, PassingFaultError, machine_fault
from avf_shards.stores.fsspec_store import RefusedError, StoreError


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


@pytest.mark.parametrize("kind", [StoreError, RefusedError])
def test_a_store_that_is_away_or_refuses_stops_a_run_whoever_meets_it(kind: type[OSError]) -> None:
    met = pickle.loads(pickle.dumps(kind(5, "out of reach after 7 tries", "s3://bucket/run")))  # in a worker of Ray
    fault = machine_fault(met)
    assert not isinstance(fault, PassingFaultError)
    assert str(fault) == "s3://bucket/run: EIO, out of reach after 7 tries"
    assert isinstance(machine_fault(OSError(5, "Input/output error", "/data/a.mp4")), PassingFaultError)
