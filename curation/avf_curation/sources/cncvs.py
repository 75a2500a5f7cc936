"""CN-CVS and CN-Celeb-AV, the "CN-Celeb series": Mandarin face crops, silent mp4 with the audio in a second file.

    cncvs/news/n001/video/n001_00001_001.mp4       cncvs/news/n001/audio/n001_00001_001.wav
    cncvs/speech/s00001/video/s00001_00001_001.mp4
    final_video/id1000/interview-01-001.mp4        final_audio/..., final_metadata/id1000.json     (CN-Celeb-AV)

CN-Celeb 1 and 2 (OpenSLR 82, FLAC) hold audio without video and are no source of clips.
"""

import re
from collections.abc import Iterator
from typing import Any

from avf_shards.errors import UserError
from avf_shards.schema.labels import Origin
from avf_shards.system.storage_faults import raise_machine_fault, read_text
from avf_shards.text import load_json
from avf_shards.timeline import FRAMES_PER_SECOND

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

NAME = "cncvs"
ABOUT = (
    'CN-CVS and CN-Celeb-AV, the "CN-Celeb series": Mandarin face crops, a silent mp4 with its audio in a '
    "separate file. CN-Celeb 1 and 2 (OpenSLR 82) hold audio without video and are no source of clips."
)
LABELLED = False
OWNERS_COUNT = None
LAYOUT = (
    "{news,speech}/SPEAKER/{video,audio}/SPEAKER_SESSION_NNN.{mp4,wav}; final_{video,audio,metadata}/ (CN-Celeb-AV)"
)
_BRANCHES = {"news": r"n\d{3,}", "speech": r"s\d{3,}"}
_TIME = re.compile(r"(\d+):(\d\d):(\d\d):(\d\d)")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips of every part that the folder has.

    Raises:
        UserError: the folder has no part, or holds the audio of CN-Celeb alone.
    """
    base = "cncvs/" if listing.has_folder("cncvs") else ""
    branches = [branch for branch in _BRANCHES if listing.has_folder(base + branch)]
    celeb_av = listing.has_folder("final_video")
    audio_only = [name for name in ("CN-Celeb_flac", "CN-Celeb2_flac", "CN-Celeb", "data") if listing.has_folder(name)]
    if not branches and not celeb_av:
        if audio_only:
            raise UserError(
                f"--source {NAME}={listing.root}: this is CN-Celeb ({audio_only[0]}/), audio without video; "
                "the video corpora of the series are CN-CVS and CN-Celeb-AV"
            )
        raise UserError(f"--source {NAME}={listing.root}: no news/ or speech/ (CN-CVS), no final_video/ (CN-Celeb-AV)")
    for name in audio_only:
        listing.skip("excluded", name, "CN-Celeb holds audio without video")
    for branch in branches:
        for speaker in listing.list_entries(base + branch, _BRANCHES[branch], f"speaker of {branch}"):
            yield from _list_cncvs_videos(listing, speaker)
    if celeb_av:
        for speaker in listing.list_entries("final_video", r"id\d+", "speaker (id and digits)"):
            yield from _list_celeb_av_videos(listing, speaker)


def _make_video(
    listing: Listing, clip: ListedFile, sound: ListedFile | None, *, speaker: str, video: str, origin: Origin | None
) -> Video:
    return Video(
        source=listing.source,
        video_id=video,
        group_id=video.rpartition("_" if "_" in video else "-")[0] or video,
        **clip.stat_fields,
        sound_path=sound.path if sound else None,
        speaker=speaker,
        language="zh",
        origin=origin,
    )


def _list_cncvs_videos(listing: Listing, speaker: ListedFile) -> Iterator[Video]:
    pattern = rf"{re.escape(speaker.name)}_\d+_\d+"
    audio_files = listing.files_by_stem(f"{speaker.path}/audio", rf"{pattern}\.wav", "audio of this speaker")
    if not listing.has_folder(f"{speaker.path}/audio"):
        listing.skip("missing", f"{speaker.path}/audio", "no audio files: the audio track of the mp4 is used")
    for stem, clip in listing.files_by_stem(
        f"{speaker.path}/video", rf"{pattern}\.mp4", "clip of this speaker"
    ).items():
        yield _make_video(listing, clip, audio_files.pop(stem, None), speaker=speaker.name, video=stem, origin=None)
    for file in audio_files.values():
        listing.skip("missing", file.path, "the clip of this name is not in video/")


def _list_celeb_av_videos(listing: Listing, speaker: ListedFile) -> Iterator[Video]:
    audio_files = listing.files_by_stem(
        f"final_audio/{speaker.name}", r"[a-z]+-\d\d-\d{3}\.wav", "audio (GENRE-NN-NNN)"
    )
    origins = _read_origins(listing, f"final_metadata/{speaker.name}.json")
    for stem, clip in listing.files_by_stem(speaker.path, r"[a-z]+-\d\d-\d{3}\.mp4", "clip (GENRE-NN-NNN)").items():
        video = f"{speaker.name}-{stem}"
        yield _make_video(
            listing,
            clip,
            audio_files.pop(stem, None),
            speaker=speaker.name,
            video=video,
            origin=origins.pop(stem, None),
        )
    for file in audio_files.values():
        listing.skip("missing", file.path, "the clip of this name is not in final_video/")
    for stem in origins:
        listing.skip("missing", f"final_metadata/{speaker.name}.json: {stem}", "there is no clip of this name")


def _read_origins(listing: Listing, path: str) -> dict[str, Origin]:
    """Return clip -> the range of the video from which it was cut, as a collector's JSON tells."""
    try:
        entries = load_json(read_text(listing.locate(path), "utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise_machine_fault(error)
        listing.skip("bad_row", path, "cannot be read as JSON")
        return {}
    origins: dict[str, Origin] = {}
    for number, entry in enumerate(entries if isinstance(entries, list) else [entries]):
        try:
            start = _parse_time_s(entry["start_time"])
            name = str(entry["filename"]).rpartition("/")[2].split(".")[0]
            origins[name] = Origin(id=str(entry["url"]), start_s=start, stop_s=start + _parse_time_s(entry["duration"]))
        except (KeyError, TypeError, ValueError):
            listing.skip("bad_row", f"{path}[{number}]", "no url, start_time, duration and filename as the owners give")
    return origins


def _parse_time_s(text: Any) -> float:
    """Return the seconds of a time HH:MM:SS:FF; FF counts frames at 25 fps. Raises ValueError."""
    matched = _TIME.fullmatch(str(text))
    if matched is None:
        raise ValueError(text)
    hours, minutes, seconds, frames = (int(part) for part in matched.groups())
    return hours * 3600 + minutes * 60 + seconds + frames / FRAMES_PER_SECOND
