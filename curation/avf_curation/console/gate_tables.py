"""How often each gate is right, as a table, or in a narrow terminal as three lines for each gate."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from avf_curation.audit.gates import GateFigures

_TABLE_COLUMNS = 120  # that a table of the longest names and shares takes


def print_gates(out: Console, figures: Sequence[GateFigures]) -> None:
    """Print the figures of each gate."""
    if out.width < _TABLE_COLUMNS:
        for gate in figures:
            _print_lines(out, gate)
    else:
        out.print(_make_table(figures))
    out.print("Shares with their 95 % Wilson intervals;\nundecided counts as passed, not asked in no share.")


def _print_lines(out: Console, gate: GateFigures) -> None:
    out.print(gate.gate)
    out.print(
        f"  bad, rejected {_count(gate.rejected_bad, gate.bad)}; "
        f"good, rejected {_count(gate.rejected_good, gate.good)}; undecided {gate.undecided:,}"
    )
    out.print(
        f"  precision {gate.precision.as_percent()}; recall {gate.recall.as_percent()}; not asked {gate.not_asked:,}"
    )


def _make_table(figures: Sequence[GateFigures]) -> Table:
    table = Table("gate", box=None, header_style="bold", pad_edge=False)
    for heading in ("bad, rejected", "good, rejected", "undecided", "not asked", "precision", "recall"):
        table.add_column(heading, justify="right")
    for gate in figures:
        table.add_row(
            gate.gate,
            _count(gate.rejected_bad, gate.bad),
            _count(gate.rejected_good, gate.good),
            f"{gate.undecided:,}",
            f"{gate.not_asked:,}",
            gate.precision.as_percent(),
            gate.recall.as_percent(),
        )
    return table


def _count(rejected: int, spans: int) -> str:
    return f"{rejected:,} of {spans:,}"
