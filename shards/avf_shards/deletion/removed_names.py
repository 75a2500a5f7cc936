"""What a takedown must leave in no file: keys of clips, digests of inputs, and names of videos."""

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from avf_shards.format.denied_inputs import INPUT_COLUMNS, denied_rows
from avf_shards.format.denylist import Denylist
from avf_shards.format.run_folder import RunFolder
from avf_shards.schema.ledger import TAKEDOWN, newest_decisions

#: A shorter id, or one of digits alone, is also an ordinary word or number: it counts after the name of its source.
_SHORTEST_ID = 6
_BEFORE, _AFTER = rb"(?<![\w\-])", rb"(?![\w\-]|\.\w)"
_BEFORE_ID = rb"(?<![\w\-.])"
_COLUMNS_OF_CLIPS = (*INPUT_COLUMNS, "stage", "status", "attempt", "unit", "clips")


@dataclass(frozen=True, kw_only=True)
class RemovedNames:
    """Names that a takedown removed, in the forms in which files hold them."""

    keys: frozenset[str] = frozenset()  # of clips
    digests: frozenset[str] = frozenset()  # SHA-256 of inputs of which nothing is left
    videos: frozenset[tuple[str, str]] = frozenset()  # (source, id) of inputs of which nothing is left
    ids: frozenset[str] = frozenset()  # ids and paths of `videos` that no other input of the run has

    @property
    def longest_bytes(self) -> int:
        """Return a number of bytes that no name exceeds, with the byte before and the two after it."""
        longest = max(map(len, self.texts), default=0)
        return max(200, longest + 3)

    @cached_property
    def texts(self) -> dict[bytes, re.Pattern[bytes]]:
        """Return each text that names a video -> the pattern that matches it where it is no part of another name."""
        patterns = {}
        for source, video in sorted(self.videos):
            for text in _forms(f"{source}/{video}"):
                patterns[text] = re.compile(_BEFORE + re.escape(text) + _AFTER)
        for name in sorted(self.ids):
            if len(name) >= _SHORTEST_ID and not name.isdigit():
                for text in _forms(name):
                    patterns[text] = re.compile(_BEFORE_ID + re.escape(text) + _AFTER)
        return patterns

    def find_text(self, data: bytes) -> str | None:
        """Return the first name of a video in the bytes, as it is written there, or None."""
        for text, pattern in self.texts.items():
            if text in data and pattern.search(data):
                return text.decode()
        return None


def _forms(name: str) -> Iterator[bytes]:
    """Yield a name as plain text, JSON, HTML and a web address write it, each form once."""
    forms = (name, json.dumps(name)[1:-1], html.escape(name), quote(name))
    yield from dict.fromkeys(form.encode("utf-8", "surrogateescape") for form in forms)


def names_in_run(run: RunFolder, denylist: Denylist) -> RemovedNames:
    """Return what the denylist removed from a run, now and in earlier calls: the run's files still tell it."""
    table = run.ledger(columns=["source", "video_id", "path", "stage"])
    removed: dict[tuple[str, str], bool] = {}
    paths: dict[tuple[str, str], str] = {}
    for source, video, path, stage in zip(*(column.to_pylist() for column in table.columns), strict=True):
        removed[source, video] = removed.get((source, video), True) and stage == TAKEDOWN
        paths[source, video] = path
    videos = frozenset(video for video, is_removed in removed.items() if is_removed)
    others = {name for video, path in paths.items() if video not in videos for name in (video[1], path)}
    ids = {name for video in videos for name in (video[1], paths[video])} - others
    keys = {key for _, keys in denied_clips(run, denylist) for key in keys}
    return RemovedNames(keys=frozenset(keys), digests=_digests(denylist), videos=videos, ids=frozenset(ids))


def names_in_shards(tombstones: Iterable[str], denylist: Denylist) -> RemovedNames:
    """Return what shards tell of what was removed: the keys of their tombstones, and digests of inputs."""
    return RemovedNames(keys=frozenset(tombstones), digests=_digests(denylist))


def join_names(first: RemovedNames, second: RemovedNames) -> RemovedNames:
    """Return the names of both."""
    return RemovedNames(
        keys=first.keys | second.keys,
        digests=first.digests | second.digests,
        videos=first.videos | second.videos,
        ids=first.ids | second.ids,
    )


def denied_clips(run: RunFolder, denylist: Denylist) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """Yield ((attempt, unit), keys in it) of each span that an attempt kept and that is taken down or forbidden."""
    tables = [run.attempt_ledger(attempt, _COLUMNS_OF_CLIPS) for attempt in run.attempts()]
    newest = newest_decisions(tables)
    gone = newest.filter(pc.equal(newest["stage"], TAKEDOWN).fill_null(False))
    spans = set(_spans(gone))
    for old in tables:
        kept_rows = old.filter(pc.equal(old["status"], "kept"))
        # An attempt before may have cut other spans: what overlaps a denied one goes too.
        denied = denied_rows(kept_rows, denylist)
        units = zip(kept_rows["attempt"].to_pylist(), kept_rows["unit"].to_pylist(), strict=True)
        for span, is_denied, unit, keys in zip(
            _spans(kept_rows), denied, units, kept_rows["clips"].to_pylist(), strict=True
        ):
            if is_denied or span in spans:
                yield unit, keys


def _digests(denylist: Denylist) -> frozenset[str]:
    denials = denylist.denials
    return frozenset(denial.digest for denial in denials if denial.kind == "content" and denial.span is None)


def _spans(table: pa.Table) -> list[tuple[str, str, int, int]]:
    names = ("source", "video_id", "start_frame", "stop_frame")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))
