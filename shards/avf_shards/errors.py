"""Errors that commands show as one sentence instead of a traceback."""


class UserError(Exception):
    """A mistake in what the user gave. The message names the thing, the value and the fix; the exit status is 2."""


class FaultError(Exception):
    """Data on disk that differs from what its index says. The message names file, position and fault."""


class DeletedClipError(FaultError):
    """A clip that was deleted: its position in the stream order remains, its data does not."""
