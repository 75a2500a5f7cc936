"""MSP-IMPROV: {Video,Audio}/sessionK/SENTENCE/SCENARIO/NAME.{avi,wav}, consensus labels in Evalution.txt.

The label is the raters' consensus, not the letter in the file name, which is the emotion the actors aimed at. The table
names the videos UTD-..., the files are named MSP-....
"""

import re
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels
from avf_shards.system.storage_faults import read_text

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import Video

NAME = "msp_improv"
ABOUT = (
    "MSP-IMPROV: the label is the raters' consensus in Evalution.txt, not the letter in the file name, which "
    "is the emotion the actors aimed at."
)
LABELLED = True
OWNERS_COUNT = 7_798
LAYOUT = "Evalution.txt, Video/session1/S01A/P/MSP-IMPROV-S01A-F01-P-FM01.avi, Audio/...wav (or side by side)"
LABELS = {"A": "ang", "H": "hap", "N": "neu", "S": "sad"}
_NAME = r"S(\d\d)([AHSN])-([MF])(\d\d)-([PRST])-([FM])([FM])(\d{2,3})"
_LINE = re.compile(rf"UTD-IMPROV-({_NAME})\.avi;\s*([A-Z])\s*;(.*)")
_FILE = re.compile(rf"MSP-IMPROV-({_NAME})\.(avi|wav|mp4)")
_NUMBER = re.compile(r"([AVDN]):\s*([-\d.]+)")


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every video whose raters agreed on one of four emotions.

    Raises:
        UserError: there is no table of labels.
    """
    table = next((name for name in ("Evalution.txt", "Evaluation.txt") if listing.has_file(name)), None)
    if table is None:
        raise UserError(
            f"--source {NAME}={listing.root}: there is no Evalution.txt in it (the owners spell the name so)"
        )
    lines: dict[str, int] = {}
    labels = _read_labels(listing, table, lines)
    videos: dict[str, ListedFile] = {}
    audio_files: dict[str, ListedFile] = {}
    stack = [name for name in ("Video", "Audio") if listing.has_folder(name)] or [""]
    while stack:
        below = stack.pop()
        for entry in listing.list_entries(below, r"(?!\.)[^.]+(\.(avi|wav|mp4))?", "video, audio or folder"):
            matched = _FILE.fullmatch(entry.name)
            if entry.is_folder:
                stack.append(entry.path)
            elif matched:
                (audio_files if entry.name.endswith(".wav") else videos).setdefault(matched[1], entry)
            elif below:
                listing.skip("unexpected", entry.path, "its name does not begin with MSP-IMPROV-S")
    for name, file in sorted(videos.items()):
        yield from _make_video(listing, name, file, audio_files.pop(name, None), labels.pop(name, None))
    for file in audio_files.values():
        listing.skip("missing", file.path, "there is no video of this name")
    for name in sorted(labels):
        listing.skip("missing", f"{table}:{lines[name]}", f"there is no video {name}")


def _make_video(
    listing: Listing, name: str, file: ListedFile, audio: ListedFile | None, row: dict[str, str] | None
) -> Iterator[Video]:
    matched = re.fullmatch(_NAME, name)
    assert matched is not None
    _, target, gender, session, scenario = matched.groups()[:5]
    if row is None:
        listing.skip("unlisted", file.path, "no row of the labels has this video")
        return
    if row["consensus"] not in LABELS:
        listing.skip("excluded", file.path, f"consensus {row['consensus']}: other, or none")
        return
    values = row | {"emotion": LABELS[row["consensus"]], "target": target, "scenario": scenario}
    speaker = f"{gender}{session}"
    yield Video(
        source=NAME,
        video_id=name,
        group_id=name.rsplit("-", 1)[0],
        **file.stat_fields,
        sound_path=audio.path if audio else None,
        own_sound_first=audio is not None,
        speaker=speaker,
        language="en",
        labels=Labels(values=values, subject=speaker, session=session),
    )


def _read_labels(listing: Listing, table: str, lines: dict[str, int]) -> dict[str, dict[str, str]]:
    """Return name -> consensus and mean ratings of the lines that begin with UTD-; single raters' lines lie between.

    `lines` gets name -> number of the line that counts.
    """
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(read_text(listing.locate(table), "utf-8", "replace").splitlines(), 1):
        if not line.startswith("UTD-"):
            continue
        matched = _LINE.match(line)
        if matched is None:
            listing.skip("bad_row", f"{table}:{number}", "is not UTD-IMPROV-NAME.avi; CODE; A:..; V:..; D:..; N:..;")
            continue
        names = {"A": "arousal", "V": "valence", "D": "dominance", "N": "naturalness"}
        # The pattern matches no NaN: a dimension without ratings stays out.
        means = {names[letter]: value for letter, value in _NUMBER.findall(matched.groups()[-1])}
        if matched[1] in rows:
            reason = f"{matched[1]} was listed before, in line {lines[matched[1]]}; line {number} counts"
            listing.skip("duplicate", f"{table}:{number}", reason)
        lines[matched[1]] = number
        rows[matched[1]] = {"consensus": matched.groups()[-2]} | means
    return rows
