"""Input of a trained model: shards, clips of `avf-curate clip`, or videos, from which clips are cut first."""

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.format.index import load_index, sidecar_path
from avf_shards.format.manifest import MANIFEST
from avf_shards.text import shell_word

log = logging.getLogger(__name__)


def find_shards(path: Path | str) -> str | None:
    """Return the folder of shards at `path`, or in it as `avf-curate clip` leaves it; None for videos.

    An address is always one of shards.
    """
    if "://" in str(path):
        return str(path)
    for folder in (Path(path) / "shards", Path(path)):
        if (folder / MANIFEST).is_file() or any(folder.glob("*.tar")):
            return str(folder)
    return None


def require_input(path: Path) -> None:
    """Raise UserError for an input that is neither shards nor video, before a model is loaded for it.

    Videos are told by their names and first bytes, and are not opened.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder; name a video, a folder of videos, or shards")
    if find_shards(path) is not None:
        return
    try:
        from avf_curation import holds_video
    except ImportError as error:
        raise _without_curation(path, error) from None
    if not holds_video(path):
        raise UserError(f"{path}: holds no video; name a video, a folder of videos, or shards")


def require_clip(shards: Path, key: str) -> None:
    """Raise UserError where a folder of shards has no clip of this key, before a model is loaded for it.

    Raises FaultError for a damaged sidecar.
    """
    if not any(key in load_index(sidecar_path(tar)).by_key() for tar in sorted(shards.glob("*.tar"))):
        raise UserError(f"{shards}: has no clip {key!r}; `avf-shards ls {shell_word(shards)} --keys` lists them")


def _without_curation(path: Path, error: ImportError) -> UserError:
    return UserError(
        f"{path}: is a video, and {error.name} is missing here; run `avf-curate clip` where curation is installed"
    )


def find_clipped_video(path: Path, video: str) -> Path | None:
    """Return the file of a video that clips were cut from, or None where it is not known or not there any more.

    Args:
        path: the input that the clips are of: a video, a folder of videos, the output of `avf-curate clip`, or shards.
        video: path of the video relative to its source's folder, as the clips' records have it.
    """
    if path.is_file():
        return path
    linked = (path / video, path / "in" / video)  # a folder of videos; the link that `avf-curate clip VIDEO` leaves
    return next((file.resolve() for file in linked if file.is_file()), None)


def is_one_video(path: Path) -> bool:
    """Return whether an input is a video file, or the clips that `avf-curate clip VIDEO` cut from one."""
    links = path / "in"
    return path.is_file() or (find_shards(path) is not None and links.is_dir() and len(list(links.iterdir())) == 1)


@contextmanager
def open_clips(
    path: Path | str, keep: Path | None = None, on_missed: Callable[[str], None] | None = None
) -> Iterator[str]:
    """Yield the folder of shards of an input. Clips that are cut from videos are removed at the end of the block.

    Raises UserError where the input does not exist, or shows no face.

    Args:
        path: a video file, a folder of videos, the output of `avf-curate clip`, or shards.
        keep: folder that keeps the clips of videos, and has them already where the same videos were cut before.
        on_missed: called with a sentence for each video that gives no clip, where others do; None: a warning.
    """
    shards = find_shards(path)
    if shards is not None:
        yield shards
        return
    with tempfile.TemporaryDirectory(prefix="avf-clips-") as temporary:
        yield str(_cut_clips(Path(path), keep or Path(temporary), on_missed or _warn))


def _warn(sentence: str) -> None:
    log.warning("%s", sentence)


def _cut_clips(videos: Path, out: Path, on_missed: Callable[[str], None]) -> Path:
    """Cut clips of the people in one video or in a folder of them; return the folder of shards."""
    require_input(videos)
    try:
        from avf_curation import clip_display, clip_videos
    except ImportError as error:
        raise _without_curation(videos, error) from None
    with clip_display(videos) as display:
        clips = clip_videos(videos, out, on_progress=display)
    if not clips.keys:
        raise UserError("\n".join(clips.missed.values()) or f"{videos}: holds no video")
    for sentence in (clips.missed | clips.copies).values():
        on_missed(sentence)
    log.info("%s: %d clips, tracked by %s", videos, len(clips.keys), clips.backends.track)
    return clips.shards
