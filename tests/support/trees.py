"""Digests of all files of a folder, to compare folders byte by byte."""

import hashlib
from pathlib import Path

NOT_RESULTS = ("tmp", "log")


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every result file by its relative path; temporary files and logs are left out."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(path.relative_to(folder).parts) & set(NOT_RESULTS)
    }


def result_digests(run: Path) -> dict[str, str]:
    """Return `file_digests` without the plan, which holds the modification times of the inputs."""
    return {name: digest for name, digest in file_digests(run).items() if "/plan/" not in name}
