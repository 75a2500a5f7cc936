"""Films with known failures through the whole chain: what is kept, which gate rejects it, and how often each is right."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avf_curation.audit.confidence import wilson_interval
from avf_curation.audit.gate_evidence import GateEvidence, backend_of
from avf_curation.audit.gates import LEDGER_COLUMNS, GateFigures, judge_gates, summarize_gates
from avf_curation.demo.corpus import RECIPE, SOURCES, Expected, demo_videos, write_corpus
from avf_curation.detectors.detector_set import BackendSelection, resolve_backends
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.format.run_folder import RunFolder

from benchmarks.gates.films import DISSOLVE, GOOD, FilmTruth
from benchmarks.table import Section

HALVES = ("sets the limits", "tells them")
_SOURCE = "films"
_DECISION_COLUMNS = ("path", "start_frame", "stop_frame", "status", "stage", "reason", "error")
_SCORE_ALL = ("gates.score_all=1",)  # each gate is asked, also behind one that has rejected


@dataclass(frozen=True, kw_only=True)
class ChainRun:
    """The films through the chain with one choice of backends."""

    backends: BackendSelection
    run: RunFolder
    truths: Mapping[str, FilmTruth]  # by file name

    @property
    def name(self) -> str:
        """The backends of the stages that can have several."""
        return ", ".join(f"{stage} {backend}" for stage, backend in self.backends.names().items())


def run_chain(films: Path, truths: Mapping[str, FilmTruth], weights: Path, out: Path, workers: int) -> ChainRun:
    """Curate the films with the backends whose weights are in a folder, and with the default recipe."""
    recipe = load_recipe(overrides=_SCORE_ALL)
    backends = resolve_backends(recipe, weights)
    options = RunOptions(cluster=ClusterConfig(workers=workers))
    return ChainRun(backends=backends, run=curate(recipe, backends, {_SOURCE: films}, out, options), truths=truths)


def kept_section(runs: Sequence[ChainRun]) -> Section:
    """Return what of each kind of film becomes a clip."""
    rows = [["film", "backends", *(f"kept, of the people whose half {half}" for half in HALVES), "rejected first by"]]
    for kind in dict.fromkeys(truth.kind for truth in runs[0].truths.values()):
        for number, run in enumerate(runs):
            rows.append([kind, str(number + 1), *_kept_cells(run, kind)])
    names = "; ".join(f"{number + 1}: {run.name}" for number, run in enumerate(runs))
    note = (
        f"Films of the real recordings, curated with the default recipe. Of a film in which all is wrong, a film is kept if a clip of it "
        f"is; of `{DISSOLVE}`, if one clip shows both people; of `{GOOD}`, the share of the seconds that become clips is told as well. "
        f"Backends {names}."
    )
    return Section("What becomes a clip", note, rows)


def _kept_cells(run: ChainRun, kind: str) -> list[str]:
    cells, reasons = [], Counter[str]()
    decisions = _decisions(run.run)
    for half in range(len(HALVES)):
        files = [name for name, truth in run.truths.items() if (truth.kind, truth.half) == (kind, half)]
        kept = [name for name in files if _is_kept(decisions.get(name, ()), run.truths[name])]
        cell = f"{len(kept)} of {len(files)}"
        if kind == GOOD and files:
            frames = sum(_kept_frames(decisions.get(name, ())) for name in files)
            cell += f", {frames / sum(run.truths[name].frames for name in files):.0%} of the time"
        elif files:
            share = wilson_interval(len(kept), len(files))
            cell += f" ({share.low:.0%} to {share.high:.0%})"
        cells.append(cell)
        reasons.update(
            f"{row['stage']}/{row['reason'] or row['error']}"
            for name in files
            for row in decisions.get(name, ())
            if row["status"] != "kept" and row["stop_frame"] - row["start_frame"] > 12
        )
    return [*cells, ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(3))]


def _decisions(run: RunFolder) -> dict[str, list[dict[str, Any]]]:
    """Return the decisions of each file, by its path."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in run.ledger(columns=_DECISION_COLUMNS).to_pylist():
        rows.setdefault(row["path"], []).append(row)
    return rows


def _is_kept(rows: Sequence[Mapping[str, Any]], truth: FilmTruth) -> bool:
    clips = [(row["start_frame"], row["stop_frame"]) for row in rows if row["status"] == "kept"]
    if truth.kind == DISSOLVE and truth.bad is not None:
        return any(start < truth.bad[0] and stop > truth.bad[1] for start, stop in clips)
    return bool(clips)


def _kept_frames(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["stop_frame"] - row["start_frame"] for row in rows if row["status"] == "kept")


def gate_section(runs: Sequence[ChainRun]) -> Section:
    """Return precision and recall of each gate over the films, on the half of the people that tells them."""
    rows = [["gate", "backends", "half", "bad, rejected", "good, rejected", "undecided", "precision", "recall"]]
    for number, run in enumerate(runs):
        for half, name in enumerate(HALVES):
            for gate in _figures(run, half):
                rejected = f"{gate.rejected_bad} of {gate.bad}", f"{gate.rejected_good} of {gate.good}"
                shares = gate.precision.as_percent(), gate.recall.as_percent()
                rows.append([gate.gate, str(number + 1), name, *rejected, str(gate.undecided), *shares])
    rows[1:] = sorted(rows[1:], key=lambda row: (row[0], row[1], row[2]))
    note = (
        "The same films; a gate is asked for the failure that is its own, and for the films in which nothing is wrong. 95 % Wilson "
        "intervals; undecided counts as passed."
    )
    return Section("Each gate, through the whole chain", note, rows)


def gate_evidence(runs: Sequence[ChainRun]) -> list[GateEvidence]:
    """Return what the half of the people that tells the limits says of each gate, for the audit page.

    A gate whose backend is the same in several runs counts in the last of them, which has the most weights.
    """
    evidence = {}
    for run in runs:
        for gate in _figures(run, HALVES.index("tells them")):
            backend = backend_of(gate.gate, run.backends.names())
            evidence[gate.gate, backend] = GateEvidence(
                gate=gate.gate,
                backend=backend,
                bad=gate.bad,
                rejected_bad=gate.rejected_bad,
                good=gate.good,
                rejected_good=gate.rejected_good,
                undecided=gate.undecided,
            )
    return list(evidence.values())


def _figures(run: ChainRun, half: int) -> list[GateFigures]:
    spans = [span for file, truth in run.truths.items() if truth.half == half for span in truth.spans(file)]
    return summarize_gates(judge_gates(run.run.ledger(columns=LEDGER_COLUMNS), spans)) if spans else []


def demo_section(folder: Path, workers: int) -> Section:
    """Return how many spans of the demo corpus have the verdict that was drawn into them."""
    write_corpus(folder / "corpus", workers)
    recipe_file = folder / "demo.yaml"
    recipe_file.write_text(RECIPE, "utf-8")
    recipe = load_recipe(recipe_file)
    sources = {name: folder / "corpus" / name for name in SOURCES}
    options = RunOptions(cluster=ClusterConfig(workers=workers))
    run = curate(recipe, resolve_backends(recipe, folder / "no-weights"), sources, folder / "run", options)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in run.ledger(columns=("source", *_DECISION_COLUMNS)).to_pylist():
        rows.setdefault(f"{row['source']}/{row['path']}", []).append(row)
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for video in demo_videos():
        for expected in video.expected:
            asked[expected.verdict] += 1
            right[expected.verdict] += any(_agrees(row, expected) for row in rows.get(video.path, ()))
    table = [["verdict that was drawn", "spans", "decided so"]]
    table += [[verdict, str(count), str(right[verdict])] for verdict, count in sorted(asked.items())]
    note = "The drawn people of `avf-curate demo`, by the embedded backends and the demo's recipe."
    return Section("The demo corpus", note, table)


def _agrees(row: Mapping[str, Any], expected: Expected) -> bool:
    """Return whether a decision covers most of an expected span and says the same of it.

    A file that is no video has an empty span: it is covered by an empty decision.
    """
    frames = min(row["stop_frame"], expected.stop) - max(row["start_frame"], expected.start)
    says = "kept" if row["status"] == "kept" else f"{row['status']} {row['stage']}/{row['reason'] or row['error']}"
    covers = frames * 2 > expected.stop - expected.start or expected.start == row["start_frame"] == row["stop_frame"]
    return covers and says == expected.verdict
