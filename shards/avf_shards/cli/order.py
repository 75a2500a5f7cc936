"""avf-shards order: the order that a training stream takes, and each source's share of it."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command, add_json_option, print_answer
from avf_shards.cli.options import add_shards_argument
from avf_shards.errors import UserError


def add(commands: Any) -> None:
    """Add `order`."""
    parser = add_command(
        commands,
        "order",
        _run,
        help="Print the digest of a training stream's order, and each source's share beside its target.",
        details="The order is a function of shards, mixture, seed and epoch alone: any number of ranks shares it.",
    )
    add_shards_argument(parser)
    parser.add_argument(
        "--world", metavar="N", type=int, default=1, help="ranks that share each step (default: %(default)s)"
    )
    parser.add_argument(
        "--batch",
        metavar="N",
        type=int,
        default=24,
        help="clips or pictures of all ranks in a step (default: %(default)s)",
    )
    parser.add_argument("--steps", metavar="N", type=int, help="number of steps (default: one epoch)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="seed of the order (default: %(default)s)")
    parser.add_argument("--epoch", metavar="N", type=int, default=0, help="first epoch (default: %(default)s)")
    parser.add_argument(
        "--quota",
        metavar="SOURCE=N",
        action="append",
        default=[],
        help="clips or pictures of SOURCE in an epoch; repeat for more; sources without one are left out "
        "(default: all of each)",
    )
    parser.add_argument(
        "--weight",
        metavar="SOURCE=W",
        action="append",
        default=[],
        help="share of SOURCE in an epoch, relative to other weights; repeat for more",
    )
    parser.add_argument("--digest", action="store_true", help="print only the digest")
    add_json_option(parser)


def _run(options: argparse.Namespace) -> int:
    from avf_shards.format.corpus import load_corpus
    from avf_shards.sampling.stream_order import StreamOrder, stream_digest

    order = StreamOrder(load_corpus(options.shards), _mixture(options.quota, options.weight), options.seed)
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
    shares = _shares(order, start, start + steps * options.batch)
    lines = [f"{'source':<20}{'clips':>10}{'an epoch':>10}{'taken':>10}{'target':>12}"]
    for source in order.corpus.sources:
        row = shares[source.name]
        lines.append(
            f"{source.name:<20}{source.count:>10}{row['in_epoch']:>10}{row['taken']:>10}{row['target']:>12.2f}"
        )
    lines.append(f"{steps} steps of {options.batch} from epoch {options.epoch}, seed {options.seed}: {digest}")
    print_answer(options, {"digest": digest, "steps": steps, "sources": shares}, "\n".join(lines))
    return 0


def _shares(order: Any, start: int, stop: int) -> dict[str, dict[str, Any]]:
    """Return for each source: clips in an epoch, clips between two positions, and the target for that many clips."""
    _, sources = order.clips_between(start, stop)
    return {
        source.name: {
            "in_epoch": quota,
            "taken": int((sources == number).sum()),
            "target": round(quota / len(order) * len(sources), 2),
        }
        for number, (source, quota) in enumerate(zip(order.corpus.sources, order.quotas, strict=True))
    }


def _mixture(quotas: list[str], weights: list[str]) -> Any:
    """Return the mixture of `--quota SOURCE=N` and `--weight SOURCE=W`. Raises UserError."""
    from avf_shards.sampling.mixture import Mixture

    try:
        return Mixture(
            quotas={source: int(value) for source, value in map(_split_pair, quotas)},
            weights={source: float(value) for source, value in map(_split_pair, weights)},
        )
    except ValueError as error:
        raise UserError(f"--quota, --weight: {error}") from None


def _split_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.rpartition("=")
    if not (name and equals and value):
        raise ValueError(f"{text!r} must look like SOURCE=NUMBER")
    return name, value
