"""What can come of a download, and which of it the message of yt-dlp means."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["fetched", "removed", "private", "geo-blocked", "age-gated", "unusable", "network", "refused"]
KINDS: tuple[Kind, ...] = get_args(Kind)
GONE: frozenset[Kind] = frozenset(("removed", "private", "geo-blocked", "age-gated"))
"""Outcomes of a video, so of all its ranges."""
PASSING: frozenset[Kind] = frozenset(("network", "refused"))
"""Outcomes that say nothing about a video: the next run tries again."""
_MAX_REASON = 300  # characters of a message of the site

# The first pattern that fits counts. "not a bot" stands before the age, because both begin with "Sign in to confirm".
_PATTERNS: tuple[tuple[Kind, str], ...] = (
    ("refused", r"not a bot|too many requests|http error 429|rate.?limit|try again later|captcha"),
    ("age-gated", r"confirm your age|age.?restrict|inappropriate for some users"),
    ("private", r"private video|video is private|members.?only|join this channel|http error 401\b"),
    ("geo-blocked", r"in your country|geo.?restrict|your (?:location|region)|http error 451\b"),
    ("unusable", r"unsupported url|no video formats|requested format is not available|live event|premieres in"),
    ("removed", r"removed|terminated|no longer available|video unavailable|not available|does(?: not|n't) exist"),
    ("removed", r"deleted|http error (?:404|410)\b|copyright"),
    ("network", r"http error (?:403|5\d\d)\b|timed? ?out|connection|unreachable|resolve|resolution|ssl|incomplete"),
    (
        "network",
        r"unable to|transport|remote end|reset by peer|ffmpeg exited|downloaded \d+ bytes|did not get any data",
    ),
)


@dataclass(frozen=True, kw_only=True)
class FetchOutcome:
    """What came of a download."""

    kind: Kind
    reason: str = ""  # the site's words or ours; empty where the download succeeded


def classify_message(message: str) -> FetchOutcome:
    """Return the outcome that an error message of yt-dlp means; `unusable` where it is of no known kind."""
    text = " ".join(re.sub(r"\x1b\[[0-9;]*m", "", message).split()).removeprefix("ERROR: ")
    lowered = text.lower().replace("’", "'")
    kinds: list[Kind] = [kind for kind, pattern in _PATTERNS if re.search(pattern, lowered)]
    return FetchOutcome(kind=kinds[0] if kinds else "unusable", reason=text[:_MAX_REASON])
