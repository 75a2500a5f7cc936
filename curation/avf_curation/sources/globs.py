"""Patterns of file names, as `plan.include` and `plan.exclude` have them."""

import re
from collections.abc import Iterable
from functools import cache


def first_match(path: str, globs: Iterable[str]) -> str | None:
    """Return the first pattern that matches a file or a folder that the file lies in, or None.

    A pattern without a slash is compared with single names ("*.wav", "raw"), any other with paths below the source's
    folder ("raw/*/take_1.mp4"). `*` and `?` match no slash, `**` matches any number of folders, `[ab]` one of the
    characters. Upper and lower case differ.
    """
    names = path.split("/")
    paths = ["/".join(names[:count]) for count in range(1, len(names) + 1)]
    for glob in globs:
        matcher = _compile(glob.strip("/"))
        candidates = paths if "/" in glob.strip("/") else names
        if any(matcher.fullmatch(candidate) for candidate in candidates):
            return glob
    return None


@cache
def _compile(glob: str) -> re.Pattern[str]:
    pieces = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", glob)
    patterns = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    expression = ""
    for index, piece in enumerate(pieces):
        if index % 2 == 0:
            expression += re.escape(piece)
        elif piece in patterns:
            expression += patterns[piece]
        else:
            characters = piece[1:-1].replace("\\", "\\\\")
            expression += f"[^{characters[1:]}]" if characters.startswith("!") else f"[{characters}]"
    return re.compile(expression, re.DOTALL)
