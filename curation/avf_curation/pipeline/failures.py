"""Turn errors into what the ledger records: a class and a message that are the same on every machine."""

import errno
import re
from dataclasses import dataclass

from avf_curation.media.types import MediaError


@dataclass(frozen=True, kw_only=True)
class FailureCause:
    """The stage in which an input failed, and why."""

    stage: str  # as in the ledger
    error: str  # a short class, such as decode, out_of_memory or an exception's name
    message: str  # one line without paths and addresses


class InfrastructureError(Exception):
    """The machine failed, not the video: a full disk, a lost worker. Stops the run; nothing is decided."""


# Disk full, quota used up, read-only file system, too many open files: all of them pass when the machine is mended.
_MACHINE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
_MAX_MESSAGE_CHARACTERS = 200


def classify_failure(stage: str, error: BaseException) -> FailureCause:
    """Return the cause that the ledger records for `error`.

    Raises InfrastructureError for errors that say nothing about the video.
    """
    if isinstance(error, InfrastructureError):  # an inner stage classified it already
        raise error
    if isinstance(error, MediaError):
        return FailureCause(stage=stage, error=error.kind, message=str(error))
    if isinstance(error, MemoryError):
        return FailureCause(stage=stage, error="out_of_memory", message="not enough memory")
    if isinstance(error, OSError):
        if error.errno in _MACHINE_ERRORS:
            raise InfrastructureError(f"{error.strerror}") from error
        return FailureCause(stage=stage, error="unreadable", message=error.strerror or type(error).__name__)
    return FailureCause(stage=stage, error=type(error).__name__, message=normalize_message(str(error)))


def normalize_message(message: str) -> str:
    """Return a message as one line without addresses and paths, at most 200 characters long.

    The ledger must not depend on the machine, and addresses and paths do.
    """
    line = " ".join(message.split())
    line = re.sub(r"0x[0-9a-fA-F]+", "0x..", line)
    line = re.sub(r"(?:/[^\s/'\":,]+){2,}", "<path>", line)
    return line[:_MAX_MESSAGE_CHARACTERS]
