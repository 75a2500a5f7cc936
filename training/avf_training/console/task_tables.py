"""Tables of the labelled side: data sets, counts, scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from avf_training.console.terminal import make_console
from avf_training.inference.predictions import ClipPrediction
from avf_training.tasks.catalog import DATASETS, Dataset
from avf_training.tasks.label_alignment import ALIGNED, HYBRID_LABELS, MICRO_DATASETS, MICRO_LABELS


def print_datasets(rows: Sequence[Dataset]) -> None:
    """One line a data set, then what there is to say of it."""
    out = make_console()
    out.print(f"{'data set':<20}{'source':<13}{'labels':<10}{'clips':>7}  {'folds':<25}metrics")
    for one in rows:
        labels = f"{len(one.labels)}" if one.labels else f"{len(one.dimensions)} values"
        folds = f"{one.folds or 'all'}, {one.split.replace('_', ' ')}".removeprefix("all, ")
        metrics = ", ".join(metric.replace("_", " ") for metric in one.metrics)
        out.print(f"{one.title:<20}{one.source:<13}{labels:<10}{one.clips:>7,}  {folds:<25}{metrics}")
    for one in rows:
        if one.note:
            out.print(f"{one.title}: {one.note}")


def print_counts(found: Sequence[Mapping[str, Any]]) -> None:
    """What shards hold of labelled data sets, beside what is published."""
    table = Table(box=None, header_style="bold")
    for name in ("data set", "clips", "published", "per label", "left out", "no sound"):
        table.add_column(name, justify="right" if name in ("clips", "published", "no sound") else "left")
    for one in found:
        labels = ", ".join(f"{label} {count}" for label, count in one["per_label"].items() if count)
        left = ", ".join(f"{label} {count}" for label, count in one["excluded"].items())
        counts = f"{one['clips']:,}", f"{one['published']:,}" if one["published"] else "-"
        table.add_row(one["name"], *counts, labels, left, f"{one['without_sound']:,}")
    console = make_console()
    console.print(table)
    for one in found:
        for difference in one["differences"]:
            console.print(f"differs: {difference}")


def print_alignment() -> None:
    """The labelled hybrid: its labels, and which label of each data set each is."""
    table = Table(box=None, header_style="bold", title="labelled hybrid of categorical emotions", title_style="")
    table.add_column("hybrid")
    for name in ALIGNED:
        table.add_column(name)
    for label in HYBRID_LABELS:
        table.add_row(label, *("+".join(own for own, to in each.items() if to == label) for each in ALIGNED.values()))
    console = make_console(130)  # cut, it would say nothing
    console.print(table)
    outside = [one.name for one in DATASETS if one.task != "micro_expression" and one.name not in ALIGNED]
    console.print(f"in no hybrid: {', '.join(outside)}; a label that is in no row is left out, never guessed")
    console.print(
        f"micro-expressions ({', '.join(MICRO_DATASETS)}): {', '.join(MICRO_LABELS)}, by the rule of MEGC 2019"
    )


def print_result(result: Mapping[str, Any], run: Path) -> None:
    """Scores of a finished stage by protocol, with bootstrap intervals."""
    table = Table(box=None, header_style="bold", title=f"{result['task']}: {result['test']} test clips", title_style="")
    for name in ("epoch selected by", "epoch's step", "metric", "score", "95 % of resamples"):
        table.add_column(name, justify="right" if name in ("epoch's step", "score") else "left")
    metric = result["selection_metric"]
    how = {"validation": f"{metric} on {result['validation']} validation clips", "last": "last step"}
    how["test_best"] = f"{metric} on the test clips (as published)"
    for protocol, entry in result["protocols"].items():
        first, step = how[protocol], "" if entry["step"] is None else str(entry["step"] + 1)
        if not entry.get("scores"):  # a stage on the way: nothing is tested
            table.add_row(
                first, step, "", "" if entry["selection_score"] is None else f"{entry['selection_score']:.4f}", ""
            )
        for name, score in entry.get("scores", {}).items():
            value = f"undefined: {score['undefined']}" if score["value"] is None else f"{score['value']:.4f}"
            between = "" if score["interval"] is None else "{:.4f} to {:.4f}".format(*score["interval"])
            table.add_row(first, step, name, value, between)
            first = step = ""
    console = make_console()
    console.print(table)
    for name in ("curve.png", "result.json", "predictions"):
        if (run / name).exists():
            console.print(f"  {name:<12}{run / name}")


def print_reevaluation(found: Mapping[str, Any]) -> None:
    """Scores of a run that was tested again, and whether they are the same."""
    for name, score in found["scores"].items():
        value = f"undefined: {score['undefined']}" if score["value"] is None else f"{score['value']:.6f}"
        print(f"{name:<14}{value}")
    told = {
        True: "every prediction is the same, bit for bit",
        False: "PREDICTIONS DIFFER from the run's",
        None: "other views",
    }
    print(f"{found['run']} ({found['protocol']}): {told[found['same']]}")


def print_predictions(predictions: Sequence[ClipPrediction]) -> None:
    """Print a line for each window: its time, and the highest probabilities or every dimension."""
    for clip in predictions:
        print(f"{clip.video_id}, person {clip.person + 1}" + (f": {clip.best}" if clip.best else ""))
        for window in clip.windows:
            ranked = sorted(zip(clip.names, window.scores, strict=True), key=lambda pair: -pair[1] * clip.classes)
            scores = "  ".join(f"{name} {score:.2f}" for name, score in ranked[: 3 if clip.classes else None])
            print(f"  {window.start_s:7.2f} to {window.stop_s:7.2f} s  {scores}")
