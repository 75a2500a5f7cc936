"""MAFW: data/clips/NNNNN.mp4; labels and folds in "Train & Test Set"/{single,compound}/no_caption/set_K/*.txt.

A clip may be in the 11-label set, in the 43-label set, or in both. The owners' folds split by clip, as
the subjects are not known.
"""

from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import raise_machine_fault, read_text

from avf_curation.sources.listing import Listing
from avf_curation.sources.types import Video
from avf_curation.sources.ungrouped_clips import ungrouped_clip_input

NAME = "mafw"
ABOUT = (
    "MAFW: clips with 11 single and 43 compound expression labels; the owners' five folds are by clip, and "
    "subjects are not known."
)
LABELLED = True
OWNERS_COUNT = 10_045
LAYOUT = "data/clips/00025.mp4, 'Train & Test Set'/{single,compound}/no_caption/set_1..5/{train,test}.txt"
_SPLITS = ("Train & Test Set", "Train_Test_Set")  # a space in a path breaks some tools, so copies rename it
_FOLDS = range(1, 6)


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield the clips that a list names.

    Raises:
        UserError: the source has no lists or no clips.
    """
    split = next((name for name in _SPLITS if listing.has_folder(name)), None)
    if split is None or not listing.has_folder("data/clips"):
        raise UserError(f"--source {NAME}={listing.root}: {_SPLITS[0]}/ and data/clips/ must be in it")
    labels: dict[str, dict[str, str]] = {}
    first: dict[tuple[str, str], str] = {}  # clip and scheme -> where its label stands
    folds: dict[str, dict[str, int]] = {}
    for scheme in ("single", "compound"):
        for number in _FOLDS:
            for part in ("train", "test"):
                path = f"{split}/{scheme}/no_caption/set_{number}/{part}.txt"
                for where, stem, label in _read_list(listing, path):
                    before_at = first.setdefault((stem, scheme), where)
                    before = labels.setdefault(stem, {}).setdefault(scheme, label)
                    if before != label:
                        listing.skip("bad_row", where, f"{stem} has the label {label} here and {before} in {before_at}")
                    elif part == "test":
                        folds.setdefault(stem, {})[scheme] = number
    for stem, clip in listing.files_by_stem("data/clips", r"\d{5}\.mp4", "clip (five digits)").items():
        values = labels.pop(stem, None)
        if values is None:
            listing.skip("unlisted", clip.path, "in no list: neither the 11 nor the 43 labels of the owners have it")
            continue
        clip_labels = Labels(values=values, folds=dict.fromkeys(values, 0) | folds.get(stem, {}))
        yield ungrouped_clip_input(listing, clip, language="zh", labels=clip_labels)
    for stem in sorted(labels):
        where = first[stem, next(iter(labels[stem]))]
        listing.skip("missing", where, f"data/clips/ has no {stem}.mp4")


def _read_list(listing: Listing, path: str) -> Iterator[tuple[str, str, str]]:
    """Yield (file and line, stem, label) of a list without captions: `00025.mp4 anger`."""
    try:
        lines = read_text(listing.locate(path), "utf-8", "replace").splitlines()
    except OSError as error:
        raise_machine_fault(error)
        listing.skip("missing", path, f"a list of the owners cannot be read ({error.strerror})")
        return
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if len(fields) != 2 or not fields[0].endswith(".mp4"):
            if fields:
                listing.skip("bad_row", f"{path}:{number}", "is not NNNNN.mp4 LABEL")
            continue
        yield f"{path}:{number}", fields[0].removesuffix(".mp4"), fields[1]
