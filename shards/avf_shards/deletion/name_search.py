"""Search files for the names that a takedown removed: one pass over the bytes, on all cores.

How many keys and digests there are makes no difference. Names of videos are sought one after another, and not in
shards and parts of units, where a clip's record lies behind the clip's key.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from avf_shards.deletion.removed_names import RemovedNames
from avf_shards.system.processors import count_usable_cores
from avf_shards.system.storage_faults import open_plain, retry_read

_CHUNK_BYTES = 4 << 20  # of a file that a thread searches at once: half a core's cache, with what it computes
_FRAMES = re.compile(rb"-\d{7,}-\d{7,}-\d+")  # of a key, after the hash of its video
_HASH_DIGITS = (32, 12)  # as they are written, and as they were in older shards
_DASH, _ZERO, _NINE = ord("-"), ord("0"), ord("9")
_LEAST_FRAME_DIGITS = 7
_STEP = 8  # bytes between two that are looked at first, for a key
_DIGEST_DIGITS, _DIGEST_STEP = 64, 16  # of a SHA-256; and bytes between two that are looked at first
_IS_HEX = np.isin(np.arange(256), np.frombuffer(b"0123456789abcdef", np.uint8))
_FindName = Callable[[bytes], str | None]


def search_files(paths: Iterable[Path], names: RemovedNames) -> tuple[int, dict[Path, str]]:
    """Return the number of bytes that were read, and file -> a name that it holds. Raises OSError."""
    searched = 0
    holding: dict[Path, str] = {}
    find_in_tar, find_in_text = _find_in_bytes(names, False), _find_in_bytes(names, True)
    overlap = names.longest_bytes

    def search(chunk: tuple[Path, int]) -> tuple[Path, int, str | None]:
        path, offset = chunk
        start = max(0, offset - 1)  # whether a name begins at a byte depends on the byte before

        def read() -> bytes:
            with open(path, "rb", opener=open_plain) as file:
                return os.pread(file.fileno(), _CHUNK_BYTES + overlap, start)

        data = retry_read(read, path)
        find = find_in_tar if path.suffix == ".tar" else find_in_text
        return path, min(len(data) - (offset - start), _CHUNK_BYTES), find(data)

    with ThreadPoolExecutor(count_usable_cores()) as pool:
        for path, size, name in pool.map(search, _chunks(paths)):
            searched += size
            if name is not None:
                holding.setdefault(path, name)
    return searched, holding


def search_parquet(path: Path, names: RemovedNames) -> str | None:
    """Return a name that a text of a Parquet file holds, or None: its bytes are compressed.

    Raises OSError and pyarrow's errors for a file that cannot be read.
    """
    find = _find_in_bytes(names, True)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=65_536):
            for column in batch.columns:
                for texts in _texts(column):
                    # In quotes, as JSON has them: no text then runs into the next.
                    data = b"".join(b'"%s"\n' % text for text in texts)
                    if (name := find(data)) is not None:
                        return name
    return None


def _texts(column: pa.Array) -> Iterator[list[bytes]]:
    """Yield the distinct texts of a column, and of each column within it."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        yield from _texts(column.dictionary)
    elif pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _texts(pc.struct_field(column, [number]))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        yield from _texts(pc.list_flatten(column))
    elif pa.types.is_map(kind):
        yield from _texts(column.keys)
        yield from _texts(column.items)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield pc.unique(column.drop_null()).cast(pa.large_binary()).to_pylist()
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        yield pc.unique(column.drop_null()).to_pylist()


def _chunks(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    for path in paths:
        for offset in range(0, path.stat().st_size, _CHUNK_BYTES):
            yield path, offset


def _find_in_bytes(names: RemovedNames, seeks_texts: bool) -> _FindName:
    """Return the function that finds the first name in bytes."""
    keys = frozenset(key.encode() for key in names.keys)
    digests = frozenset(digest.encode() for digest in names.digests)
    prefixes = sorted({key.partition(b"-")[0] + b"-" for key in keys})  # the sources

    def find(data: bytes) -> str | None:
        name = _find_key(data, keys, prefixes) if keys else None
        if name is None and digests:
            name = _find_digest(data, digests)
        return names.find_text(data) if name is None and seeks_texts else name

    return find


def _find_key(data: bytes, deleted: frozenset[bytes], prefixes: list[bytes]) -> str | None:
    """Return the first deleted key in the bytes, or None."""
    for dash in _dashes_before_frames(data):
        match = _FRAMES.match(data, dash)
        if match is None:
            continue
        for digits in _HASH_DIGITS:
            tail = data[max(0, dash - digits) : match.end()]
            for prefix in prefixes:
                if prefix + tail in deleted and data.endswith(prefix, 0, dash - digits):
                    return (prefix + tail).decode()
    return None


def _dashes_before_frames(data: bytes) -> list[int]:
    """Return the positions of the dashes that begin -0000000-0000200-, or longer numbers.

    These are 17 bytes of digits and dashes in a row, so that two neighbours of the bytes at multiples of eight lie
    among them. Looking at each eighth byte first is what makes the search as fast as memory.
    """
    byte_N = np.frombuffer(data, np.uint8)
    is_digit_or_dash_M = byte_N[::_STEP] - _DASH <= _NINE - _DASH  # numbers below the dash wrap to large ones
    pair_K = np.flatnonzero(is_digit_or_dash_M[:-1] & is_digit_or_dash_M[1:])
    dash_K = np.unique((pair_K * _STEP)[:, None] - np.arange(_STEP + 1))
    dash_K = dash_K[(dash_K >= 0) & (dash_K < len(byte_N) - _LEAST_FRAME_DIGITS)]
    dash_K = dash_K[byte_N[dash_K] == _DASH]
    for step in range(_LEAST_FRAME_DIGITS, 0, -1):
        after_K = byte_N[dash_K + step]
        dash_K = dash_K[(after_K >= _ZERO) & (after_K <= _NINE)]
    positions: list[int] = dash_K.tolist()
    return positions


def _find_digest(data: bytes, digests: frozenset[bytes]) -> str | None:
    """Return the first digest in the bytes, or None.

    Of 64 hexadecimal digits in a row, four lie at multiples of sixteen: only where that is so, each byte is looked at.
    """
    is_hex_M = _IS_HEX[np.frombuffer(data, np.uint8)[::_DIGEST_STEP]]
    run_K = np.flatnonzero(is_hex_M[:-3] & is_hex_M[1:-2] & is_hex_M[2:-1] & is_hex_M[3:])
    for first in (run_K * _DIGEST_STEP).tolist():
        for start in range(max(0, first - _DIGEST_STEP + 1), first + 1):
            if (text := data[start : start + _DIGEST_DIGITS]) in digests:
                return text.decode()
    return None
