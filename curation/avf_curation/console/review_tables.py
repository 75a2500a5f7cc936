"""The results of a review and the agreement of its reviewers as tables."""

from avf_shards.text import count_noun
from rich.console import Console
from rich.table import Table

from avf_curation.audit.agreement import Agreement
from avf_curation.audit.review import StageReview
from avf_curation.console.tables import FEW, plain_text


def print_review(out: Console, rows: list[StageReview], answers: int, questions: int) -> None:
    """Print precision and recall per source and stage, as far as spans are judged."""
    out.print(
        f"{answers:,} of {count_noun(questions, 'span')} answered; intervals are 95 % (Wilson), recall's are wider"
    )
    table = Table("source", "verdicts of", box=None, header_style="bold", pad_edge=False)
    for heading in ("spans", "judged", "unsure", "precision", "recall"):
        table.add_column(heading, justify="right")
    for row in rows:
        cells = (f"{row.spans:,}", str(row.judged), str(row.unsure))
        shares = [share.as_percent() if row.judged else "not judged" for share in (row.precision, row.recall)]
        table.add_row(plain_text(row.source), row.stage, *cells, *shares)
    out.print(table)


def print_agreement(out: Console, agreement: Agreement) -> None:
    """Print how far every two reviewers agree, and the first spans on which they do not; nothing for one reviewer."""
    if not agreement.pairs:
        return
    out.print()
    table = Table("reviewers", box=None, header_style="bold", pad_edge=False)
    for heading in ("both answered", "same answer", "Cohen's kappa"):
        table.add_column(heading, justify="right")
    for pair in agreement.pairs:
        kappa = "no value" if pair.kappa is None else f"{pair.kappa:.2f}"
        table.add_row(plain_text(f"{pair.first}, {pair.second}"), str(pair.spans), str(pair.agreed), kappa)
    out.print(table)
    if len(agreement.pairs) > 1 and agreement.mean_kappa is not None:
        out.print(f"mean kappa {agreement.mean_kappa:.2f}")
    out.print("kappa: 1 is full agreement, 0 that of chance; it has no value where all answers are the same")
    if agreement.disagreements:
        out.print(f"{count_noun(len(agreement.disagreements), 'span')} with different answers:")
    for entry in agreement.disagreements[:FEW]:
        answers = ", ".join(f"{name} {answer}" for name, answer in entry.answers.items())
        out.print(plain_text(f"  {entry.span} ({entry.stratum}): {answers}"))
    if len(agreement.disagreements) > FEW:
        out.print("  ... and more; --json has all")
