"""Digests of all files of a folder, to compare folders byte by byte."""

import hashlib
import json
from pathlib import Path

from avf_shards.format.run_folder import PLAN_SUMMARY

NOT_RESULTS = ("tmp", "log")


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every result file by its relative path; temporary files and logs are left out.

    Of plan.json the name of the run's folder and the time of planning do not count, in which two runs always differ.
    """
    return {
        str(path.relative_to(folder)): hashlib.sha256(_compared_bytes(path)).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not set(path.relative_to(folder).parts) & set(NOT_RESULTS)
    }


def _compared_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name != PLAN_SUMMARY:
        return content
    values = json.loads(content)
    return json.dumps(
        {name: value for name, value in values.items() if name not in ("name", "planned", "self_sha256")}
    ).encode()


def result_digests(run: Path) -> dict[str, str]:
    """Return `file_digests` without the plan, which holds the modification times of the inputs."""
    return {name: digest for name, digest in file_digests(run).items() if "/plan/" not in name}
