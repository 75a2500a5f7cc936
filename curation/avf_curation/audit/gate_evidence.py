"""How often each gate is right on films whose truth is known, for the audit page: figures that come with the package.

`python -m benchmarks.gates` measures them with the default recipe, and writes docs/verdicts.md and this module's file.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from avf_shards.schema.estimate import Estimate
from avf_shards.schema.fields import Fields
from avf_shards.schema.versions import FileKind, read_json, stamp

from avf_curation.audit.confidence import wilson_interval

EVIDENCE_FILE = Path(__file__).with_name("gate_evidence.json")
_KIND: FileKind = "gate evidence"
_OF_SYNC_HEAD = "sync/offset"  # the gate that the learned sync network decides
_BACKEND_OF = {"silence/no_speech": "speech"}  # else the stage's own


@dataclass(frozen=True, kw_only=True)
class GateEvidence:
    """What one gate said of films whose truth is known, made of people on whom no threshold was set."""

    gate: str  # "stage/reason"
    backend: str  # of the stage; empty for a stage that has no backends
    bad: int  # spans that the gate has to reject
    rejected_bad: int
    good: int  # spans that it must not reject
    rejected_good: int
    undecided: int  # of all these, without a score

    @property
    def recall(self) -> Estimate:
        """Share of the spans that the gate has to reject which it rejected, with its interval."""
        return wilson_interval(self.rejected_bad, self.bad)

    def sentence(self) -> str:
        """Return the figures as a sentence for people."""
        share = self.recall
        by = f" by {self.backend}" if self.backend else ""
        recall = f", {share.value:.0%} ({share.low:.0%} to {share.high:.0%})" if self.bad else ""
        undecided = f"; {self.undecided} could not be measured" if self.undecided else ""
        return (
            f"Measured{by} on films with this failure: {self.rejected_bad} of {self.bad} rejected{recall}. "
            f"On films without any: {self.rejected_good} of {self.good} rejected{undecided}."
        )


def backend_of(gate: str, backends: Mapping[str, str]) -> str:
    """Return which of a run's backends (stage -> name) answers for a gate; empty where its stage has none."""
    return backends.get(_BACKEND_OF.get(gate, gate.partition("/")[0]), "")


def read_gate_evidence(
    backends: Mapping[str, str], path: Path = EVIDENCE_FILE, *, own_sync_head: bool = False
) -> dict[str, GateEvidence]:
    """Return gate -> evidence for the gates that were measured with the backends (stage -> name) of a run.

    Args:
        backends: stage -> name, of the run.
        path: of the file.
        own_sync_head: the run measured offsets with a network of `learn-sync`, of which the file has no figures.

    Raises:
        FaultError: the file is damaged.
    """
    fields = Fields(read_json(path, _KIND), str(path))
    evidence = {}
    for number, row in enumerate(fields.values.get("gates", ())):
        values = Fields.from_value(row, f"{path}: gate {number}")
        counts = {name: values.integer(name) for name in ("bad", "rejected_bad", "good", "rejected_good", "undecided")}
        each = GateEvidence(gate=values.text("gate"), backend=values.text("backend"), **counts)
        is_by_own = own_sync_head and each.gate == _OF_SYNC_HEAD
        if each.backend == backend_of(each.gate, backends) and not is_by_own:
            evidence[each.gate] = each
    return evidence


def format_gate_evidence(evidence: Sequence[GateEvidence]) -> str:
    """Return the text of the file that `read_gate_evidence` reads, a line for each gate."""
    rows = ",\n".join(f"    {json.dumps(asdict(each))}" for each in evidence)
    head = json.dumps(stamp({}, _KIND))[1:-1]
    return f'{{\n  {head},\n  "gates": [\n{rows}\n  ]\n}}\n'
