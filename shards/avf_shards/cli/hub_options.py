"""Options of the commands that push to the Hub and pull from it, in avf-shards and avf-train."""

import argparse
import re
from collections.abc import Callable

from avf_shards.errors import UserError
from avf_shards.hub.repository import HubRepository, RepositoryKind, parse_repository

EXTRA_HELP = (
    "The Hub's client is an extra: pip install 'avf-foundry[hub]'. It reads HF_TOKEN (who you are), HF_ENDPOINT "
    "(another server than huggingface.co) and HF_HUB_OFFLINE=1 (the cache alone)."
)
_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


def add_repository_argument(parser: argparse.ArgumentParser, kind: RepositoryKind, *, pinnable: bool) -> None:
    """Add the name of the repository as a word. pinnable: whether a tag or a commit may follow it after @."""
    revision = "; a branch, a tag or a commit may follow after @" if pinnable else ""
    parser.add_argument(
        "repository",
        metavar="ORG/NAME[@REVISION]" if pinnable else "ORG/NAME[@BRANCH]",
        type=_repository_of(kind),
        help=f"{kind} on the Hub{revision or '; a branch may follow after @'}",
    )


def add_push_options(parser: argparse.ArgumentParser) -> None:
    """Add what a push needs to know: the licence, and who may see a new repository."""
    parser.add_argument(
        "--licence",
        metavar="ID",
        type=_licence,
        required=True,
        help="licence under which you may share it, as the Hub names it: cc-by-4.0, mit, other; never guessed",
    )
    parser.add_argument(
        "--public", action="store_true", help="let everybody see a new repository (default: its owners alone)"
    )
    parser.add_argument(
        "--forget-history",
        dest="forget",
        action="store_true",
        help="squash the repository's history, so that what was deleted can no longer be fetched from earlier commits",
    )


def _repository_of(kind: RepositoryKind) -> Callable[[str], HubRepository]:
    def parse(text: str) -> HubRepository:
        try:
            return parse_repository(text, kind)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _licence(text: str) -> str:
    if _LICENCE.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no name of a licence; write one as cc-by-4.0, or other")
    return text
