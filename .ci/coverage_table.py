"""Print the share of statements that the tests ran, for each folder of each package, from `coverage json`."""

import json
import sys
from collections import defaultdict
from pathlib import Path, PurePath

PACKAGES = ("avf_shards", "avf_curation", "avf_training")


def folder_of(path: str) -> tuple[str, str]:
    """Return the package of a file and its folder in it, "." for the package's root."""
    parts = PurePath(path).parts
    package = next(part for part in parts if part in PACKAGES)
    inner = parts[parts.index(package) + 1 :]
    return package, inner[0] if len(inner) > 1 else "."


def main(report: Path) -> None:
    """Print one line for each folder, one for each package and one for all."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for path, file in json.loads(report.read_text("utf-8"))["files"].items():
        package, folder = folder_of(path)
        for group in ((package, folder), (package, "all"), ("total", "")):
            counts[group][0] += file["summary"]["covered_lines"]
            counts[group][1] += file["summary"]["num_statements"]
    rows = sorted(counts.items(), key=lambda item: (item[0][1] != "all", item))
    for package in (*PACKAGES, "total"):
        for (name, folder), (covered, statements) in rows:
            if name == package and statements:
                percent = 100 * covered / statements
                print(f"{name:14}{folder:14}{statements:7} statements {percent:6.1f} % covered")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
