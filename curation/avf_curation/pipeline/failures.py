"""Errors as the ledger keeps them: a class and a message without paths, addresses or anything of one machine."""

import errno
import re
from dataclasses import dataclass

from avf_curation.media.types import MediaError


@dataclass(frozen=True, kw_only=True)
class FailureCause:
    """Where it failed and why."""

    stage: str
    error: str
    message: str


class InfrastructureError(Exception):
    """The machine, not the video: a full disk, a lost worker. Stops the run; nothing is decided."""


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)


def classify_failure(stage: str, error: BaseException) -> FailureCause:
    """The ledger's view of `error`. Raises InfrastructureError for what says nothing about the video."""
    if isinstance(error, MediaError):
        return FailureCause(stage=stage, error=error.kind, message=str(error))
    if isinstance(error, MemoryError):
        return FailureCause(stage=stage, error="out_of_memory", message="not enough memory")
    if isinstance(error, OSError):
        if error.errno in _FULL:
            raise InfrastructureError(f"{error.strerror}") from error
        return FailureCause(stage=stage, error="unreadable", message=error.strerror or type(error).__name__)
    return FailureCause(stage=stage, error=type(error).__name__, message=normalize_message(str(error)))


def normalize_message(message: str) -> str:
    """One line without paths, addresses, times and process numbers; at most 200 characters."""
    line = " ".join(message.split())
    line = re.sub(r"0x[0-9a-fA-F]+", "0x..", line)
    line = re.sub(r"(?:/[^\s/'\":,]+){2,}", "<path>", line)
    return line[:200]
