"""What decoders say of media that they cannot read, without their numbers and names of functions. Loads no torch."""

import av


def describe_media_fault(error: Exception) -> str:
    """Return why media do not decode, in words for somebody who knows no FFmpeg."""
    if isinstance(error, av.error.InvalidDataError):
        return "its data are damaged or cut off"
    if isinstance(error, av.error.EOFError):
        return "it ends too early"
    if isinstance(error, av.error.FFmpegError | OSError) and error.strerror:
        return error.strerror[:1].lower() + error.strerror[1:]
    return (str(error).splitlines() or [type(error).__name__])[0]
