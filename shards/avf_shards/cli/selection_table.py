"""The table of a selection: the quota of each source, and its available and selected clips."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.format.content import Content
from avf_shards.packing.selection import SelectionResult

_LEGENDS: dict[Content, str] = {
    "clips": """\
kept: clips of the run; of these are left out: denied (taken down), duplicate (the same span of the same bytes), near
(the sound of a selected clip), stricter (below a stricter threshold of the selection).
available = kept - these; short = quota - selected""",
    "pictures": """\
kept: pictures of the run; of these are left out: denied (taken down), duplicate (the same bytes), near (none, because
pictures are not compared by sound), stricter (below a stricter threshold of the selection).
available = kept - these; short = quota - selected""",
}


def describe_selection(
    choice: SelectionResult, out: Path | None, content: Content = "clips"
) -> tuple[dict[str, Any], str]:
    """Return the counts of each source for JSON, and the same counts as a table for people."""
    rows = {
        source: asdict(account) | {"available": account.available, "short": account.short}
        for source, account in choice.sources.items()
    }
    columns = {
        "kept": "kept",
        "denied": "denied",
        "duplicate": "duplicates",
        "near": "near_duplicates",
        "stricter": "below_threshold",
    }
    columns |= {name: name for name in ("available", "selected", "short")}
    lines = [f"{'source':<20}{'quota':>10}" + "".join(f"{name:>10}" for name in columns)]
    for source, row in rows.items():
        quota = "all" if row["quota"] is None else str(row["quota"])
        lines.append(f"{source:<20}{quota:>10}" + "".join(f"{row[name]:>10}" for name in columns.values()))
    return {"shards": None if out is None else str(out), "sources": rows}, "\n".join(
        [*lines, _LEGENDS[content], _describe_result(choice, out, content)]
    )


def _describe_result(choice: SelectionResult, out: Path | None, content: Content) -> str:
    if not any(choice.clips.values()):
        packed = "" if out is None else f", and {out} holds no shard"
        return (
            f"no {content.removesuffix('s')} is selected{packed}; `avf-curate audit RUN` says what was rejected and why"
        )
    return "nothing was written" if out is None else f"packed into {out}"
