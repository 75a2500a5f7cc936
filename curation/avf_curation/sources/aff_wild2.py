"""Aff-Wild2: batch1/1-30-1280x720.mp4, labels of each frame in 6th_ABAW_Annotations/TASK/{Train_Set,Validation_Set}/.

An annotation belongs to one person. Where two persons of a video are annotated, the name of one or both ends with
_left or _right, and the video has neither.
"""

from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.frame_annotations import TrackAnnotations, read_annotations
from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Side, Video

NAME = "aff_wild2"
ABOUT = (
    "Aff-Wild2 (ABAW challenges): films with valence and arousal, expression or action units of every frame, one "
    "input for each annotated person. Films of the test lists have no labels."
)
LABELLED = True
OWNERS_COUNT = 594
LAYOUT = (
    "{batch1,batch2,new_vids}/1-30-1280x720.mp4, 6th_ABAW_Annotations/{VA_Estimation,EXPR_Recognition,AU_Detection}"
    "_Challenge/{Train,Validation}_Set/1-30-1280x720.txt, names_of_videos_in_each_test_set/*.txt"
)
VIDEO_FOLDERS = ("batch1", "batch2", "new_vids")
_FOLDER = "Aff-Wild2"
_VIDEO = r"(?i)(?!\.).+\.(mp4|avi|mov|mkv|webm|m4v|mpg|mpeg|wmv|flv)"

#: Share of the width at which the two persons of a film are parted, as the SUN team published it; else the middle.
SIDE_SHARES = {
    "46-30-484x360": 0.50,
    "6-30-1920x1080": 0.56,
    "video5": 0.50,
    "video10_1": 0.50,
    "video29": 0.46,
    "video49": 0.42,
    "video55": 0.48,
    "video59": 0.48,
    "video74": 0.50,
    "49-30-1280x720": 0.38,
    "135-24-1920x1080": 0.54,
    "130-25-1280x720": 0.62,
}
#: Films whose suffixed persons are looked for in the full frame.
FULL_FRAME = ("video2",)
_SIDES: tuple[Side, ...] = ("left", "right")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield an input for each person that an annotation or a test list names and whose film is there.

    Raises:
        UserError: there is no folder of films.
    """
    base = find_folder(listing, VIDEO_FOLDERS)
    videos: dict[str, ListedFile] = {}
    for folder in VIDEO_FOLDERS:
        for stem, file in listing.files_by_stem(f"{base}{folder}", _VIDEO, "film").items():
            if stem in videos:
                listing.skip("duplicate", file.path, f"the same name as {videos[stem].path}")
            else:
                videos[stem] = file
    tracks = read_annotations(listing, base)
    used: set[str] = set()
    for track, annotations in tracks.items():
        stem = track if track in videos else split_side(track)[0]
        film = videos.get(stem)
        if film is None:
            note_without_pictures(listing, annotations, f"no film {stem} in {', '.join(VIDEO_FOLDERS)}")
            continue
        used.add(stem)
        annotations.note_files(listing, track)
        side = None if stem in FULL_FRAME else _find_side(track, stem, set(tracks))
        yield Video(
            source=listing.source,
            video_id=track,
            group_id=stem,
            **film.stat_fields,
            labels=make_labels(annotations, stem),
            side=side,
            side_share=SIDE_SHARES.get(stem, 0.5),
        )
    for stem in sorted(videos.keys() - used):
        listing.skip("unlisted", videos[stem].path, "no annotation and no test list names it")


def find_folder(listing: Listing, folders: tuple[str, ...]) -> str:
    """Return the prefix below which one of the folders lies: "" or "Aff-Wild2/". Raises UserError."""
    for base in ("", f"{_FOLDER}/"):
        if any(listing.has_folder(f"{base}{folder}") for folder in folders):
            return base
    names = ", ".join(f"{folder}/" for folder in folders)
    raise UserError(
        f"--source {listing.source}={listing.root}: there is none of the folders {names} in it or in its {_FOLDER}/; "
        "`avf-curate sources ls` shows the owners' layout"
    )


def split_side(track: str) -> tuple[str, Side | None]:
    """Return the name of a person's film and the side that the end of the person's name states."""
    for side in _SIDES:
        if track.endswith(f"_{side}"):
            return track.removesuffix(f"_{side}"), side
    return track, None


def _find_side(track: str, stem: str, tracks: set[str]) -> Side | None:
    """Return on which side of the film a person is. One without a suffix is the other person beside one with it."""
    if track != stem:
        return split_side(track)[1]
    suffixed = [side for side in _SIDES if f"{stem}_{side}" in tracks]
    if len(suffixed) != 1:
        return None
    return "right" if suffixed[0] == "left" else "left"


def make_labels(annotations: TrackAnnotations, recording: str) -> Labels:
    """Return the labels of one person: the set of each task as text, and a fold that tests the validation set."""
    return Labels(
        values={f"{task}_set": name for task, name in annotations.sets.items()},
        session=recording,
        folds={task: int(name == "validation") for task, name in annotations.sets.items() if name != "test"},
        frames=annotations.frames,
    )


def note_without_pictures(listing: Listing, annotations: TrackAnnotations, reason: str) -> None:
    """Note each file, or line of a list, that annotates a person whose pictures are not there."""
    for task, where in annotations.files.items():
        listing.skip("missing", where, f"{task}: {reason}")
