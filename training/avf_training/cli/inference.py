"""avf-train predict, embed, export: a trained model at work."""

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, write_answer

from avf_training.cli.finetune import resolve_device


def add_commands(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    """Add them to avf-train's parser."""
    one = command(commands, "predict", "emotions over time, with a picture", _predict)
    one.add_argument("folder", metavar="DIR", type=Path, help="of avf-curate clip VIDEO --out DIR, or of shards")
    one.add_argument("--model", metavar="RUN|MODEL", type=Path, required=True, help="fine-tuned")
    one.add_argument("--out", metavar="FILE.png", type=Path, help="the picture (default: DIR/predicted.png)")
    one.add_argument("--hop", metavar="S", type=float, default=0.64, help="seconds between two windows (default 0.64)")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    json_option(one)

    one = command(commands, "embed", "features of every window of every clip, as Parquet", _embed)
    one.add_argument("folder", metavar="SHARDS", type=Path, help="shards, or a folder of avf-curate clip")
    one.add_argument("--model", metavar="RUN|MODEL", type=Path, required=True, help="pre-trained or fine-tuned")
    one.add_argument("--out", metavar="FILE.parquet", type=Path, required=True)
    one.add_argument("--what", metavar="KIND,...", help="video, audio, fused, regions_video, regions_audio, frames")
    one.add_argument("--hop", metavar="S", type=float, default=2.56, help="seconds between two windows (default 2.56)")
    one.add_argument("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")

    one = command(commands, "export", "a fine-tuned model as one file (torch.export), checked against itself", _export)
    one.add_argument("model", metavar="RUN|MODEL", type=Path)
    one.add_argument("--out", metavar="FILE.pt2", type=Path, required=True)


def _predict(options: argparse.Namespace) -> int:
    from avf_training.console.task_tables import print_predictions
    from avf_training.inference.predict import draw_predictions, predict

    told = predict(options.folder, options.model, options.hop, resolve_device(options.device))
    out = options.out or options.folder / "predicted.png"
    drawn = draw_predictions(options.folder, told, out)
    values = [asdict(one) | {"mean": one.mean, "best": one.best} for one in told]
    if not write_answer(options, values):
        print_predictions(told)
        print(f"  picture  {out}" + (f" (the first {drawn} of {len(told)} clips)" if drawn < len(told) else ""))
    return 0


def _embed(options: argparse.Namespace) -> int:
    from avf_training.inference.embeddings import KINDS, embed_clips, write_features

    kinds = options.what.split(",") if options.what else KINDS
    table = embed_clips(options.folder, options.model, kinds, options.hop, resolve_device(options.device))
    write_features(table, options.out, options.model)
    print(f"{options.out}: {table.num_rows} windows of {len(set(table['key'].to_pylist()))} clips; {', '.join(kinds)}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from avf_training.inference.export import export_model

    made = export_model(options.model, options.out)
    print(
        f"{made.path}: inputs {' and '.join(made.inputs)}; answers differ by {made.worst:.1g} at most from the model's"
    )
    print(f"  answers  {', '.join(made.names) or 'without names'}")
    return 0
