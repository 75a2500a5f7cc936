"""How often each gate is right, as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from avf_curation.audit.gates import GateFigures


def print_gates(out: Console, figures: Sequence[GateFigures]) -> None:
    """Print the figures of each gate."""
    table = Table("gate", box=None, header_style="bold", pad_edge=False)
    for heading in ("bad, rejected", "good, rejected", "undecided", "not asked", "precision", "recall"):
        table.add_column(heading, justify="right")
    for gate in figures:
        table.add_row(
            gate.gate,
            f"{gate.rejected_bad:,} of {gate.bad:,}",
            f"{gate.rejected_good:,} of {gate.good:,}",
            f"{gate.undecided:,}",
            f"{gate.not_asked:,}",
            gate.precision.as_percent(),
            gate.recall.as_percent(),
        )
    out.print(table)
    out.print("Shares with their 95 % Wilson intervals; undecided counts as passed, not asked in no share.")
