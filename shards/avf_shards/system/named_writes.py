"""Writes of files that no promise rests on, whose errors name the file: a full disk says so by a handle alone.

What a result depends on is written by `durable_io` instead, whose errors name the file too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from avf_shards.system.storage_faults import name_path, open_plain


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file anew. Raises OSError, which names it."""
    with name_path(path):
        path.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a file anew in UTF-8. Raises OSError, which names it."""
    write_bytes(path, text.encode("utf-8"))


@contextmanager
def append_text(path: Path) -> Iterator[IO[str]]:
    """Open a file to append text in UTF-8. Raises OSError, which names it, also in the block and at its end."""
    with name_path(path), open(path, "a", encoding="utf-8", opener=open_plain) as file:
        yield file


@contextmanager
def append_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open a file to append bytes. Raises OSError, which names it, also in the block and at its end."""
    with name_path(path), open(path, "ab", opener=open_plain) as file:
        yield file
