"""A study's results in the terminal."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from avf_training.config.finetune import PROTOCOLS, SelectionProtocol
from avf_training.console.column_notes import PROTOCOL_NOTE, explain_metrics
from avf_training.console.terminal import make_console
from avf_training.study.plan import Matrix, Study
from avf_training.study.results import ResultLine, RowComparison, result_lines


def print_study(study: Study, matrix: Matrix, compared: Sequence[RowComparison], page: Path) -> None:
    """Print each row by the protocols that select a model, the comparisons, and the path of the page."""
    console = make_console()
    results = {protocol: result_lines(study, matrix, protocol) for protocol in PROTOCOLS}
    tables = {protocol: results[protocol] for protocol in _shown_protocols(results)}
    lines = list(tables.values())
    for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
        data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
        table = Table(box=None, header_style="bold", title=f"{data.title}, percent", title_style="")
        table.add_column("row")
        for metric in data.metrics:
            for number, protocol in enumerate(tables):
                name = protocol.replace("_", " ")
                table.add_column(name if number else f"{metric} {name}", justify="right")
        table.add_column("runs", justify="right")
        for by_protocol in zip(*lines, strict=True):
            first = by_protocol[0]
            if first.dataset == dataset:
                cells = [_percent(line, metric) for metric in data.metrics for line in by_protocol]
                table.add_row(first.row, *cells, f"{first.done} of {first.planned}")
        console.print(table)
        console.print(explain_metrics(data.metrics))
    console.print(PROTOCOL_NOTE)
    console.print("mean ± standard deviation over the seeds that are done; runs: done of planned")
    for comparison in compared:
        console.print(comparison.sentence)
    console.print(f"  page  {page}")


def _shown_protocols(results: Mapping[SelectionProtocol, Sequence[ResultLine]]) -> tuple[SelectionProtocol, ...]:
    """Return the protocols that select by a score; where no run has validation clips, the model after the last step."""
    done = {protocol for protocol, lines in results.items() if any(line.done for line in lines)}
    return ("last",) if done == {"last"} else ("validation", "test_best")


def _percent(line: ResultLine, metric: str) -> str:
    mean, deviation = line.mean(metric), line.deviation(metric)
    text = "-" if mean is None else f"{100 * mean:.1f}"
    return text if deviation is None else f"{text} ± {100 * deviation:.1f}"
