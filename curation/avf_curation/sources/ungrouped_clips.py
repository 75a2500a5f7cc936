"""Clips of corpora that name neither the recording nor the speaker of a clip."""

from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video


def ungrouped_clip_input(
    listing: Listing, clip: ListedFile, *, language: str | None = None, labels: Labels | None = None
) -> Video:
    """Return a clip as an input that is a group of its own and has the file's name without extension as its id."""
    return Video(
        source=listing.source,
        video_id=clip.stem,
        group_id=clip.stem,
        **clip.stat_fields,
        language=language,
        labels=labels,
    )
