"""Compare folders byte by byte."""

import hashlib
from pathlib import Path

NOT_RESULTS = ("tmp", "log")


def tree(folder: Path) -> dict[str, str]:
    """Relative path -> SHA-256 of every file that is part of a result."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(path.relative_to(folder).parts) & set(NOT_RESULTS)
    }


def results(run: Path) -> dict[str, str]:
    """The same without the plan, which holds the inputs' times."""
    return {name: digest for name, digest in tree(run).items() if "/plan/" not in name}
