"""`python -m benchmarks.gates`: measure how often each gate is right, and fill docs/verdicts.md and the audit page's figures.

Twenty minutes on two cores. Films and runs go into a folder that is named, where the same command finds them again, or
into one that is removed.
"""

import argparse
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from avf_curation.audit.gate_evidence import EVIDENCE_FILE, format_gate_evidence
from avf_curation.detectors.threads import limit_threads
from avf_curation.detectors.weights import default_weights_folder

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from benchmarks.gates import changes, people
from benchmarks.gates import run as run_detectors
from benchmarks.gates.chain import demo_section, gate_evidence, gate_section, kept_section, run_chain
from benchmarks.gates.films import write_films
from benchmarks.gates.page import write_page
from benchmarks.table import SHARED, Section

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
PARTS = ("chain", "demo", "detectors", "changes", "people")


def main() -> None:
    """Run the named parts, or all, and replace their blocks in the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gates", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; default: all")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to fill (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="folder for films and runs (default: one that is removed)")
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="worker processes (default: all cores)"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; known are {', '.join(PARTS)}")
    limit_threads()
    logging.basicConfig(level=logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="avf-gates-") as name:
        folder = arguments.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for part in arguments.parts or PARTS:
            sections = list(_sections(part, folder, arguments.workers))
            print("\n".join(section.markdown() for section in sections), flush=True)
            write_page(arguments.page, part, sections)


def _sections(part: str, folder: Path, workers: int) -> Iterator[Section]:
    if part == "detectors":
        yield from run_detectors()
    elif part == "changes":
        yield from changes.run()
    elif part == "people":
        yield from people.run(default_weights_folder())
    elif part == "demo":
        yield demo_section(folder / "demo", workers)
    else:
        truths = write_films(folder / "films")
        if not truths:
            sys.exit(f"the real recordings are not in {SHARED / 'assets'}, and films are made of nothing else")
        weights = {"embedded": folder / "no-weights", "weights": SHARED / "assets" / "weights"}
        runs = [run_chain(folder / "films", truths, path, folder / name, workers) for name, path in weights.items()]
        EVIDENCE_FILE.write_text(format_gate_evidence(gate_evidence(runs)), "utf-8")
        yield kept_section(runs)
        yield gate_section(runs)


if __name__ == "__main__":
    main()
