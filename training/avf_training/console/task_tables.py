"""Tables of the labelled side: data sets, counts, scores."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from avf_shards.text import count_noun, printable
from rich.table import Table

from avf_training.console.column_notes import INTERVAL_NOTE, PROTOCOL_NOTE, explain_metrics
from avf_training.console.terminal import make_console
from avf_training.tasks.catalog import DATASETS, Dataset
from avf_training.tasks.label_alignment import ALIGNED, HYBRID_LABELS, MICRO_DATASETS, MICRO_LABELS

if TYPE_CHECKING:  # imports torch, and most of these tables do not need it
    from avf_training.inference.person_prediction import PersonPrediction

_MAX_TIMES = 5  # stretches of a video that are listed
_DATASETS_COLUMNS = 130  # that the list of data sets needs for a line each
_MAX_PEOPLE = 20  # rows of the summary of predictions


def print_datasets(rows: Sequence[Dataset]) -> None:
    """Print one line for each data set, by the name that `--dataset` takes, then their notes."""
    out = make_console()
    # On a narrow terminal titles, folds and metrics go on in a second line, at a space: a name is never cut.
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    longest_words = {"title": len("Werewolf-XL"), "folds": len("predefined"), "metrics": len("weighted")}
    narrow = longest_words if out.width < _DATASETS_COLUMNS else {}
    for name in ("--dataset", "title", "source", "labels", "clips", "folds", "metrics"):
        justify: Literal["right", "left"] = "right" if name == "clips" else "left"
        table.add_column(name, justify=justify, no_wrap=name not in narrow, width=narrow.get(name))
    for data in rows:
        labels = f"{len(data.labels)}" if data.labels else f"{len(data.dimensions)} dims"
        folds = f"{data.folds or 'all'}, {data.split.replace('_', ' ')}".removeprefix("all, ")
        metrics = ", ".join(metric.replace("_", " ") for metric in data.metrics)
        table.add_row(data.name, data.title, data.source, labels, f"{data.clips:,}", folds, metrics)
    out.print(table)
    out.print("folds: their number, and how clips are divided; metrics: studies compare rows by the first")
    out.print(explain_metrics(metric for data in rows for metric in data.metrics))
    for data in rows:
        if data.note:
            out.print(f"{data.name}: {data.note}")


def print_counts(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how many clips of each data set shards hold, beside the published numbers."""
    table = Table(box=None, header_style="bold")
    for name in ("data set", "clips", "published", "per label", "excluded", "no sound"):
        table.add_column(name, justify="right" if name in ("clips", "published", "no sound") else "left")
    for row in rows:
        labels = ", ".join(f"{label} {count}" for label, count in row["per_label"].items() if count)
        excluded = ", ".join(f"{label} {count}" for label, count in row["excluded"].items())
        counts = f"{row['clips']:,}", f"{row['published']:,}" if row["published"] else "-"
        table.add_row(row["name"], *counts, labels, excluded, f"{row['without_sound']:,}")
    console = make_console()
    console.print(table)
    console.print("published: clips in the owners' paper; excluded: by label, because the task does not ask for them;")
    console.print("no sound: clips without it, which a model that hears cannot use")
    for row in rows:
        for difference in row["differences"]:
            console.print(f"differs: {difference}")


def print_alignment() -> None:
    """Print the labels of the labelled hybrid and the labels of each data set that count as them."""
    table = Table(box=None, header_style="bold", title="labelled hybrid of categorical emotions", title_style="")
    table.add_column("hybrid")
    # Rows that differ in their folds alone have one column.
    columns = {(data.source, str(ALIGNED[data.name])): data.name for data in reversed(DATASETS) if data.name in ALIGNED}
    names = [data.name for data in DATASETS if data.name in columns.values()]
    for name in names:
        table.add_column(name)
    for label in HYBRID_LABELS:
        cells = ("+".join(native for native, to in ALIGNED[name].items() if to == label) for name in names)
        table.add_row(label, *cells)
    console = make_console(130)  # a table cut to the terminal would lose data sets
    console.print(table)
    elsewhere = ("micro_expression", "detection")
    outside = [data.name for data in DATASETS if data.task not in elsewhere and data.name not in ALIGNED]
    console.print(f"in no hybrid: {', '.join(outside)}; clips with a label that is in no row are excluded")
    console.print(
        f"micro-expressions ({', '.join(MICRO_DATASETS)}): {', '.join(MICRO_LABELS)}, by the rule of MEGC 2019"
    )


def print_result(result: Mapping[str, Any], run: Path) -> None:
    """Print the scores of a finished stage by protocol, with intervals over people, and the files of its run."""
    table = Table(
        box=None, header_style="bold", title=f"{result['task']}: {result['test']} test clips, percent", title_style=""
    )
    for name in ("epoch selected by", "epoch's step", "metric", "score", "95 % interval"):
        table.add_column(name, justify="right" if name in ("epoch's step", "score") else "left")
    metric = result["selection_metric"]
    names = {"validation": f"{metric} on {result['validation']} validation clips", "last": "last step"}
    names["test_best"] = f"{metric} on the test clips (as published)"
    for protocol, entry in result["protocols"].items():
        first, step = names[protocol], "" if entry["step"] is None else str(entry["step"] + 1)
        if not entry.get("scores"):  # post-pre-training has no test clips
            selection = "" if entry["selection_score"] is None else f"{100 * entry['selection_score']:.2f}"
            table.add_row(first, step, "", selection, "")
        for name, score in entry.get("scores", {}).items():
            interval = (
                ""
                if score["interval"] is None
                else "{:.2f} to {:.2f}".format(*(100 * end for end in score["interval"]))
            )
            table.add_row(first, step, name, _percent(score, 2), interval)
            first = step = ""
    console = make_console()
    console.print(table)
    scores = [score for entry in result["protocols"].values() for score in entry.get("scores", {})]
    if scores:
        console.print(INTERVAL_NOTE)
        console.print(explain_metrics(scores))
    for protocol, entry in result["protocols"].items():
        if "calibration" in entry:
            console.print(f"{names[protocol]}: {_describe_calibration(entry['calibration'])}")
    for name in ("curve.png", "result.json", "predictions"):
        if (run / name).exists():
            console.print(f"  {name:<12}{run / name}")


def _describe_calibration(values: Mapping[str, Any]) -> str:
    """Return the temperature and what it did to the calibration error, on clips that it was not fitted on if tested."""
    clips = "test" if "test" in values else "validation"
    before, after = (100 * values[clips][when]["ece"] for when in ("before", "after"))
    if not values.get("determined", True):  # results of earlier versions do not say
        return (
            f"no temperature: the validation clips are all right, or no better than chance, and determine none; "
            f"probabilities stay the softmax; calibration error (ECE) of {clips} clips {before:.1f} %"
        )
    error = f"calibration error (ECE) of {clips} clips {before:.1f} to {after:.1f} %"
    return f"temperature {values['temperature']:.2f}; {error}"


def print_folds(data: Dataset, summary: Mapping[str, Any], path: Path) -> None:
    """Print the scores of all folds of a data set by protocol: mean, deviation, and of all test clips together."""
    table = Table(
        box=None, header_style="bold", title=f"{data.title}: {len(summary['folds'])} folds, percent", title_style=""
    )
    for name in ("epoch selected by", "metric", "mean of folds", "deviation", "all clips together", "95 % interval"):
        table.add_column(name, justify="left" if name in ("epoch selected by", "metric", "95 % interval") else "right")
    for protocol, entry in summary["protocols"].items():
        first = protocol.replace("_", " ")
        for name in data.metrics:
            score = entry["scores"][name]
            values = (
                "-" if score[key] is None else f"{100 * score[key]:.2f}" for key in ("mean", "deviation", "pooled")
            )
            ends = score["interval"]
            interval = score["no_interval"] if ends is None else f"{100 * ends[0]:.2f} to {100 * ends[1]:.2f}"
            table.add_row(first, name.replace("_", " "), *values, interval)
            first = ""
    console = make_console()
    console.print(table)
    console.print(PROTOCOL_NOTE)
    console.print(INTERVAL_NOTE)
    console.print(explain_metrics(data.metrics))
    console.print(f"  folds.json  {path}")


def print_probes(values: Mapping[str, Any]) -> None:
    """Print the scores of the probes of a frozen model, in percent, and the spread of its features."""
    title = f"{values['task']}: {values['train']} training, {values['test']} test clips, percent"
    table = Table(box=None, header_style="bold", title=title, title_style="")
    for name in ("probe", "metric", "score", "95 % interval"):
        table.add_column(name, justify="right" if name == "score" else "left")
    for probe, entry in values["probes"].items():
        first = probe
        for name, score in entry["scores"].items():
            interval = (
                "" if score["interval"] is None else "{:.2f} to {:.2f}".format(*(100 * e for e in score["interval"]))
            )
            table.add_row(first, name, _percent(score, 2), interval)
            first = ""
    console = make_console()
    console.print(table)
    features = values["features"]
    for name, rank in features["effective_rank"].items():
        console.print(
            f"{name:<8}effective rank {rank:.1f} of {features['possible_rank'][name]}, "
            f"uniformity {features['uniformity'][name]:.3f}"
        )
    if features["alignment"] is not None:
        to_audio, to_video = (100 * features[f"recall_{way}"] for way in ("video_to_audio", "audio_to_video"))
        console.print(
            f"both    alignment {features['alignment']:.3f}, R@1 {to_audio:.1f} % to audio and {to_video:.1f} % "
            f"to video (chance {100 / features['clips']:.1f} %)"
        )
    if unreadable := values["unreadable"]:
        console.print(f"{count_noun(len(unreadable), 'clip')} could not be read and left out: {unreadable[0]} first")
    for sentence in features["alarms"]:
        console.print(f"COLLAPSED: {sentence}")


def print_reevaluation(result: Mapping[str, Any]) -> None:
    """Print the scores of a run that was tested again, in percent, and whether its predictions are the same."""
    for name, score in result["scores"].items():
        print(f"{name:<14}{_percent(score, 4)}")
    print(explain_metrics(result["scores"]))
    sentences = {
        True: "every prediction is the same, bit for bit",
        False: "PREDICTIONS DIFFER from the run's",
        None: "other views than the run's",
    }
    print(f"{result['run']} ({result['protocol']}): {sentences[result['same']]}")


def _percent(score: Mapping[str, Any], digits: int) -> str:
    return f"undefined: {score['undefined']}" if score["value"] is None else f"{100 * score['value']:.{digits}f} %"


def _fake_times(person: "PersonPrediction") -> list[str]:
    """Return the stretches of a video in which a fake is the likelier class, as "1.3 to 4.5 s"."""
    from avf_training.inference.timeline import label_segments

    fakes = [segment for segment in label_segments(person) if segment.best == 1]
    more = [f"and {len(fakes) - _MAX_TIMES} more"] if len(fakes) > _MAX_TIMES else []
    return [f"{each.start_s:.1f} to {each.stop_s:.1f} s" for each in fakes[:_MAX_TIMES]] + more


def print_predictions(predictions: Sequence["PersonPrediction"]) -> None:
    """Print a table with a row for each person of each video: the shares of the labels, or the dimensions' values."""
    from avf_training.inference.timeline import label_shares, score_segments  # loads torch

    classes = predictions[0].classes
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("video")
    table.add_column("person", justify="right")
    table.add_column("seconds", justify="right")
    detects = predictions[0].detects
    column = "share of the person's time with each label" if classes else "mean value (lowest to highest)"
    table.add_column("p(fake), and the times above 0.5" if detects else column)
    for person in predictions[:_MAX_PEOPLE]:
        segments = score_segments(person)
        if detects:
            texts = [f"{person.fake:.2f}", *_fake_times(person)]
        elif classes:
            shares = list(label_shares(person).items())
            texts = [f"{name} {share:.0%}".replace("%", " %") for name, share in shares]
        else:
            columns = zip(person.names, person.mean, zip(*(each.scores for each in segments), strict=True), strict=True)
            texts = [f"{name} {mean:.2f} ({min(values):.2f} to {max(values):.2f})" for name, mean, values in columns]
        seconds = sum(segment.stop_s - segment.start_s for segment in segments)
        table.add_row(printable(person.video_id), str(person.person + 1), f"{seconds:.1f}", ", ".join(texts))
    console = make_console()
    console.print(table)
    if len(predictions) > _MAX_PEOPLE:
        console.print(f"and {len(predictions) - _MAX_PEOPLE} more people: --out all.csv has everybody")
    if any(len(person.keys) > 1 for person in predictions):
        console.print(
            "people are followed from shot to shot by how they look; after a cut, one may have two numbers, or two one"
        )
