"""What a user did or has that we cannot work with: shown as one sentence, never as a traceback."""


class UserError(Exception):
    """Names the thing, the value and the fix. Commands print it and exit with status 2."""


class FaultError(Exception):
    """Data on disk is not what its index says. The message names the file, the place and the fault."""


class DeletedClipError(FaultError):
    """A clip that was taken down: its place in the order is there, it is not."""
