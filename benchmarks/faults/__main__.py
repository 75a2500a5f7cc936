"""`python -m benchmarks.faults [PART ...]`: inject the named families of faults, or all, and fill docs/faults.md."""

import argparse
import logging
import sys
from pathlib import Path

from avf_curation.detectors.threads import limit_threads

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))  # the faults of the suite are injected here too

from benchmarks.faults.page import write_part
from benchmarks.faults.parts import PARTS
from benchmarks.faults.trials import Journal, read_trials

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "faults.md"
JOURNALS = ROOT / "build" / "faults"


def main() -> None:
    """Run the parts, each from where it was stopped, and exit with 1 where something was lost or silent."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(names)}; default: all")
    parser.add_argument("--count", type=int, help="faults that a part draws, where it does not try all that there are")
    parser.add_argument("--journals", type=Path, default=JOURNALS, help="folder that says what has been tried")
    parser.add_argument("--page", type=Path, default=PAGE, help="page to fill; default: %(default)s")
    parser.add_argument("--page-only", action="store_true", help="inject nothing: write the page from the journals")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(names):
        parser.error(f"unknown part {', '.join(sorted(unknown))}; known are {', '.join(names)}")
    limit_threads()
    logging.disable(logging.WARNING)  # each fault that is injected would say so
    faults = 0
    for part in PARTS:
        if arguments.parts and part.name not in arguments.parts:
            continue
        count = arguments.count or part.count
        path = arguments.journals / f"{part.name}.jsonl"
        if arguments.page_only:
            trials = read_trials(path)
        else:
            journal = Journal(path, part.version(count))
            journal.record(part.inject()(count, journal.cases()))
            trials = journal.trials
        if not trials:
            faults += not arguments.page_only  # a part that injects nothing has shown nothing
            print(f"{part.name}: nothing tried", flush=True)
            continue
        write_part(arguments.page, part, trials)
        bad = [trial for trial in trials if trial.lost or trial.silent]
        faults += len(bad)
        print(f"{part.name}: {len(trials)} tried, {len(bad)} lost or silent", flush=True)
        for trial in bad[:20]:
            print(f"  {trial.case}: {trial.outcome} {trial.note}", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
