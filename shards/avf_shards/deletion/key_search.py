"""Search files for the keys of deleted clips: one pass over the bytes, on all cores, however many keys there are."""

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from avf_shards.system.storage_faults import retry_read

_CHUNK_BYTES = 4 << 20  # of a file that a thread searches at once: half a core's cache, with what it computes
_LONGEST_KEY = 160  # bytes; chunks overlap by that
_FRAMES = re.compile(rb"-\d{7,}-\d{7,}-\d+")  # of a key, after the hash of its video
_HASH_DIGITS = (32, 12)  # as they are written, and as they were in older shards
_DASH, _ZERO, _NINE = ord("-"), ord("0"), ord("9")
_LEAST_FRAME_DIGITS = 7
_STEP = 8  # bytes between two that are looked at first


def search_keys(paths: Iterable[Path], keys: Iterable[str]) -> tuple[int, dict[Path, str]]:
    """Return the number of bytes that were read, and file -> a key of `keys` that it holds. Raises OSError."""
    deleted = frozenset(key.encode() for key in keys)
    prefixes = sorted({key.partition(b"-")[0] + b"-" for key in deleted})  # the sources
    searched = 0
    holding: dict[Path, str] = {}

    def search(chunk: tuple[Path, int]) -> tuple[Path, int, str | None]:
        path, offset = chunk

        def read() -> bytes:
            with open(path, "rb") as file:
                return os.pread(file.fileno(), _CHUNK_BYTES + _LONGEST_KEY, offset)

        data = retry_read(read, path)
        return path, min(len(data), _CHUNK_BYTES), _find_key(data, deleted, prefixes)

    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        for path, size, key in pool.map(search, _chunks(paths)):
            searched += size
            if key is not None:
                holding.setdefault(path, key)
    return searched, holding


def _chunks(paths: Iterable[Path]) -> Iterator[tuple[Path, int]]:
    for path in paths:
        for offset in range(0, path.stat().st_size, _CHUNK_BYTES):
            yield path, offset


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
