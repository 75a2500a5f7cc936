"""Werewolf-XL: Werewolf-XL_Speaker_Video/07_01_200.mp4 (session_seat_n), and tables of labels and of players.

The owners publish no listing of their archives, so videos are searched by name below the folder.
"""

import re
from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.schema.labels import Labels

from avf_curation.sources.listing import ListedFile, Listing
from avf_curation.sources.owners_numbers import parse_number
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_curation.sources.types import Video

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


def list_videos(listing: Listing) -> Iterator[Video]:
    """Yield every clip that the table names.

    players.csv (session, seat, player) names who played in several sessions. Without this file each seat of a session
    counts as a person, and folds by subject cannot keep one player's clips together.

    Raises:
        UserError: there is no folder of clips or no table.
    """
    folder = next((name for name in _FOLDERS if listing.has_folder(name)), None)
    if folder is None:
        raise UserError(f"--source {NAME}={listing.root}: there is none of the folders {', '.join(_FOLDERS)} in it")
    videos = _find_videos(listing, folder)
    lines: dict[str, int] = {}
    table, labels = _read_labels(listing, lines)
    players = _read_players(listing)
    for name, file in sorted(videos.items()):
        values = labels.pop(name, None)
        if values is None:
            listing.skip("unlisted", file.path, f"{table} has no such row")
            continue
        session, seat = name.split("_")[:2]
        subject = players.get((int(session), int(seat)), f"{session}_{seat}")
        yield Video(
            source=NAME,
            video_id=name,
            group_id=f"{session}_{seat}",
            **file.stat_fields,
            speaker=subject,
            language="zh",
            labels=Labels(values=values, subject=subject, session=session),
        )
    for name in sorted(labels):
        listing.skip("missing", f"{table}: row {lines[name]}", f"no such clip: {name}")


def _find_videos(listing: Listing, folder: str) -> dict[str, ListedFile]:
    videos: dict[str, ListedFile] = {}
    for entry in listing.list_entries(folder, rf"{_NAME}\.(mp4|avi|mkv)|\d\d(_\d\d)?", "clip (session_seat_number)"):
        if entry.is_folder:
            videos |= listing.files_by_stem(entry.path, rf"{_NAME}\.(mp4|avi|mkv)", "clip (session_seat_number)")
        else:
            videos[entry.stem] = entry
    return videos


def _read_labels(listing: Listing, lines: dict[str, int]) -> tuple[str, dict[str, dict[str, str]]]:
    """Return the name of the owners' table, and clip -> labels; `lines` gets clip -> number of its row."""
    where = f"--source {NAME}={listing.root}"
    for name in sorted(path.name for path in listing.root.glob("*.csv")):
        if name == PLAYERS:
            continue
        path = listing.locate(name)
        rows: dict[str, dict[str, str]] = {}
        for number, row in read_rows(path, ("videoname",), where):
            axes = {axis: _mean_rating(row, letter) for axis, letter in _AXES}
            if not re.fullmatch(_NAME, row["videoname"]) or None in axes.values():
                listing.skip("bad_row", f"{path.name}: row {number}", "no VideoName, or no number of a dimension")
            else:
                values = {axis: value for axis, value in axes.items() if value is not None}
                lines[row["videoname"]] = number
                rows[row["videoname"]] = values | {"categorical": row.get("categorical", "")}
        return path.name, rows
    raise UserError(f"{where}: no .csv with VideoName and Mean_P, Mean_A, Mean_D in it")


def _mean_rating(row: dict[str, str], letter: str) -> str | None:
    """Return the number in a column such as Mean_P_1_2_3_4 (dimension and raters), or None for no number."""
    for name, value in row.items():
        if re.fullmatch(rf"mean_{letter}(_\d)*", name):
            return None if parse_number(value) is None else value
    return None


def _read_players(listing: Listing) -> dict[tuple[int, int], str]:
    path = listing.locate(PLAYERS)
    if not path.is_file():
        listing.skip(
            "missing", PLAYERS, "players in several sessions are unknown: each seat of a session counts as a person"
        )
        return {}
    rows = read_rows(path, ("session", "seat", "player"), f"--source {NAME}={listing.root}")
    players = {}
    for number, row in rows:
        session, seat = parse_integer(row["session"]), parse_integer(row["seat"])
        if session is None or seat is None:
            listing.skip("bad_row", f"{PLAYERS}: row {number}", "session or seat is no number")
        else:
            players[session, seat] = row["player"]
    return players
