"""Werewolf-XL: Werewolf-XL_Speaker_Video/07_01_200.mp4 (session_seat_n), a label table, and who sat where.

How the owners' archives are laid out inside is nowhere shown: films are looked for by name below the folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.spreadsheet import read_rows
from avf_curation.sources.types import SkippedInput, Video

NAME = "werewolf_xl"
ABOUT = (
    "Werewolf-XL: clips of players in a game, with valence, arousal and dominance. An optional players.csv "
    "(session, seat, player) tells which seats are the same person in several sessions."
)
LABELLED = True
OWNERS_COUNT = 14_632
LAYOUT = "Werewolf-XL_Speaker_Video/07_01_200.mp4, a .csv with VideoName, Mean_P..., Mean_A..., Mean_D..., players.csv"
_NAME = r"(\d\d)_(\d\d)_(\d+)"
_FOLDERS = ("Werewolf-XL_Speaker_Video", "Speaker_Video", "video")
PLAYERS = "players.csv"
_AXES = (("arousal", "a"), ("valence", "p"), ("dominance", "d"))


def read(root: Path, skipped_inputs: list[SkippedInput]) -> Iterator[Video]:
    """Every clip that the table names. Raises UserError for a folder without clips or table.

    players.csv (session, seat, player) tells who came again in another session; without it a seat of a session is one
    person, and folds by subject cannot keep players apart.
    """
    listing = Listing("werewolf_xl", root, skipped_inputs)
    folder = next((name for name in _FOLDERS if listing.has(name)), None)
    if folder is None:
        raise UserError(f"--source werewolf_xl={root}: none of {', '.join(_FOLDERS)} is there")
    films = _films(listing, folder)
    table, labels = _labels(listing)
    players = _players(listing)
    for name, film in sorted(films.items()):
        told = labels.pop(name, None)
        if told is None:
            listing.note("unlisted", film.path, f"{table} has no such row")
            continue
        session, seat = name.split("_")[:2]
        subject = players.get((int(session), int(seat)), f"{session}_{seat}")
        yield Video(
            source="werewolf_xl",
            video_id=name,
            group_id=f"{session}_{seat}",
            **film.file,
            speaker=subject,
            language="zh",
            labels=Labels(values=told, subject=subject, session=session),
        )
    for name in sorted(labels):
        listing.note("missing", f"{table}: {name}", "no such clip")


def _films(listing: Listing, folder: str) -> dict[str, ListedFile]:
    found: dict[str, ListedFile] = {}
    for one in listing.entries(folder, rf"{_NAME}\.(mp4|avi|mkv)|\d\d(_\d\d)?", "clip (session_seat_number)"):
        if one.folder:
            found |= listing.by_stem(one.path, rf"{_NAME}\.(mp4|avi|mkv)", "clip (session_seat_number)")
        else:
            found[one.stem] = one
    return found


def _labels(listing: Listing) -> tuple[str, dict[str, dict[str, str]]]:
    where = f"--source werewolf_xl={listing.root}"
    for path in sorted(listing.root.glob("*.csv")):
        if path.name == PLAYERS:
            continue
        found: dict[str, dict[str, str]] = {}
        for number, row in read_rows(path, ("videoname",), where):
            axes = {axis: _mean(row, letter) for axis, letter in _AXES}
            if not re.fullmatch(_NAME, row["videoname"]) or None in axes.values():
                listing.note("bad_row", f"{path.name}: row {number}", "no VideoName, or no number of a dimension")
            else:
                told = {axis: value for axis, value in axes.items() if value is not None}
                found[row["videoname"]] = told | {"categorical": row.get("categorical", "")}
        return path.name, found
    raise UserError(f"{where}: no .csv with VideoName and Mean_P, Mean_A, Mean_D is there")


def _mean(row: dict[str, str], letter: str) -> str | None:
    """The column Mean_P_1_2_3_4 and the like: which raters it is of is in its name."""
    for name, value in row.items():
        if re.fullmatch(rf"mean_{letter}(_\d)*", name):
            try:
                float(value)
            except ValueError:
                return None
            return value
    return None


def _players(listing: Listing) -> dict[tuple[int, int], str]:
    path = listing.root / PLAYERS
    if not path.is_file():
        listing.note("missing", PLAYERS, "who came again in another session is unknown: each seat counts as a person")
        return {}
    rows = read_rows(path, ("session", "seat", "player"), f"--source werewolf_xl={listing.root}")
    return {(int(row["session"]), int(row["seat"])): row["player"] for _, row in rows if row["session"].isdigit()}
