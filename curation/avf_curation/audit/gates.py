"""How often each gate is right: a run's decisions beside a table of what is true of spans of its files.

A span of which something is wrong counts as rejected by a gate where spans that failed the gate's check cover at least
half of it; a span that is in order, where they cover more than 0.4 s of it: a cut out part may begin and end a little
beside the fault. Pauses, which the silence stage cuts out, count for no other gate.
"""

import csv
import io
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from avf_shards.errors import UserError
from avf_shards.schema.estimate import Estimate
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.audit.confidence import wilson_interval
from avf_curation.stages.reasons import REASONS

log = logging.getLogger(__name__)

COLUMNS = ("file", "start_s", "stop_s", "gate", "truth")
LEDGER_COLUMNS = ("source", "video_id", "path", "start_frame", "stop_frame", "checks")
Outcome = Literal["rejected", "passed", "undecided", "not asked"]
_SILENT = "silence/silent"
_NAMED = 3  # files in a message
_BESIDE_FRAMES = 10  # of a span that is in order, which a cut out part beside it may cover


@dataclass(frozen=True, kw_only=True)
class LabelledSpan:
    """What is true of a part of a file for one gate."""

    file: str  # path below the source's folder or id of the video, or SOURCE/ before it
    start_frame: int  # first frame at 25 frames a second
    stop_frame: int  # frame behind the last one
    gate: str  # "stage/reason"
    is_bad: bool  # the gate has to reject it


@dataclass(frozen=True, kw_only=True)
class GateVerdict:
    """What a gate said of a span of which the truth is known."""

    gate: str  # "stage/reason"
    is_bad: bool  # the gate has to reject it
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class GateFigures:
    """How often one gate was right."""

    gate: str  # "stage/reason"
    bad: int  # spans that it has to reject
    good: int  # spans that it must not reject
    rejected_bad: int
    rejected_good: int
    undecided: int  # spans for which the gate had no score
    not_asked: int  # spans that an earlier stage rejected, or that are not in the run: in no figure
    precision: Estimate  # share of its rejections that are right, with its Wilson interval
    recall: Estimate  # share of the bad spans that it rejects; what is undecided counts as passed

    def as_json(self) -> dict[str, Any]:
        """Return the values that --json prints."""
        return asdict(self)


def read_labelled_spans(path: Path, gates: Collection[str] = REASONS.keys()) -> list[LabelledSpan]:
    """Read a CSV with the columns file, start_s, stop_s, gate and truth (`good` or `bad`). Raises UserError.

    gates: those that a row may name, "stage/reason".
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read as a CSV in UTF-8 ({error}); save it as one") from None
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise UserError(
                f"{path}: lacks the columns {', '.join(missing)}; the first line has to name {','.join(COLUMNS)}, with "
                "commas between them"
            )
        spans = [_read_row(row, f"{path}, line {reader.line_num}", gates) for row in reader]
    except csv.Error as error:
        raise UserError(
            f"{path}, line {reader.line_num + 1}: is not readable as CSV ({error}); look for a quotation mark that "
            "stands alone"
        ) from None
    if not spans:
        raise UserError(f"{path}: has no rows; add one for each span of which you know the truth")
    return spans


def _read_row(row: Mapping[str, str | None], where: str, gates: Collection[str]) -> LabelledSpan:
    gate, truth = (row["gate"] or "").strip(), (row["truth"] or "").strip()
    if gate not in gates:
        raise UserError(
            f"{where}: gate {gate!r} is none; write STAGE/REASON, such as quality/watermark or scenes/dissolve"
        )
    if truth not in ("good", "bad"):
        raise UserError(f"{where}: truth {truth!r} must be good or bad")
    frames = []
    for name in ("start_s", "stop_s"):
        try:
            frames.append(round(float(row[name] or "") * FRAMES_PER_SECOND))
        except (ValueError, OverflowError):
            raise UserError(f"{where}: {name} {row[name]!r} must be a number of seconds") from None
    if not 0 <= frames[0] < frames[1]:
        raise UserError(f"{where}: start_s {row['start_s']} must not be negative, and before stop_s {row['stop_s']}")
    return LabelledSpan(
        file=(row["file"] or "").strip(), start_frame=frames[0], stop_frame=frames[1], gate=gate, is_bad=truth == "bad"
    )


def judge_gates(table: pa.Table, spans: Sequence[LabelledSpan]) -> list[GateVerdict]:
    """Return what a run's gates said of each labelled span; a span ends where its file does.

    Files that the run has not are named in a warning.

    Args:
        table: of the ledger, with LEDGER_COLUMNS.

    Raises:
        UserError: the run has none of the files, several sources have one, or a span begins behind the end of its file.
    """
    rows = _rows_by_name(table, {span.file for span in spans})
    missing = sorted({span.file for span in spans} - rows.keys())
    if not rows:
        raise UserError(
            f"{missing[0]}: the run has no such file, nor any other of the table; name files as `explain` does"
        )
    if missing:
        log.warning(
            "%s in the table and not in the run, and counted nowhere: %s; name files as `explain` does",
            "1 file is" if len(missing) == 1 else f"{len(missing):,} files are",
            _name_some(missing),
        )
    return [
        GateVerdict(gate=span.gate, is_bad=span.is_bad, outcome=_judge(rows[span.file], span))
        if span.file in rows
        else GateVerdict(gate=span.gate, is_bad=span.is_bad, outcome="not asked")
        for span in spans
    ]


def _rows_by_name(table: pa.Table, names: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of the ledger by the name that the spans have for their file: an id, a path, or SOURCE/ and one.

    Raises UserError for a name of files in several sources.
    """
    of_table = pa.array(sorted(names))
    columns = [table["video_id"], table["path"]]
    columns += [pc.binary_join_element_wise(table["source"], column, "/") for column in columns]
    is_named = reduce(pc.or_, (pc.is_in(column, of_table) for column in columns))
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.filter(is_named).select(list(LEDGER_COLUMNS)).to_pylist():
        ids = {row["video_id"], row["path"]}
        for name in names & (ids | {f"{row['source']}/{each}" for each in ids}):
            rows.setdefault(name, []).append(row)
    for name, each in rows.items():
        files = sorted({f"{row['source']}/{row['video_id']}" for row in each})
        if len(files) > 1:
            raise UserError(f"{name!r} is in several sources; write one of {_name_some(files)}")
    return rows


def _name_some(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many more there are."""
    others = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + others


def _judge(rows: Sequence[Mapping[str, Any]], span: LabelledSpan) -> Outcome:
    """Return what the rows of a ledger say of a labelled span of their file.

    Raises UserError for a span that begins behind the end of the file.
    """
    end_frame = max(row["stop_frame"] for row in rows)
    if end_frame and span.start_frame >= end_frame:
        raise UserError(
            f"{span.file}: a span begins at {span.start_frame / FRAMES_PER_SECOND:g} s, and the file has "
            f"{end_frame / FRAMES_PER_SECOND:g} s"
        )
    stop_frame = min(span.stop_frame, end_frame)
    failed = asked = measured = 0
    for row in rows:
        frames = min(row["stop_frame"], stop_frame) - max(row["start_frame"], span.start_frame)
        checks = {f"{check['stage']}/{check['reason']}": check for check in row["checks"]}
        if frames <= 0 or span.gate not in checks:
            continue
        asked += frames
        # A pause has no speech in it, which is no fault of the gate that asks for speech.
        is_pause = _SILENT in checks and not _holds(checks[_SILENT])
        if checks[span.gate]["score"] is None or (is_pause and span.gate != _SILENT):
            continue
        measured += frames
        failed += 0 if _holds(checks[span.gate]) else frames
    if not asked:
        return "not asked"
    if failed * 2 >= stop_frame - span.start_frame if span.is_bad else failed > _BESIDE_FRAMES:
        return "rejected"
    return "passed" if measured else "undecided"


def _holds(check: Mapping[str, Any]) -> bool:
    """Return whether a check passed; one without a score did not reject."""
    if check["score"] is None:
        return True
    return bool(
        check["score"] <= check["threshold"] if check["operator"] == "<=" else check["score"] >= check["threshold"]
    )


def summarize_gates(verdicts: Iterable[GateVerdict]) -> list[GateFigures]:
    """Return the figures of each gate, in the order of the stages."""
    by_gate: dict[str, list[GateVerdict]] = {}
    for verdict in verdicts:
        by_gate.setdefault(verdict.gate, []).append(verdict)
    figures = []
    order = {gate: position for position, gate in enumerate(REASONS)}
    for gate in sorted(by_gate, key=lambda gate: (order.get(gate, len(order)), gate)):
        asked = [verdict for verdict in by_gate[gate] if verdict.outcome != "not asked"]
        bad = sum(verdict.is_bad for verdict in asked)
        rejected = [verdict.is_bad for verdict in asked if verdict.outcome == "rejected"]
        figures.append(
            GateFigures(
                gate=gate,
                bad=bad,
                good=len(asked) - bad,
                rejected_bad=sum(rejected),
                rejected_good=len(rejected) - sum(rejected),
                undecided=sum(verdict.outcome == "undecided" for verdict in asked),
                not_asked=len(by_gate[gate]) - len(asked),
                precision=wilson_interval(sum(rejected), len(rejected)),
                recall=wilson_interval(sum(rejected), bad),
            )
        )
    return figures
