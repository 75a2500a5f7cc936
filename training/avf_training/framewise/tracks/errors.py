"""What can be wrong with a track that is read; each message names the file and what to do."""

from avf_shards.errors import FaultError, UserError


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
