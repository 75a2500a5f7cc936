"""Labels of videos that are real or forged: what every corpus of deepfakes says in the same words.

`values` has `label` (real or fake), `forged` (none, audio, video or both), `method` and `split`, each where it is
known, and the owners' own columns under their names; the session is the original, so that an original and what was
forged of it stay together.
"""

from collections.abc import Iterable, Mapping, Sequence

from avf_shards.schema.forgery import FAKE, FORGED_KINDS, REAL, ForgedKind, ForgedSegment, Forgery
from avf_shards.schema.labels import Labels

from avf_curation.sources.owners_numbers import parse_number

_MAX_TIME_S = 1e6
_ROUNDING_S = 0.05  # by which owners' segments may end behind the last frame: they are rounded to a frame
_FAKE_WORDS = {"0": False, "1": True, REAL: False, FAKE: True}


def truth_labels(
    forgery: Forgery,
    *,
    split: str | None = None,
    subject: str | None = None,
    session: str | None = None,
    owners: Mapping[str, str | None] | None = None,
) -> Labels:
    """Return the labels of a real or forged video.

    Args:
        split: of the owners, as train; None: not published.
        subject: the person on the screen; None: not published.
        session: what may not be torn apart; None: the original and its fakes.
        owners: further columns of the owners, which are left out where they have no value.
    """
    forged = forgery.kind if forgery.is_fake else "none"
    named: dict[str, str | None] = {
        "label": FAKE if forgery.is_fake else REAL,
        "forged": forged,
        "method": forgery.method if forgery.is_fake else REAL,
        "split": split,
    }
    values = {**(owners or {}), **named}
    return Labels(
        values={name: value for name, value in values.items() if value},
        subject=subject,
        session=session or forgery.original,
        forgery=forgery,
    )


def parse_segments(
    pairs: object, kind: ForgedKind, *, duration_s: float | None = None, method: str | None = None
) -> tuple[ForgedSegment, ...] | str:
    """Return the segments in a list of (start, stop) in seconds, or in words what is wrong with one.

    Args:
        pairs: what a table of the owners holds.
        duration_s: length of the video; a segment that ends later is a fault. None: not known.
    """
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        return f"segments must be a list of [start, stop], and are {str(pairs)[:60]!r}"
    segments = []
    for pair in pairs:
        times = list(pair) if isinstance(pair, Sequence) and not isinstance(pair, str) else []
        start_s, stop_s = (parse_number(time, 0, _MAX_TIME_S) for time in times) if len(times) == 2 else (None, None)
        if start_s is None or stop_s is None or start_s >= stop_s:
            return f"{str(pair)[:60]} is no segment from a start to a later stop in seconds"
        if duration_s is not None and stop_s > duration_s + _ROUNDING_S:
            return f"the segment from {start_s:g} to {stop_s:g} s ends behind the video, which has {duration_s:g} s"
        segments.append(ForgedSegment(start_s=start_s, stop_s=stop_s, kind=kind, method=method))
    return tuple(sorted(segments, key=lambda segment: (segment.start_s, segment.stop_s)))


def join_segments(audio: Iterable[ForgedSegment], video: Iterable[ForgedSegment]) -> tuple[ForgedSegment, ...]:
    """Return the segments of sound and picture in the order of time; a pair with the same times becomes `both`."""
    times = {(part.start_s, part.stop_s): part for part in audio}
    joined = []
    for part in video:
        same = times.pop((part.start_s, part.stop_s), None)
        methods = "+".join(dict.fromkeys(name for name in (same and same.method, part.method) if name)) or None
        joined.append(
            ForgedSegment(start_s=part.start_s, stop_s=part.stop_s, kind="both" if same else part.kind, method=methods)
        )
    return tuple(sorted([*times.values(), *joined], key=lambda part: (part.start_s, part.stop_s, part.kind)))


def parse_cells(cells: Mapping[str, str]) -> Forgery | str:
    """Return what a row of the user's labels.csv says, or in words what is wrong with it.

    Columns: `file`; `fake` (0 or 1, real or fake); `original`, the file that a fake was made of; `forged` (audio, video
    or both); `method`; and `segments`, as "0.4-0.84; 2-2.5 audio". A fake without segments is forged from start to end.
    """
    fake = _FAKE_WORDS.get(cells["fake"].lower())
    if fake is None:
        return f"fake {cells['fake'][:40]!r} is none of 0, 1, real, fake"
    kind = next((kind for kind in FORGED_KINDS if kind == cells.get("forged", "").lower()), None)
    if kind is None and cells.get("forged", "").lower() not in ("", "none"):
        return f"forged {cells['forged'][:40]!r} is none of none, {', '.join(FORGED_KINDS)}"
    original = cells.get("original") or (None if fake else cells["file"])
    if original is None:
        return "is a fake without an original: name the file that it was made of, so that both stay on one side"
    text = cells.get("segments", "")
    if not fake:
        if text or kind is not None:
            return "is real, and has forged segments or a kind of forgery"
        return Forgery(is_fake=False, original=original)
    segments: list[ForgedSegment] = []
    for part in filter(None, map(str.strip, text.split(";"))):
        parsed = _parse_segment(part, kind)
        if isinstance(parsed, str):
            return parsed
        segments += parsed
    ordered = tuple(sorted(segments, key=lambda segment: (segment.start_s, segment.stop_s)))
    method = cells.get("method") or None
    return Forgery(is_fake=True, original=original, kind=kind, method=method, segments=ordered if text else None)


def _parse_segment(text: str, kind: ForgedKind | None) -> tuple[ForgedSegment, ...] | str:
    """Return the segment in a text such as "0.4-0.84 audio", whose kind may be that of the file."""
    times, _, word = text.partition(" ")
    named = next((known for known in FORGED_KINDS if known == word.strip().lower()), None)
    used = named if word else kind
    if used is None:
        return (
            f"segment {text[:40]!r} has no kind: write 'forged' or a word behind its times ({', '.join(FORGED_KINDS)})"
        )
    start, _, stop = times.partition("-")
    return parse_segments([(start, stop)], used)
