"""Decodes the sound of a file from outside in a process of its own, which a hostile file may fill and not outlive.

The child writes blocks of samples, each behind its number of samples (4 bytes), and at the end a 0 and a JSON object:
{"fault": null}, or what is wrong with the file. This module is both sides: run as a program it is the child. It loads
no torch. S samples, C channels.
"""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import av
import numpy as np
import numpy.typing as npt
from avf_shards.errors import FaultError
from avf_shards.system.child_process import end_with_parent, module_command
from avf_shards.system.memory_limit import lower_limit, reserved_memory_bytes
from avf_shards.system.storage_faults import open_plain, raise_machine_fault
from avf_shards.timeline import SAMPLE_RATE_HZ

from avf_training.data.media_faults import describe_media_fault

MAX_S = 6 * 3600  # of sound; what is longer is refused
_MAX_OFFSET_S = 3600.0  # between the starts of picture and sound
_NO_PROTOCOL = {"protocol_whitelist": "none"}  # FFmpeg opens no other file and no address that a file names
_SIZE = struct.Struct("<I")
_LONGEST_FAULT = 200  # characters


@dataclass(frozen=True, kw_only=True)
class DecodingLimits:
    """What the process that decodes a file may take."""

    cpu_s: int = 600  # six hours of sound take a minute or two
    wall_s: float = 3600.0  # a disk may be slow
    memory_bytes: int = 1_000_000_000  # beyond what Python and this module take; the samples are not held there

    def __str__(self) -> str:
        """Return the fault of a file that takes more."""
        return (
            f"its sound takes more than {self.cpu_s} s of CPU time, {self.wall_s:g} s, or "
            f"{self.memory_bytes / 1e6:,.0f} MB of memory"
        )


def decode_sound(
    path: Path, *, rate_hz: int = SAMPLE_RATE_HZ, limits: DecodingLimits | None = None
) -> npt.NDArray[np.float32]:
    """Return the first stream of sound as mono in -1..1, (S,), from the first picture of the file on.

    Sound that begins later than the picture has zeros before it. Raises FaultError, which names the file, also where it
    takes more than the limits allow, and OSError where the machine is at fault.
    """
    limits = limits or DecodingLimits()
    arguments = [str(os.getpid()), os.fspath(path), str(rate_hz), str(limits.cpu_s), str(limits.memory_bytes)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
    with subprocess.Popen(
        module_command(__name__, *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        process_group=0,  # Ctrl-C goes to the command alone, which ends this process
    ) as child:
        timer = threading.Timer(limits.wall_s, child.kill)
        timer.daemon = True
        timer.start()
        try:
            assert child.stdout is not None
            blocks, end = _read_blocks(child.stdout)
            status = child.wait() if end is None else 0
        finally:
            timer.cancel()
            child.kill()
    if end is None:
        raise FaultError(f"{path}: {limits if status < 0 else f'the process that decodes it ended with {status}'}")
    if end.get("errno") is not None:
        raise OSError(end["errno"], os.strerror(end["errno"]), str(path))
    if end["fault"] is not None:
        raise FaultError(f"{path}: {end['fault']}")
    return np.concatenate(blocks)


def _read_blocks(stream: IO[bytes]) -> tuple[list[npt.NDArray[np.float32]], dict[str, Any] | None]:
    """Return what the child wrote: its blocks, and its last word, None where it was ended before."""
    blocks: list[npt.NDArray[np.float32]] = []
    while len(head := stream.read(_SIZE.size)) == _SIZE.size:
        samples = _SIZE.unpack(head)[0]
        if not samples:
            text = stream.read()
            return blocks, json.loads(text) if text.endswith(b"}") else None
        data = stream.read(4 * samples)
        if len(data) < 4 * samples:
            break
        blocks.append(np.frombuffer(data, np.float32))
    return blocks, None


def _decode(path: Path, rate_hz: int) -> Iterator[npt.NDArray[np.float32]]:
    """Yield blocks of samples. Raises FaultError, FFmpeg's errors and OSError."""
    with open(path, "rb", opener=open_plain) as file, _open_media(file) as container:
        stream = next(iter(container.streams.audio), None)
        if stream is None:
            raise FaultError("has no sound")
        offset = round(_start_s(container) * rate_hz)
        if offset > 0:
            yield np.zeros(offset, np.float32)
        unheard, total = max(0, -offset), 0
        _forget_channel_order(stream)
        # Interleaved: PyAV 18 reads beyond the end of the list of planes where there are eight.
        resampler = av.AudioResampler(format="flt", rate=rate_hz)
        for decoded in chain(container.decode(stream), (None,)):
            for frame in resampler.resample(decoded):
                # The mean of the channels: FFmpeg's own mix is louder.
                block_S = frame.to_ndarray().reshape(-1, frame.layout.nb_channels).mean(1, dtype=np.float32)
                total += len(block_S)
                if total > MAX_S * rate_hz:
                    raise FaultError(f"has more than {MAX_S // 3600} hours of sound")
                heard_S, unheard = block_S[unheard:], max(0, unheard - len(block_S))
                if len(heard_S):
                    yield heard_S
        if not total:
            raise FaultError("its stream of sound is empty")


def _forget_channel_order(stream: "av.audio.stream.AudioStream") -> None:
    """Have the decoder use the usual layout of so many channels where the file lists their order.

    PyAV 18 frees such a list with the first frame and again with the second one, which ends the process. The mean of
    the channels does not depend on their order.
    """
    layout = stream.codec_context.layout
    if "+" in layout.name:
        try:
            stream.codec_context.layout = av.AudioLayout(f"{layout.nb_channels}c")
        except ValueError:  # no usual layout has so many
            stream.codec_context.layout = av.AudioLayout(f"{layout.nb_channels} channels")


@contextmanager
def _open_media(file: IO[bytes]) -> "Iterator[av.container.InputContainer]":
    """Yield the container in a file. Raises FaultError for an empty one, for which FFmpeg has no word."""
    if not os.fstat(file.fileno()).st_size:
        raise FaultError("is empty")
    with av.open(file, "r", options=_NO_PROTOCOL) as container:
        yield container


def _start_s(container: "av.container.InputContainer") -> float:
    """Return how many seconds after the first picture the sound begins; 0 without a picture, or where it is absurd."""
    starts = [
        float(stream.start_time * stream.time_base)
        for stream in (*container.streams.video[:1], *container.streams.audio[:1])
        if stream.start_time is not None and stream.time_base is not None
    ]
    offset_s = starts[1] - starts[0] if len(starts) == 2 else 0.0
    return offset_s if abs(offset_s) <= _MAX_OFFSET_S else 0.0


def _write_blocks(path: Path, rate_hz: int, out: IO[bytes]) -> None:
    """Write what the parent reads, with what is wrong as the last word."""
    fault: str | None = None
    errno: int | None = None
    try:
        for block_S in _decode(path, rate_hz):
            out.write(_SIZE.pack(len(block_S)) + np.ascontiguousarray(block_S, "<f4").tobytes())
    except FaultError as error:
        fault = str(error)
    except MemoryError:
        fault = "its sound asks for more memory than it may take"
    except Exception as error:  # PyAV raises errors of many kinds for damage
        try:
            raise_machine_fault(error)
        except OSError as machine:
            errno = machine.errno
        fault = f"its sound does not decode ({describe_media_fault(error)[:_LONGEST_FAULT]})"
    out.write(_SIZE.pack(0) + json.dumps({"fault": fault, "errno": errno}).encode())
    out.flush()


def main(argv: list[str]) -> None:
    """Decode a file under limits that hold for the rest of this process."""
    parent_pid, path, rate_hz, cpu_s, memory_bytes = argv
    end_with_parent(int(parent_pid), signal.SIGKILL)
    lower_limit(resource.RLIMIT_CORE, 0)
    lower_limit(resource.RLIMIT_CPU, int(cpu_s))
    lower_limit(resource.RLIMIT_DATA, (reserved_memory_bytes() or 0) + int(memory_bytes))
    _write_blocks(Path(path), int(rate_hz), sys.stdout.buffer)


if __name__ == "__main__":
    main(sys.argv[1:])
