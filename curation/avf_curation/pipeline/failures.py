"""Turn errors into what the ledger records: a class and a message that are the same on every machine."""

import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from avf_shards.system.storage_faults import describe_fault, is_ffmpeg_error, is_machine_fault

from avf_curation.media.types import MediaError
from avf_curation.stages.definition import PackageFaultError


@dataclass(frozen=True, kw_only=True)
class FailureCause:
    """The stage in which an input failed, and why."""

    stage: str  # as in the ledger
    error: str  # a short class, such as decode, out_of_memory or an exception's name
    message: str  # one line without paths and addresses


class InfrastructureError(Exception):
    """The machine failed, not the video: a full disk, a lost worker. Stops the run; nothing is decided."""


class PassingFaultError(InfrastructureError):
    """A fault of the machine that may pass or be one machine's alone: its unit is tried again after all others.

    A video never fails for it. Where it stays, the run ends with an error, and the unit is undecided.
    """

    kind = "machine"  # for the shares of the circuit breaker


class StorageError(PassingFaultError):
    """A file could not be read or written because of the machine."""

    kind = "storage"

    def __init__(self, message: str, path: str | None = None, number: int | None = None) -> None:
        """Describe the fault.

        Args:
            path: the file or folder, where it is known.
            number: the errno.
        """
        super().__init__(message)
        self.path, self.number = path, number


class BrokenToolError(PassingFaultError):
    """A library or a file of the program is missing or cannot be loaded."""

    kind = "library"


class OtherWeightsError(InfrastructureError):
    """A worker loaded other weights than the run measures with. No other try helps, on any machine."""


class OtherCodeError(OtherWeightsError):
    """A worker has other code of a stage of a package than the run began with."""


class MemoryShortageError(InfrastructureError):
    """Memory ran out in a worker that other work shares. The unit is tried again with each video in its own process."""


_STOPS_AT_ONCE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# What a process or a machine has too little of: never about the file that was read.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS, errno.EINTR)
_MAX_MESSAGE_CHARACTERS = 200
FAILURE_SENTENCES: Mapping[str, str] = {
    "missing": "The file does not exist, or its source's folder is not known.",
    "unreadable": "The file cannot be read as a file, and the machine is not to blame; or each of three reads failed "
    "with the same error of the storage, and the run was started with --fail-unreadable.",
    "input_changed": "The file was changed after the plan was made or while it was read: `retry` decides it anew.",
    "not_media": "The file cannot be opened as audio or video, or the images of a folder are no video.",
    "no_streams": "The file has neither a picture nor a sound that can be decoded.",
    "no_picture": "The input has sound but no video.",
    "no_frames": "The video has no frame that can be decoded.",
    "picture_size": "The frames are smaller than can be used, or larger than media.max_pixels.",
    "hdr": "The picture has colours that cannot be converted to BT.709: Dolby Vision profile 5 or ICtCp.",
    "absurd_packets": "The file has more than ten million packets, many more than hours of picture and sound need.",
    "absurd_timestamps": "The timestamps run past media.max_duration_s, or start again thousands of times.",
    "absurd_sound": "The sound has less than 4,000 or more than 2,000,000 samples a second, or is hours long in "
    "a file of kilobytes.",
    "range_outside": "The file ends before the range that a corpus names begins, or before that range ends.",
    "cut_off": "The file declares more than can be decoded: it ends early, or goes on in another codec.",
    "damaged": "These pictures cannot be trusted: data are damaged or lost here or since the last key frame, or the "
    "clocks of picture and sound contradict each other.",
    "unplaced_frames": "The timestamps are wrong: more than 5 % of the frames have no place of their own.",
    "unplaced_sound": "The timestamps are wrong: more than 1 % of the sound lies over other sound.",
    "decode": "A part that was decoded once does not decode a second time.",
    "memory_limit": "Opening or decoding the file asks for more memory than a file of its size needs, such as sixteen "
    "references of 67 million pixels in a small file; or the video took more than run.video_memory_mb in a process of "
    "its own.",
    "cpu_limit": "The video took more CPU time than run.video_cpu_s, in a process of its own.",
    "time_limit": "The video took too long, in a process of its own.",
    "machine_lost": "A machine was lost twice while this video alone was curated, in a process of its own.",
    "package_fault": "What an installed package adds raised an error, or returned what is no measurement; the message "
    "names the package, whose owners can mend it.",
    "killed": "The process of this video alone died of a signal: the file crashes a decoder.",
}
"""Kind of a failure in the ledger -> why. Any other kind is the name of a Python exception: a fault of the program."""
# The machine may be to blame for these: where they are many, they say nothing about the files.
_DOUBTFUL_KINDS = ("missing", "unreadable", "input_changed", "killed", "package_fault")


def classify_failure(stage: str, error: BaseException) -> FailureCause:
    """Return the cause that the ledger records for `error`.

    Raises InfrastructureError for errors that say nothing about the video; a StorageError names the path and the errno.
    """
    if isinstance(error, InfrastructureError):  # an inner stage classified it already
        raise error
    if isinstance(error, MediaError):
        return FailureCause(stage=stage, error=error.kind, message=str(error))
    if isinstance(error, PackageFaultError):
        return FailureCause(stage=stage, error="package_fault", message=normalize_message(str(error)))
    if isinstance(error, MemoryError):
        raise MemoryShortageError("a worker had not enough memory for a video") from error
    if is_machine_fault(error):
        raise machine_fault(error) from error
    if _is_broken_tool(error):
        raise BrokenToolError(f"{type(error).__name__}: {error}") from error
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return FailureCause(stage=stage, error="missing", message="the file does not exist")
    if isinstance(error, OSError):
        return FailureCause(stage=stage, error="unreadable", message=error.strerror or type(error).__name__)
    return FailureCause(stage=stage, error=type(error).__name__, message=normalize_message(str(error)))


def is_files_own(kind: str) -> bool:
    """Return whether a kind of failure says something about the file, and not perhaps about machine or program."""
    return kind in FAILURE_SENTENCES and kind not in _DOUBTFUL_KINDS


def _is_broken_tool(error: BaseException) -> bool:
    """Return whether an error is one of loading a library, or of a file that is not an input."""
    if isinstance(error, ImportError):
        return True
    # ctypes raises an OSError without a number for a library; tempfile raises ENOENT without a path for a folder.
    if not isinstance(error, OSError) or is_ffmpeg_error(error):
        return False
    return error.errno is None or (isinstance(error, FileNotFoundError) and error.filename is None)


def unreadable_failure(error: StorageError, inputs: Iterable[Path]) -> FailureCause | None:
    """Return the failure of a video whose file cannot be read; None where the error is not about a file of its own.

    Args:
        inputs: the video's files and folders.
    """
    if error.path is None or error.number is None or error.number in _SHORTAGES:
        return None
    if not any(Path(error.path).is_relative_to(path) for path in inputs):
        return None
    name = errno.errorcode.get(error.number, str(error.number))
    message = f"{name}, {os.strerror(error.number)}; each of several reads failed so"
    return FailureCause(stage="open", error="unreadable", message=message)


def machine_fault(error: BaseException) -> InfrastructureError:
    """Return the error of the machine that an OSError stands for, with the path and the errno.

    It is a StorageError where the fault may pass. A full disk does not empty itself, and an object store that was away
    for a minute is not asked again for each unit that is left.
    """
    assert isinstance(error, OSError)
    if error.errno in _STOPS_AT_ONCE or getattr(error, "was_repeated", False):
        return InfrastructureError(describe_fault(error))
    path = None if error.filename is None else os.fsdecode(error.filename)
    return StorageError(describe_fault(error), path, error.errno)


def normalize_message(message: str) -> str:
    """Return a message as one line without addresses and paths, at most 200 characters long.

    The ledger must not depend on the machine, and addresses and paths do.
    """
    line = " ".join(message.split())
    line = re.sub(r"0x[0-9a-fA-F]+", "0x..", line)
    line = re.sub(r"(?:/[^\s/'\":,]+){2,}", "<path>", line)
    return line[:_MAX_MESSAGE_CHARACTERS]
