"""AVCAffe: videos/shorter_segments/PARTICIPANT/task_N/SEGMENT.avi, labels per task in ground_truths/."""

from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import raise_machine_fault, read_text

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import Video

NAME = "avcaffe"
ABOUT = "AVCAffe: segments of video calls; the labels (arousal and valence) belong to a participant and a task."
LABELLED = True
OWNERS_COUNT = 58_112
LAYOUT = "ground_truths/{arousal,valence}.txt, videos/shorter_segments/aiim001/task_1/*.avi, info/no_audio_files.txt"
LABELS = {
    "arousal": ("Excited", "Wide-awake", "Neutral", "Dull", "Calm"),
    "valence": ("Pleasant", "Pleased", "Neutral", "Unsatisfied", "Unpleasant"),
}
_SEGMENTS = "videos/shorter_segments"


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every segment of a participant's task that has labels.

    Raises:
        UserError: there is no folder of segments, or a label file cannot be read.
    """
    base = listing.find_base("avcaffe", _SEGMENTS)
    labels: dict[str, dict[str, str]] = {}
    first: dict[str, str] = {}  # task of a participant -> where its first label stands
    for name in LABELS:
        for where, key, label in _read_labels(listing, f"{base}ground_truths/{name}.txt", name):
            labels.setdefault(key, {})[name] = label
            first.setdefault(key, where)
    silent = _read_names(listing.locate(f"{base}info/no_audio_files.txt"))
    used: set[str] = set()
    for participant in listing.list_entries(f"{base}{_SEGMENTS}", r"aiim\d{3}", "participant (aiim and three digits)"):
        for task in listing.list_entries(participant.path, r"task_\d", "task (task_1 to task_9)"):
            key = f"{participant.name}_{task.name}"
            task_labels = labels.get(key)
            segments = listing.files_by_stem(task.path, r"(?!\.).+\.(avi|mp4)", "segment")
            if task_labels is None:
                listing.skip("unlisted", task.path, f"{len(segments)} segments: no label of {key}")
                continue
            used.add(key)
            for stem, clip in segments.items():
                values = task_labels | {"task": task.name} | ({"speech": "none"} if stem in silent else {})
                yield Video(
                    source=NAME,
                    video_id=f"{key}/{stem}",
                    group_id=key,
                    **clip.stat_fields,
                    speaker=participant.name,
                    language="en",
                    labels=Labels(values=values, subject=participant.name, session=key),
                )
    for key in sorted(set(labels) - used):
        listing.skip("missing", first[key], f"{key} is labelled, but has no segment")


def _read_labels(listing: Listing, path: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield (file and line, PARTICIPANT_task_N, label) of `aiim001_task_1, Neutral`; headings have no comma."""
    try:
        lines = read_text(listing.locate(path), "utf-8", "replace").splitlines()
    except OSError as error:
        raise UserError(f"{listing.root / path}: cannot be read ({error.strerror})") from None
    for number, line in enumerate(lines, 1):
        key, comma, label = (part.strip() for part in line.partition(","))
        if not comma:
            continue
        if label not in LABELS[name]:
            listing.skip("bad_row", f"{path}:{number}", f"{label!r} is not one of {', '.join(LABELS[name])}")
            continue
        yield f"{path}:{number}", key, label


def _read_names(path: Path) -> set[str]:
    """Return the file names of a list, one per line, without extension; an empty set where there is no list."""
    try:
        lines = read_text(path, "utf-8", "replace").splitlines()
    except OSError as error:
        raise_machine_fault(error)
        return set()
    return {Path(line.strip()).stem for line in lines if line.strip()}
