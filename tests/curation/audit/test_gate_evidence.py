"""The figures of gates that come with the package are of gates that exist, and shown for the backend that gave them."""

from dataclasses import replace
from pathlib import Path

import pytest
from avf_curation.audit.gate_evidence import EVIDENCE_FILE, GateEvidence, format_gate_evidence, read_gate_evidence
from avf_curation.stages.reasons import REASONS
from avf_shards.errors import FaultError
from avf_shards.schema.versions import read_json

OFFSET = GateEvidence(
    gate="sync/offset", backend="envelope", bad=10, rejected_bad=4, good=8, rejected_good=1, undecided=5
)
TICKER = GateEvidence(gate="quality/ticker", backend="", bad=4, rejected_bad=4, good=8, rejected_good=0, undecided=0)


def write_evidence(folder: Path, *evidence: GateEvidence) -> Path:
    path = folder / "evidence.json"
    path.write_text(format_gate_evidence(evidence), "utf-8")
    return path


def test_figures_are_shown_for_the_backend_that_gave_them(tmp_path: Path) -> None:
    path = write_evidence(tmp_path, OFFSET, TICKER)
    assert read_gate_evidence({"sync": "envelope"}, path) == {"sync/offset": OFFSET, "quality/ticker": TICKER}
    assert read_gate_evidence({"sync": "syncnet"}, path) == {"quality/ticker": TICKER}


def test_the_figures_of_the_network_of_the_package_are_not_those_of_one_that_a_user_learnt(tmp_path: Path) -> None:
    path = write_evidence(tmp_path, replace(OFFSET, backend="learned"), TICKER)
    assert read_gate_evidence({"sync": "learned"}, path).keys() == {"sync/offset", "quality/ticker"}
    assert read_gate_evidence({"sync": "learned"}, path, own_sync_head=True) == {"quality/ticker": TICKER}


def test_a_sentence_has_counts_share_and_interval() -> None:
    assert OFFSET.sentence() == (
        "Measured by envelope on films with this failure: 4 of 10 rejected, 40% (17% to 69%). On films without any: "
        "1 of 8 rejected; 5 could not be measured."
    )


def test_a_damaged_row_is_named(tmp_path: Path) -> None:
    path = write_evidence(tmp_path, TICKER)
    path.write_text(path.read_text("utf-8").replace('"bad": 4', '"bad": "four"'), "utf-8")
    with pytest.raises(FaultError, match="gate 0"):
        read_gate_evidence({}, path)


def test_the_figures_of_the_package_are_of_gates_that_exist() -> None:
    rows = read_json(EVIDENCE_FILE, "gate evidence")["gates"]
    assert {row["gate"] for row in rows} <= REASONS.keys()
    for row in rows:
        assert 0 <= row["rejected_bad"] <= row["bad"]
        assert 0 <= row["rejected_good"] <= row["good"]
