"""Errors that commands show as one sentence instead of a traceback."""


class UserError(Exception):
    """A mistake in what the user gave. The message names the thing, the value and the fix; the exit status is 2."""


class FaultError(Exception):
    """Data on disk that differs from what its index says. The message names file, position and fault."""


class DeletedClipError(FaultError):
    """A clip that was deleted: its position in the stream order remains, its data does not."""


UNREADABLE_TORCH_FILE = (
    "not a file of torch, or it holds more than tensors; only tensors are read, because other objects in such a file "
    "can run code"
)
"""What is wrong with a weight file that cannot be read; the name of the file stands before it."""
