"""`python -m benchmarks [NAME ...]`: run all benchmarks or the named ones, print their tables and write them to docs/benchmarks.md."""

import importlib
import re
import sys
from pathlib import Path

from avf_curation.detectors.threads import limit_threads

from benchmarks.table import Section, machine

NAMES = (
    "stages",
    "scenes",
    "syncnet",
    "every_third",
    "engines",
    "object_stores",
    "scale",
    "envelope",
    "learned_sync",
    "sync_architectures",
    "sync_material",
    "sync_view",
    "silence",
    "speech",
    "speaker",
    "faces",
    "encoding",
    "picture_damage",
    "memory",
    "kills",
    "fuzz",
    "models",
    "step_profile",
    "stream",
    "storages",
    "peers",
    "resume",
    "learning",
    "trainer",
    "tracking",
    "rivals",
    "scheduler",
    "cluster_kills",
    "downstream",
    "it_learns",
    "detection",
    "framewise_chain",
    "audit_page",
    "start_up",
    "takedown_search",
    "research_costs",
    "framewise",
    "frame_rows",
)
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Medians and ratios of one run, side by side; filled by `make bench` (or `python -m benchmarks NAME`). No test is timed.

What these figures do not say: SyncNet with the authors' weights (they are not part of the project), so whether every third lip window
keeps the offset on real clips, and how its confidence moves, is not known here; an object store elsewhere than on the same machine. Training on a GPU has a page of its own, gpu.md.
"""


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all of them, and replace their blocks in docs/benchmarks.md."""
    unknown = set(names) - set(NAMES)
    if unknown:
        sys.exit(f"unknown benchmark {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    limit_threads()
    sys.path.append(str(PAGE.parents[1] / "tests"))  # several benchmarks run on the tests' runs and shards
    for name in names or NAMES:
        sections: list[Section] = importlib.import_module(f"benchmarks.{name}").run()
        body = "\n".join(section.markdown() for section in sections)
        print(body, flush=True)
        block = f"<!-- {name} -->\n{body}\nMeasured on {machine()}.\n<!-- end {name} -->"
        text = PAGE.read_text("utf-8") if PAGE.is_file() else HEAD
        pattern = re.compile(f"<!-- {name} -->.*?<!-- end {name} -->", re.S)
        # Spliced by position: a replacement string would have its backslashes read as escapes.
        match = pattern.search(text)
        text = text[: match.start()] + block + text[match.end() :] if match else f"{text}\n{block}\n"
        PAGE.write_text(text, "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
