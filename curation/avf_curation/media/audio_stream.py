"""Chooses the sound track of an input that has several, as a player does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_DEFAULT = 0x1  # AV_DISPOSITION_DEFAULT: what a player plays unless the viewer chooses
# Comment, lyrics, hearing impaired, visual impaired and clean effects: made for a viewer who asks for them.
_BESIDE_THE_FILM = 0x8 | 0x10 | 0x80 | 0x100 | 0x200


@dataclass(frozen=True, kw_only=True)
class AudioStreamChoice:
    """The sound track that was read, and how many there were."""

    index: int  # position among the sound tracks of the file, from 0
    count: int  # sound tracks of the file
    language: str | None = None  # as the file tags the track, such as "eng"; None where it does not


def choose_audio_stream(streams: Sequence[Any], languages: Sequence[str]) -> AudioStreamChoice:
    """Return the track in the first of `languages` that there is, else the track that a player picks.

    A player picks the track with the default flag. Of several such tracks, and where no track has the flag, the first
    is taken; commentaries and audio descriptions only where there is nothing else.

    Args:
        streams: the sound tracks of a container, at least one.
        languages: codes as files tag them, such as "eng" or "en"; the first counts most.
    """
    preferred = [_primary_subtag(language) for language in languages]

    def rank(index: int) -> tuple[int, bool, bool, int]:
        language = _primary_subtag(_language(streams[index]) or "")
        disposition = int(streams[index].disposition)
        by_language = preferred.index(language) if language in preferred else len(preferred)
        return by_language, bool(disposition & _BESIDE_THE_FILM), not disposition & _DEFAULT, index

    index = min(range(len(streams)), key=rank)
    return AudioStreamChoice(index=index, count=len(streams), language=_language(streams[index]))


def _language(stream: Any) -> str | None:
    language = stream.language
    return language if language and language != "und" else None


def _primary_subtag(language: str) -> str:
    """Return "en" for "en-US"."""
    return language.lower().replace("_", "-").partition("-")[0]
