"""Tables of models, costs, validation and replay in the terminal, and the parity page."""

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from avf_shards.system.named_writes import write_text
from avf_shards.text import count_noun
from rich.table import Table

from avf_training.console.terminal import make_console

if TYPE_CHECKING:  # imports torch and more; a table needs none of it
    from avf_training.conversion.parity import ParityRow
    from avf_training.data.benchmark import StreamCost
    from avf_training.framewise.pictures.trained_mae import TrainedMAEScores
    from avf_training.models.model_costs import ModelSummary, StageSummary
    from avf_training.pretraining.cost_estimate import TrainingCost
    from avf_training.pretraining.replay import ReplayReport
    from avf_training.pretraining.validation import ValidationScores

PAGE_HEAD = """# Parity with the authors' code

Worst difference of each group of numbers from what the authors' own code computed on small models with random weights,
filled by `avf-train parity FILE ...`. Differences are |ours - theirs| / max(1, |theirs|). A file of the same format
from any other configuration can be checked the same way.
"""


def print_summaries(summaries: Sequence["ModelSummary"], batch: int, precision: str) -> None:
    """Print a row for each model and stage beside the papers' figures; then the parts, then the tokens."""
    costs = _table("model", "stage", "parameters", "paper", "G mult-adds", "paper", f"memory ({batch})")
    parts = _table("millions in", "", "video", "audio", "fusion", "head", "video dec.", "audio dec.")
    for summary in summaries:
        published = summary.published
        for stage, size, paper_m, paper_g in (
            ("fine-tune", summary.finetune, published.finetune_m, published.finetune_g),
            ("pre-train", summary.pretrain, published.pretrain_m, None),
        ):
            paper = "" if paper_m is None else f"{paper_m:g} M"
            memory = f"{size.activation_bytes / 1e9:.2f} GB"
            costs.add_row(
                summary.name,
                stage,
                f"{size.parameters:,}",
                paper,
                f"{size.gmacs:.2f}",
                "" if paper_g is None else f"{paper_g:g}",
                memory,
            )
            parts.add_row(summary.name, stage, *_parts(size))
    out = make_console()
    for table in (costs, parts):
        out.print(table)
        out.print()
    for tokens, group in groupby(summaries, lambda summary: summary.tokens):
        out.print(f"tokens of {', '.join(summary.name for summary in group)}:")
        out.print(f"  {', '.join(f'{name} {count}' for name, count in tokens.items())}")
    for summary in summaries:
        if summary.note:
            out.print(f"{summary.name}: {summary.note}")
    out.print("heads have 11 classes (MAFW); multiply-adds are of one clip, forward;")
    out.print(f"memory: needed by a backward pass of {count_noun(batch, 'clip')} in {precision}, besides parameters")


def _table(first: str, second: str, *numbers: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in (first, second):
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _parts(stage: "StageSummary") -> list[str]:
    head = sum(stage.parts.get(name, 0) for name in ("fc_norm", "head", "layer weights"))
    names = ("encoder_video", "encoder_audio", "fusion", "", "decoder_video", "decoder_audio")
    counts = [stage.parts.get(name, 0) if name else head for name in names]
    return [f"{count / 1e6:.3f}" if count else "" for count in counts]


def print_stream_cost(cost: "StreamCost", batch: int, step_s: float) -> None:
    """Print the milliseconds of each part, clips per core-second, the bottleneck, and the cores that feed one GPU."""
    table = _table("CPU time of a clip", "", "ms", "clips/core-s")
    devices = {"worker": "worker", "device": "device, if any", "other": "not used"}
    for part in cost.parts:
        table.add_row(part.name, devices[part.runs_on], f"{part.ms:.2f}", f"{1000 / max(part.ms, 1e-6):,.0f}")
    table.add_row("whole batches", "worker", f"{cost.worker_ms:.2f}", f"{1000 / cost.worker_ms:,.0f}")
    out = make_console()
    out.print(table)
    out.print("ms: CPU time of one clip; clips/core-s: clips that one core prepares in a second;")
    out.print("worker: in a process of the loader; device: on the GPU; whole batches: all parts of a worker together")
    bound = cost.bottleneck()
    out.print(f"{count_noun(cost.clips, 'clip')} of {cost.stored_kb:.0f} KB")
    out.print(f"bound by: {bound.name} ({bound.ms / cost.worker_ms:.0%})")
    work = f"{count_noun(batch, 'clip')} in {step_s:g} s"
    out.print(f"cores for one GPU that processes {work}: {cost.cores_needed(step_s, batch):.1f}")


def print_cost_estimate(cost: "TrainingCost") -> None:
    """Print the estimated cost of a run in a few lines, beside the time that the paper prints."""
    out = make_console()
    accumulated = cost.batch // (cost.devices * cost.micro_batch)
    rows = [
        ("clips of an epoch", f"{cost.clips:,}"),
        ("batch", f"{cost.batch:,} = {count_noun(cost.devices, 'device')} x {cost.micro_batch} x {accumulated}"),
        ("steps", f"{cost.steps:,} ({cost.epochs:g} epochs), warm-up {cost.warmup_steps:,}"),
        ("measured on", f"{cost.device}, {count_noun(cost.measured_batch, 'clip')} at once, one device"),
        (
            "step",
            f"{cost.step_s:.3g} s, {cost.clips_per_s:.1f} clips/s; waited for data {cost.waited_share:.0%} of the time",
        ),
        ("work", f"{cost.teraflops:.3g} TFLOP/s, MFU {cost.mfu:.1%} of {cost.peak_source}"),
        (
            "hours",
            f"{cost.hours:,.1f} for all steps on {count_noun(cost.devices, 'device')} of this kind, no waits for data",
        ),
        ("memory of a device", f"{cost.memory_bytes / 1e9:.1f} GB at {count_noun(cost.micro_batch, 'clip')}, computed"),
    ]
    if cost.peak_bytes is not None:
        rows.append(("", f"{cost.peak_bytes / 1e9:.1f} GB at {count_noun(cost.measured_batch, 'clip')}, measured"))
    if cost.paper is not None:
        rows.append(("the paper", f"{cost.paper.hours:g} h on {cost.paper.machine} ({cost.paper.source})"))
    out.print(f"{cost.model}:")
    for name, text in rows:
        out.print(f"  {name:<20}{text}")


def print_masked_errors(scores: "TrainedMAEScores") -> None:
    """Print the error of image MAE on hidden patches beside those of the mean predictors."""
    errors = scores.errors
    table = _table(count_noun(scores.pictures, "picture"), "error of hidden patches", "ratio")
    table.add_row("model", f"{errors.model:.4f}", "")
    for name, error in (("mean patch", errors.mean_patch), ("mean image", errors.mean_image)):
        table.add_row(name, f"{error:.4f}", f"{errors.model / error:.3f}")
    make_console().print(table)
    make_console().print(
        "mean patch: the training pictures' mean patch everywhere; mean image: their mean at each place; ratio: the "
        "model's error by that of the mean, below 1 is better"
    )
    _print_unreadable(scores.unreadable, "picture")


def _print_unreadable(count: int, noun: str) -> None:
    if count:
        make_console().print(f"{count_noun(count, noun)} that cannot be read: left out of the scores")


def print_validation(scores: "ValidationScores") -> None:
    """Print the errors beside those of the mean predictors, and the recalls beside chance."""
    table = _table(count_noun(scores.clips, "clip"), "", "model", "mean patch", "ratio", "mean image", "ratio")
    errors = {{"audio": "sound"}.get(name, name): part for name, part in scores.errors().items()}
    if len(errors) > 1:
        errors["both"] = scores.total_errors()
    worse = []
    for name, (model, patch, image) in errors.items():
        if model > image:
            worse.append(
                f"{name}: worse than the mean image of the training clips, which has {image / model:.2f} of this error"
            )
        row = f"{model:.4f}", f"{patch:.4f}", f"{model / patch:.3f}", f"{image:.4f}", f"{model / image:.3f}"
        table.add_row("error of masked", name, *row)
    make_console().print(table)
    make_console().print(
        "mean patch: error of the training clips' mean patch everywhere; mean image: of their mean at each place;"
    )
    make_console().print("ratio: the model's error by that of the mean; below 1 is better")
    for sentence in worse:
        make_console().print(sentence)
    _print_unreadable(scores.unreadable, "clip")
    chance = 1 / scores.clips
    for name, share in (
        ("video to sound", scores.recall_video_to_audio),
        ("sound to video", scores.recall_audio_to_video),
    ):
        if share is not None:
            make_console().print(f"R@1 {name}: {share:.3f}, {share / chance:.1f} times chance ({chance:.3f})")
    if scores.recall_over_chance is not None:
        make_console().print("R@1: share of clips whose own sound (picture) is the most similar of all")


def print_replay(report: "ReplayReport") -> None:
    """Print the losses of the replayed step, and the module whose output was the first that is not finite."""
    out = make_console()
    parts = "  ".join(f"{name} {value:.4g}" for name, value in report.parts.items())
    out.print(f"step {report.step}: {parts}")
    if report.finite:
        out.print("finite here, forward and backward: so the device or another rank (see --rank) makes the difference")
        return
    out.print(f"first output that is not finite: {report.module or 'none, the forward pass is finite'}")
    out.print(f"clips whose reconstruction is not finite: {', '.join(report.keys) or 'none'}")
    count = len(report.parameters)
    out.print(f"parameters whose gradient is not finite: {count}{', first ' + report.parameters[0] if count else ''}")


def print_parity(rows: Sequence["ParityRow"]) -> None:
    """Print every group with its worst difference and its tolerance."""
    out = make_console()
    for file, group in groupby(rows, lambda row: row.file):
        table = _table("precision", "group", "numbers", "worst", "tolerance", "")
        for row in group:
            verdict = "ok" if row.passed else "OFF"
            worst = f"{row.worst:.1e}", f"{row.tolerance:.0e}"
            table.add_row(row.precision, row.group, f"{row.numbers:,}", *worst, verdict)
        out.print(file, style="bold")
        out.print(table)
        out.print()
    out.print("worst: largest |ours - theirs| / max(1, |theirs|) of a group; tolerance: the limit for it")
    off = [row for row in rows if not row.passed]
    for row in off:
        out.print(f"OFF: {row.file}, {row.precision}, {row.group}: {row.where}")
    out.print(f"{len(rows) - len(off)} of {len(rows)} groups within their tolerance")


def fill_page(page: Path, rows: Sequence["ParityRow"]) -> None:
    """Write each file's table into its section of `page`, which is created if missing."""
    text = page.read_text("utf-8") if page.is_file() else PAGE_HEAD
    for file, group in groupby(rows, lambda row: row.file):
        lines = [
            f"<!-- {file} -->",
            f"## {file}",
            "",
            "| precision | group | numbers | worst | tolerance | |",
            "|---|---|---|---|---|---|",
        ]
        for row in group:
            verdict = "ok" if row.passed else f"OFF at `{row.where}`"
            cells = row.precision, row.group, f"{row.numbers:,}", f"{row.worst:.1e}", f"{row.tolerance:.0e}", verdict
            lines.append(f"| {' | '.join(cells)} |")
        block = "\n".join([*lines, f"<!-- end {file} -->"])
        pattern = re.compile(f"<!-- {re.escape(file)} -->.*?<!-- end {re.escape(file)} -->", re.S)
        section = pattern.search(text)
        text = f"{text[: section.start()]}{block}{text[section.end() :]}" if section else f"{text}\n{block}\n"
    write_text(page, text)
