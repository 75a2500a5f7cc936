"""avf-curate data-card: describe packed shards, for people and as Croissant metadata."""

import argparse
from typing import Any

from avf_shards.cli.common import add_command
from avf_shards.cli.paths import local_path, output_folder
from avf_shards.errors import UserError


def add(commands: Any) -> None:
    """Add `data-card`."""
    parser = add_command(
        commands,
        "data-card",
        _run,
        help="Write the data card of packed shards, for people and as Croissant metadata.",
        epilog="example:\n  avf-curate data-card SHARDS --out DIR --licence voxceleb2=CC-BY-4.0",
    )
    parser.add_argument("folder", metavar="SHARDS", type=local_path, help="folder of packed shards")
    parser.add_argument(
        "--out", metavar="DIR", type=output_folder, required=True, help="folder for DATA_CARD.md and croissant.json"
    )
    parser.add_argument("--name", default="talking-faces", help="name of the corpus (default: %(default)s)")
    parser.add_argument(
        "--licence",
        metavar="SOURCE=TEXT",
        action="append",
        default=[],
        help="licence of a source; repeat for more (default: not stated)",
    )
    parser.add_argument("--url", help="address at which the shards will be published (default: none)")
    parser.add_argument("--published", metavar="YYYY-MM-DD", help="day of publication (default: none)")


def _run(options: argparse.Namespace) -> int:
    from datetime import date

    from avf_curation.reports.data_card import CARD, CROISSANT, read_card, write_card

    try:
        published = date.fromisoformat(options.published) if options.published else None
    except ValueError:
        raise UserError(f"--published {options.published}: must be a day, as in --published 2026-01-31") from None
    card = read_card(options.folder, options.name, _licences(options.licence))
    write_card(card, options.out, options.url, published)
    for name in (CARD, CROISSANT):
        print(options.out / name)
    return 0


def _licences(texts: list[str]) -> dict[str, str]:
    """Return the licence of each source from words such as `voxceleb2=CC-BY-4.0`. Raises UserError."""
    licences = {}
    for text in texts:
        source, equals, licence = text.partition("=")
        if not (source and equals and licence.strip()):
            raise UserError(f"--licence {text}: must look like SOURCE=TEXT, as in --licence voxceleb2=CC-BY-4.0")
        licences[source] = licence.strip()
    return licences
