"""MSP-IMPROV: {Video,Audio}/sessionK/SENTENCE/SCENARIO/NAME.{avi,wav}, consensus labels in Evalution.txt.

The label is the raters' consensus, not the letter in the name, which is what the actors aimed at. Labels name the films
UTD-..., the files MSP-....
"""

import re
from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.types import SkippedInput, Video

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


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every film with a consensus of four emotions. Raises UserError without the labels."""
    listing = Listing("msp_improv", root, skipped_inputs)
    table = next((name for name in ("Evalution.txt", "Evaluation.txt") if (root / name).is_file()), None)
    if table is None:
        raise UserError(f"--source msp_improv={root}: no Evalution.txt (so the owners spell it) in it")
    labels = _labels(listing, table)
    films: dict[str, ListedFile] = {}
    sounds: dict[str, ListedFile] = {}
    stack = [name for name in ("Video", "Audio") if listing.has(name)] or [""]
    while stack:
        below = stack.pop()
        for one in listing.entries(below, r"(?!\.)[^.]+(\.(avi|wav|mp4))?", "film, sound or folder"):
            matched = _FILE.fullmatch(one.name)
            if one.folder:
                stack.append(one.path)
            elif matched:
                (sounds if one.name.endswith(".wav") else films).setdefault(matched[1], one)
            elif below:
                listing.note("unexpected", one.path, "its name is not MSP-IMPROV-S..")
    for name, film in sorted(films.items()):
        yield from _film(listing, name, film, sounds.pop(name, None), labels.pop(name, None))
    for left in sounds.values():
        listing.note("missing", left.path, "the film of this name is not here")
    for name in sorted(labels):
        listing.note("missing", f"{table}: {name}", "listed, but no such film is here")


def _film(
    listing: Listing, name: str, film: ListedFile, sound: ListedFile | None, told: dict[str, str] | None
) -> Iterator[Video]:
    matched = re.fullmatch(_NAME, name)
    assert matched is not None
    _, target, gender, session, scenario = matched.groups()[:5]
    if told is None:
        listing.note("unlisted", film.path, "no row of the labels has this film")
        return
    if told["consensus"] not in LABELS:
        listing.note("excluded", film.path, f"consensus {told['consensus']}: other, or none")
        return
    values = told | {"emotion": LABELS[told["consensus"]], "target": target, "scenario": scenario}
    speaker = f"{gender}{session}"
    yield Video(
        source="msp_improv",
        video_id=name,
        group_id=name.rsplit("-", 1)[0],
        **film.file,
        sound_path=sound.path if sound else None,
        own_sound_first=sound is not None,
        speaker=speaker,
        language="en",
        labels=Labels(values=values, subject=speaker, session=session),
    )


def _labels(listing: Listing, table: str) -> dict[str, dict[str, str]]:
    """Name -> consensus and mean ratings, of the lines that begin with UTD-; raters' lines and blanks lie between."""
    found: dict[str, dict[str, str]] = {}
    for number, line in enumerate((listing.root / table).read_text("utf-8", "replace").splitlines(), 1):
        if not line.startswith("UTD-"):
            continue
        matched = _LINE.match(line)
        if matched is None:
            listing.note("bad_row", f"{table}:{number}", "is not UTD-IMPROV-NAME.avi; CODE; A:..; V:..; D:..; N:..;")
            continue
        names = {"A": "arousal", "V": "valence", "D": "dominance", "N": "naturalness"}
        means = {names[one]: value for one, value in _NUMBER.findall(matched.groups()[-1])}  # NaN is no number
        if matched[1] in found:
            listing.note("duplicate", f"{table}:{number}", f"{matched[1]} was listed before")
        found[matched[1]] = {"consensus": matched.groups()[-2]} | means
    return found
