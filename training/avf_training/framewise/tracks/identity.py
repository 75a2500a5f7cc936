"""What a track is of: the extractor by its weights and settings, and the person of a video."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MAX_NAMED = 5  # persons or videos in one sentence
TRAINED_VIDEOS = "trained_videos.json"
"""Name of the file that says which videos a model was trained on; beside weights it is no part of their digest."""


@dataclass(frozen=True, kw_only=True)
class ExtractorIdentity:
    """An extractor, told apart from every other by its weights and settings."""

    name: str  # as `--extractor` takes it
    settings: str  # JSON object with sorted keys: what decides the vectors beside the weights
    weights_sha256: str  # of the file of the weights, in hexadecimal digits

    @classmethod
    def from_settings(
        cls, name: str, settings: Mapping[str, str | int | float | bool], weights_sha256: str
    ) -> "ExtractorIdentity":
        """Return the identity of an extractor with these settings."""
        return cls(name=name, settings=json.dumps(dict(settings), sort_keys=True), weights_sha256=weights_sha256)

    def add_settings(self, settings: Mapping[str, str | int | float | bool]) -> "ExtractorIdentity":
        """Return the identity with more settings."""
        return self.from_settings(self.name, {**json.loads(self.settings), **settings}, self.weights_sha256)

    @property
    def digest(self) -> str:
        """Return the SHA-256 of name, settings and weights, in hexadecimal digits."""
        return hashlib.sha256("\n".join((self.name, self.settings, self.weights_sha256)).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, order=True)
class TrackSubject:
    """Whose features a track holds."""

    source: str  # name of the corpus or folder that the video belongs to
    video_id: str  # unique within the source
    person: int = 0  # number of the person in the video; 0 where there is one

    def __str__(self) -> str:
        person = f", person {self.person + 1}" if self.person else ""
        return f"{self.source}/{self.video_id}{person}"


def name_some(subjects: Sequence[object]) -> str:
    """Return the names of the first persons or videos, and how many more there are."""
    more = f" and {len(subjects) - _MAX_NAMED:,} more" if len(subjects) > _MAX_NAMED else ""
    return f"{', '.join(map(str, subjects[:_MAX_NAMED]))}{more}"
