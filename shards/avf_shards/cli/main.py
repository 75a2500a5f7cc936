"""avf-shards: pack finished units into training shards, and ask questions of them."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from avf_shards.cli.common import json_option, run_command, write_answer
from avf_shards.cli.selection_table import print_selection
from avf_shards.deletion.shard_deletion import delete_clips, deletion_request
from avf_shards.deletion.takedown import take_down
from avf_shards.errors import UserError
from avf_shards.format import index
from avf_shards.format.corpus import load_corpus
from avf_shards.format.manifest import read_manifest
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.lineage import find_clips, format_lineage, trace_clips
from avf_shards.packing.pack import pack_shards, select_from_run
from avf_shards.packing.selection import load_selection
from avf_shards.packing.verify import verify_shards
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import StreamOrder, stream_digest

SELECT_HELP = """\
selection file (TOML); every line is optional:

  seed = 7                       # of the order
  clips_per_shard = 512
  [thresholds]                   # stricter than the run's, as STAGE/REASON of the ledger
  "sync/low_confidence" = 4.0
  [sources.voxceleb2]            # with any [sources.X], only those named are packed
  quota = 515000
  order = "shuffled"             # or "speakers": one clip of each before the second of any; or "ledger"
  [near_duplicates]              # clips whose sound is that of a clip that is taken stay out
  max_bit_error = 0.3
  [sources.cncvs.thresholds]
  "sync/low_confidence" = 2.5
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 = done, 1 = faults found, 2 = cannot do that, 130 = interrupted."""
    options = _parser().parse_args(arguments)
    stopped = "stopped; the same command goes on where it was"
    return run_command("avf-shards", lambda: int(options.run(options)), stopped)


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="avf-shards",
        description="Training shards: WebDataset tars with a sidecar index, packed from a finished curation run.",
        epilog="examples:\n  avf-shards pack RUN --out SHARDS\n  avf-shards verify SHARDS\n"
        "  avf-shards lineage SHARDS KEY",
        formatter_class=raw,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    one = commands.add_parser(
        "pack",
        help="finished units -> shards",
        formatter_class=raw,
        description="Pack the kept clips of one run into shards. Killed and started again, it goes on.",
        epilog=SELECT_HELP,
    )
    one.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="folder of a finished run")
    one.add_argument("--out", metavar="SHARDS", type=Path, help="folder for the shards; made if missing")
    one.add_argument("--dry-run", action="store_true", help="only say what would be taken")
    one.add_argument("--select", metavar="FILE", type=Path, help="what to take (default: all that was kept)")
    json_option(one)
    one.set_defaults(run=_pack)

    one = commands.add_parser("verify", help="check every byte; exit 1 and the list of faults")
    one.add_argument("shards", metavar="SHARDS", type=Path)
    json_option(one)
    one.set_defaults(run=_verify)

    one = commands.add_parser("ls", help="shards, clips and hours per source; with --keys every clip")
    one.add_argument("shards", metavar="SHARDS", type=Path)
    one.add_argument("--keys", action="store_true", help="one clip's key per line")
    json_option(one)
    one.set_defaults(run=_ls)

    one = commands.add_parser("show", help="the record of one clip; with --extract its files")
    one.add_argument("shards", metavar="SHARDS", type=Path)
    one.add_argument("key", metavar="KEY")
    one.add_argument("--extract", metavar="DIR", type=Path, help="write KEY.mp4, KEY.flac, KEY.json there")
    one.set_defaults(run=_show)

    one = commands.add_parser(
        "lineage", help="a clip's way: input file, span, every score with its threshold, backends"
    )
    one.add_argument("shards", metavar="SHARDS", type=Path)
    one.add_argument("keys", metavar="KEY", nargs="+", help="as in a batch's `keys`; '-': from standard input")
    json_option(one)
    one.set_defaults(run=_lineage)

    one = commands.add_parser(
        "delete",
        help="take clips down: out of the shards, others keep their place, the absence is proved",
        formatter_class=raw,
        description="Rewrites only the shards concerned and leaves tombstones. Killed and started again, it goes on.",
        epilog="lines of FILE: `video SOURCE/ID`, `speaker SOURCE/NAME`, `key KEY`; '#' begins a comment",
    )
    one.add_argument("shards", metavar="SHARDS", type=Path)
    one.add_argument("--video", metavar="SOURCE/ID", action="append", default=[], help="repeat for more")
    one.add_argument("--speaker", metavar="SOURCE/NAME", action="append", default=[], help="repeat for more")
    one.add_argument("--list", metavar="FILE", type=Path, help="what to take down, a line each")
    one.add_argument("--run", dest="of_run", metavar="RUN", type=Path, help="that they were packed from: there too")
    one.add_argument("--reason", metavar="TEXT", default="", help="kept with the tombstones")
    json_option(one)
    one.set_defaults(run=_delete)

    one = commands.add_parser(
        "order",
        help="the order a training stream will take: digest, and each source's share beside its target",
        formatter_class=raw,
        description="The order is a function of shards, mix, seed and epoch alone: the same for every world.",
    )
    one.add_argument("shards", metavar="SHARDS", type=Path)
    one.add_argument("--world", metavar="N", type=int, default=1, help="ranks that share each step (default 1)")
    one.add_argument("--batch", metavar="N", type=int, default=24, help="global batch (default 24)")
    one.add_argument("--steps", metavar="N", type=int, help="default: one epoch")
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--epoch", type=int, default=0, help="first epoch (default 0)")
    one.add_argument("--quota", metavar="SOURCE=N", action="append", default=[], help="clips of SOURCE in an epoch")
    one.add_argument("--weight", metavar="SOURCE=W", action="append", default=[], help="share of SOURCE")
    one.add_argument("--digest", action="store_true", help="print the digest alone")
    json_option(one)
    one.set_defaults(run=_order)
    return parser


def _answer(options: argparse.Namespace, values: Any, text: str) -> None:
    """Print the table, or the same facts as JSON."""
    if not write_answer(options, values):
        print(text)


def _pack(options: argparse.Namespace) -> int:
    if len(options.runs) > 1:
        raise UserError("pack takes one run at a time; name each run's shards in a folder of their own")
    bar = sys.stderr.isatty()

    def progress(done: int, total: int) -> None:
        if bar:
            print(f"\r{done}/{total} clips", end="" if done < total else "\n", file=sys.stderr, flush=True)

    run, selection = RunFolder.existing(options.runs[0]), load_selection(options.select)
    if options.dry_run:
        _answer(options, *print_selection(select_from_run(run, selection)[1], None))
        return 0
    if options.out is None:
        raise UserError("--out SHARDS is missing; --dry-run needs none")
    _answer(options, *print_selection(pack_shards(run, options.out, selection, progress), options.out))
    return 0


def _verify(options: argparse.Namespace) -> int:
    faults = verify_shards(options.shards)
    text = "\n".join(faults) if faults else f"{options.shards}: every byte is as packed"
    _answer(options, {"faults": faults}, text)
    return 1 if faults else 0


def _ls(options: argparse.Namespace) -> int:
    manifest = read_manifest(options.shards)
    if options.keys:
        keys = [key for entry in manifest["shards"] for key in index.load_index(_side(options.shards, entry)).by_key()]
        _answer(options, keys, "\n".join(keys))
        return 0
    lines = [f"{'shard':<32}{'clips':>8}{'seconds':>11}{'MB':>9}"]
    for entry in manifest["shards"]:
        clips, seconds = sum(entry["clips"].values()) - entry.get("deleted", 0), sum(entry["seconds"].values())
        lines.append(f"{entry['shard']:<32}{clips:>8}{seconds:>11.1f}{entry['bytes'] / 1e6:>9.1f}")
    _answer(options, {"shards": manifest["shards"], "sources": manifest["sources"]}, "\n".join(lines))
    return 0


def _side(shards: Path, entry: dict[str, Any]) -> Path:
    return index.sidecar_path(shards / Path(entry["shard"]).name)


def _show(options: argparse.Namespace) -> int:
    ((_, files),) = find_clips(options.shards, [options.key]).values()
    if options.extract:
        options.extract.mkdir(parents=True, exist_ok=True)
        for extension, data in files.items():
            (options.extract / f"{options.key}.{extension}").write_bytes(data)
    print(json.dumps(json.loads(files["json"]), indent=1, ensure_ascii=False))
    return 0


def _lineage(options: argparse.Namespace) -> int:
    keys = sys.stdin.read().split() if options.keys == ["-"] else options.keys
    records = trace_clips(options.shards, keys)
    values = records[0] if len(keys) == 1 else records
    _answer(options, values, "\n".join(format_lineage(record) for record in records))
    return 0


def _delete(options: argparse.Namespace) -> int:
    try:
        listed = options.list.read_text("utf-8").splitlines() if options.list else []
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--list {options.list}: cannot be read ({error})") from None
    what = deletion_request(options.video, options.speaker, listed)
    run = RunFolder.existing(options.of_run) if options.of_run else None
    found = delete_clips(options.shards, what, options.reason)
    erased = take_down(run, what) if run else ()
    text = [f"deleted: {key}" for key in found.keys]
    text += [f"rewritten: {name}" for name in found.rewritten]
    text.append(f"absent: {found.tombstones} deleted clips, looked for in {found.searched_bytes:,} bytes")
    if run:
        text.append(f"{run.root}: {len(erased)} clips erased, their spans are rejected as takedown/deleted")
    _answer(options, asdict(found) | {"erased_in_run": list(erased)}, "\n".join(text))
    return 0


def _order(options: argparse.Namespace) -> int:
    order = StreamOrder(load_corpus(options.shards), _mix(options.quota, options.weight), options.seed)
    for name in ("steps", "epoch"):
        value = getattr(options, name)
        if value is not None and value < 0:
            raise UserError(f"--{name} {value} must not be below 0")
    steps = len(order) // max(1, options.batch) if options.steps is None else options.steps
    start = options.epoch * len(order)
    digest = stream_digest(order, start, steps, options.batch, options.world)
    if options.digest:
        print(digest)
        return 0
    _, sources = order.at(start, start + steps * options.batch)
    rows = {}
    for number, (source, quota) in enumerate(zip(order.corpus.sources, order.quotas, strict=True)):
        target = quota / len(order) * len(sources)
        rows[source.name] = {"in_epoch": quota, "taken": int((sources == number).sum()), "target": round(target, 2)}
    lines = [f"{'source':<20}{'clips':>10}{'an epoch':>10}{'taken':>10}{'target':>12}"]
    for source in order.corpus.sources:
        row = rows[source.name]
        lines.append(
            f"{source.name:<20}{source.count:>10}{row['in_epoch']:>10}{row['taken']:>10}{row['target']:>12.2f}"
        )
    lines.append(f"{steps} steps of {options.batch} from epoch {options.epoch}, seed {options.seed}: {digest}")
    _answer(options, {"digest": digest, "steps": steps, "sources": rows}, "\n".join(lines))
    return 0


def _mix(quotas: list[str], weights: list[str]) -> Mixture:
    """The mix of `--quota SOURCE=N` and `--weight SOURCE=W`. Raises UserError."""
    try:
        return Mixture(
            quotas={k: int(v) for k, v in map(_pair, quotas)}, weights={k: float(v) for k, v in map(_pair, weights)}
        )
    except ValueError as error:
        raise UserError(f"--quota, --weight: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not (name and equals and value):
        raise ValueError(f"{text!r} must look like SOURCE=NUMBER")
    return name, value
