"""What is to be taken down, as people name it: on the command line, in a list, or by an earlier run's denylist."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.denylist import (
    Denial,
    Denylist,
    deny_content,
    deny_key,
    deny_speaker,
    deny_video,
    read_denylist,
)
from avf_shards.schema.clip_key import check_source_name

_KINDS = {"video": "SOURCE/ID", "speaker": "SOURCE/NAME", "key": "KEY", "sha256": "DIGEST"}
LINE = "a line is `video SOURCE/ID`, `speaker SOURCE/NAME`, `key KEY` or `sha256 DIGEST`"


@dataclass(frozen=True, kw_only=True)
class DeletionRequest:
    """The videos, speakers, clips and contents that are to be deleted."""

    words: tuple[tuple[str, str], ...]  # (kind, word), as they were given, each once

    def named(self, reason: str = "") -> dict[Denial, str]:
        """Return the entry of a denylist for each thing -> how it was named."""
        date = datetime.now(UTC).strftime("%Y-%m-%d")
        return {_deny(kind, word, date, reason): f"{kind} {word}" for kind, word in self.words}

    def denylist(self, reason: str = "") -> Denylist:
        """Return the entries of `named`."""
        return Denylist(denials=tuple(self.named(reason)))


def deletion_request(
    videos: Iterable[str] = (), speakers: Iterable[str] = (), listed: Iterable[str] = (), sha256: Iterable[str] = ()
) -> DeletionRequest:
    """Return the request of `videos` ("SOURCE/ID"), `speakers` ("SOURCE/NAME"), `sha256` and the lines of a list file.

    Raises UserError for any other text, and when nothing is named.
    """
    words = [("video", word) for word in videos] + [("speaker", word) for word in speakers]
    words += [*(("sha256", word) for word in sha256), *_read_words(listed)]
    if not words:
        raise UserError("nothing named: give --video SOURCE/ID, --speaker SOURCE/NAME or --list FILE")
    request = DeletionRequest(words=tuple(dict.fromkeys(words)))
    request.named()  # refuses what is no such word
    return request


def _read_words(lines: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Return (kind, word) of each line of a list file. Raises UserError for any other text."""
    words: dict[tuple[str, str], None] = {}
    for number, line in enumerate(lines, 1):
        # Ids may hold a '#'; one after a space begins a comment.
        text = re.split(r"\s#", line, maxsplit=1)[0].strip()
        if text and not text.startswith("#"):
            kind, _, word = text.partition(" ")
            if kind not in _KINDS or not word.strip():
                raise UserError(f"line {number}: {text!r}; {LINE}")
            words[kind, word.strip()] = None
    return tuple(words)


def _deny(kind: str, word: str, date: str, reason: str) -> Denial:
    if kind == "key":
        return deny_key(word, date, reason)
    if kind == "sha256":
        return deny_content(word.lower(), date, reason)  # some programs print digests in capitals
    source, _, name = word.partition("/")
    if not source or not name:
        raise UserError(f"{word!r}: must be {_KINDS[kind]}")
    check_source_name(source)
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UserError(f"{word!r}: is not UTF-8, as names in plans and ledgers are") from None
    return (deny_video if kind == "video" else deny_speaker)(source, name, date, reason)


def read_deny_files(paths: Iterable[Path]) -> Denylist:
    """Return the union of what `--deny` names: lists as `--list` takes them, denylist files, runs, folders of shards.

    Raises UserError for one that cannot be read or that names nothing, FaultError for a damaged denylist.
    """
    denylist = Denylist()
    for path in paths:
        denylist |= Denylist(denials=tuple(read_deny_words(path)))
    return denylist


def read_deny_words(path: Path) -> dict[Denial, str]:
    """Return each entry of a `--deny` -> how a list names it, as "video a/1.mp4"; "" where a denylist holds a hash.

    Raises as `read_deny_files`.
    """
    if not path.is_dir():
        return _read_file(path)
    if not any(path.glob("denylist-*")):
        raise UserError(f"--deny {path}: holds no denylist; nothing was taken down there. Name a file, or no --deny")
    return dict.fromkeys(read_denylist(path).denials, "")


def _read_file(path: Path) -> dict[Denial, str]:
    try:
        data = path.read_bytes()
        if data.lstrip().startswith(b"{"):
            return dict.fromkeys(Denylist.from_json(data, str(path)).denials, "")
        words = _read_words(data.decode("utf-8-sig").splitlines())
        if not words:
            raise UserError("names nothing; write a line for each that may not come back, or give no --deny")
        return DeletionRequest(words=words).named("--deny")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--deny {path}: cannot be read ({error})") from None
    except UserError as error:
        raise UserError(f"--deny {path}: {error}") from None
