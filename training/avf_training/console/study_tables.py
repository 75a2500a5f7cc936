"""A study's results in the terminal."""

from pathlib import Path

from rich.table import Table

from avf_training.console.terminal import make_console
from avf_training.study.plan import Matrix, Study
from avf_training.study.results import comparisons, result_lines


def print_study(study: Study, matrix: Matrix, page: Path) -> None:
    """Each row by two protocols, the comparisons, and where the page is."""
    console = make_console()
    for dataset in dict.fromkeys(cell.data.name for cell in matrix.cells):
        data = next(cell.data for cell in matrix.cells if cell.data.name == dataset)
        table = Table(box=None, header_style="bold", title=f"{data.title}, percent", title_style="")
        table.add_column("row")
        for metric in data.metrics:
            table.add_column(f"{metric} validation", justify="right")
            table.add_column("test best", justify="right")
        table.add_column("runs", justify="right")
        found = [result_lines(study, matrix, protocol) for protocol in ("validation", "test_best")]
        for by_validation, by_test in zip(*found, strict=True):
            if by_validation.dataset != dataset:
                continue
            cells = []
            for metric in data.metrics:
                for line in (by_validation, by_test):
                    mean, spread = line.mean(metric), line.spread(metric)
                    told = "-" if mean is None else f"{100 * mean:.1f}"
                    cells.append(told if spread is None else f"{told} ± {100 * spread:.1f}")
            table.add_row(by_validation.row, *cells, f"{by_validation.done} of {by_validation.wanted}")
        console.print(table)
    for one in comparisons(study, matrix, "validation"):
        console.print(one.sentence)
    console.print(f"  page  {page}")
