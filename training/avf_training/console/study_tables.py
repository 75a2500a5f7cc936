"""A study's results in the terminal."""

from pathlib import Path

from rich.table import Table

from avf_training.console.column_notes import PROTOCOL_NOTE, explain_metrics
from avf_training.console.terminal import make_console
from avf_training.finetuning.model_selection import SelectionProtocol
from avf_training.study.plan import Matrix, Study
from avf_training.study.results import ResultLine, comparisons, result_lines


def print_study(study: Study, matrix: Matrix, page: Path) -> None:
    """Print each row by two protocols, the comparisons, and the path of the page."""
    console = make_console()
    protocols: tuple[SelectionProtocol, ...] = ("validation", "test_best")
    lines = [result_lines(study, matrix, protocol) for protocol in protocols]
    for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
        data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
        table = Table(box=None, header_style="bold", title=f"{data.title}, percent", title_style="")
        table.add_column("row")
        for metric in data.metrics:
            table.add_column(f"{metric} validation", justify="right")
            table.add_column("test best", justify="right")
        table.add_column("runs", justify="right")
        for pair in zip(*lines, strict=True):
            if pair[0].dataset == dataset:
                cells = [_percent(line, metric) for metric in data.metrics for line in pair]
                table.add_row(pair[0].row, *cells, f"{pair[0].done} of {pair[0].planned}")
        console.print(table)
        console.print(explain_metrics(data.metrics))
    console.print(PROTOCOL_NOTE)
    console.print("mean ± standard deviation over the seeds that are done; runs: done of planned")
    for comparison in comparisons(study, matrix, "validation"):
        console.print(comparison.sentence)
    console.print(f"  page  {page}")


def _percent(line: ResultLine, metric: str) -> str:
    mean, deviation = line.mean(metric), line.deviation(metric)
    text = "-" if mean is None else f"{100 * mean:.1f}"
    return text if deviation is None else f"{text} ± {100 * deviation:.1f}"
