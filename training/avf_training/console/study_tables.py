"""A study's results in the terminal."""

from pathlib import Path

from rich.table import Table

from avf_training.console.column_notes import PROTOCOL_NOTE, explain_metrics
from avf_training.console.terminal import make_console
from avf_training.finetuning.model_selection import SelectionProtocol
from avf_training.study.plan import Matrix, Study
from avf_training.study.results import ResultLine, comparisons, result_lines


def print_study(study: Study, matrix: Matrix, page: Path) -> None:
    """Print each row by the protocols that select a model, the comparisons, and the path of the page."""
    console = make_console()
    tables = {protocol: result_lines(study, matrix, protocol) for protocol in _shown_protocols(study, matrix)}
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
    for comparison in comparisons(study, matrix, "validation"):
        console.print(comparison.sentence)
    console.print(f"  page  {page}")


def _shown_protocols(study: Study, matrix: Matrix) -> tuple[SelectionProtocol, ...]:
    """Return the protocols that select by a score; where no run has validation clips, the model after the last step."""
    if any(line.done for line in result_lines(study, matrix, "validation")):
        return "validation", "test_best"
    last = any(line.done for line in result_lines(study, matrix, "last"))
    return ("last",) if last else ("validation", "test_best")


def _percent(line: ResultLine, metric: str) -> str:
    mean, deviation = line.mean(metric), line.deviation(metric)
    text = "-" if mean is None else f"{100 * mean:.1f}"
    return text if deviation is None else f"{text} ± {100 * deviation:.1f}"
