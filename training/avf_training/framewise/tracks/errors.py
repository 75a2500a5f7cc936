"""What can be wrong with a track that is read; each message names the file and what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from avf_shards.errors import FaultError, UserError
from avf_shards.text import count_noun

_MAX_NAMED = 5  # in one message


class MissingTrackError(UserError):
    """There is no track of this video by this extractor."""


class OtherTrackError(UserError):
    """The file holds a track of another extractor, video or input, or with vectors of another size."""


class DamagedTrackError(FaultError):
    """The file cannot be read as a track, or holds what no track may hold, such as nan."""

    def __init__(self, fault: str, remedy: str) -> None:
        """Keep the fault, a sentence with the path, apart from what to do about it."""
        super().__init__(f"{fault}; {remedy}")
        self.fault = fault


def list_bounded(sentences: Sequence[str]) -> str:
    """Return sentences, each on an indented line of its own; of more than five the first ones, and how many follow."""
    more = f"\n  and {len(sentences) - _MAX_NAMED:,} more" if len(sentences) > _MAX_NAMED else ""
    return "".join(f"\n  {sentence}" for sentence in sentences[:_MAX_NAMED]) + more


class DamagedFiles:
    """Collects damaged files while others are read, so that one message names them all."""

    def __init__(self) -> None:
        self.errors: list[DamagedTrackError] = []

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep the error of a damaged file that is read inside."""
        try:
            yield
        except DamagedTrackError as error:
            self.errors.append(error)

    def refuse(self) -> None:
        """Raise FaultError where a file was damaged; the error itself where it was one."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            listed = list_bounded([str(error) for error in self.errors])
            raise FaultError(f"{count_noun(len(self.errors), 'file')} cannot be read:{listed}")
