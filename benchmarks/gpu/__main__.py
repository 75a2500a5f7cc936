"""`python -m benchmarks.gpu [PART or GROUP ...]`: check and measure training on a GPU, and fill docs/gpu.md.

A part whose JSON file says that it has finished is skipped, so the same command goes on after an interruption.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.gpu.page import table_lines, write_page
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.results import DRY_RUN, failed_checks, read_result

_ROOT = Path(__file__).parents[2]
_OVERRUN = 3  # a part is stopped after so many times its expected seconds


def main() -> None:
    options = _parse()
    options.out.mkdir(parents=True, exist_ok=True)
    deadline_s = time.monotonic() + 60 * options.minutes
    outcomes = [] if options.page_only else [_run(part, options, deadline_s) for part in choose_parts(options.parts)]
    if options.page:
        write_page(options.page, options.out)
    if not all(outcomes):
        sys.exit("some parts failed, did not finish, or were not started; the lines above name them")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description="Check and measure training on a GPU."
    )
    parser.add_argument("parts", nargs="*", help="names of parts or groups (correctness, speed); all by default")
    parser.add_argument("--out", type=Path, required=True, help="folder of the JSON files; finished parts are skipped")
    parser.add_argument("--page", type=Path, help="Markdown page to write from the JSON files, such as docs/gpu.md")
    parser.add_argument("--page-only", action="store_true", help="run nothing; write the page")
    parser.add_argument("--minutes", type=float, default=25, help="time for all parts together (default: 25)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="device to check (default: cuda)")
    parser.add_argument("--tiny", action="store_true", help="smallest models and few steps, for a dry run on a CPU")
    return parser.parse_args()


def choose_parts(names: list[str]) -> list[Part]:
    """Return the parts of these names and groups in their order, each once; without a name all. Exits for an unknown one."""
    unknown = set(names) - {name for part in PARTS for name in (part.name, part.group)}
    if unknown:
        sys.exit(f"unknown part {', '.join(sorted(unknown))}; known are {', '.join(part.name for part in PARTS)}")
    if not names:
        return list(PARTS)
    # The order is the call's, so that what its caller needs most runs while time is left.
    chosen = [part for name in names for part in PARTS if name in (part.name, part.group)]
    return list(dict.fromkeys(chosen))


def _run(part: Part, options: argparse.Namespace, deadline_s: float) -> bool:
    """Run a part in a process of its own, and print its tables; return whether it finished and all checks passed."""
    result = read_result(options.out, part.name)
    if result is None or not result["finished"] or result["device"][DRY_RUN] != options.tiny:
        left_s = deadline_s - time.monotonic()
        if left_s < (0 if options.tiny else part.expected_s):
            print(
                f"{part.name}: not started; {left_s:.0f} s are left, and it needs about {part.expected_s}", flush=True
            )
            return False
        limit_s = left_s if options.tiny else min(left_s, _OVERRUN * part.expected_s)
        error = _start(part, options, limit_s)
        if error:
            print(f"{part.name}: {error}", flush=True)
        result = read_result(options.out, part.name)
    if result is None:
        return False
    for title, rows in result["tables"].items():
        print("\n".join([f"{part.name}: {title}", *table_lines(rows)]), flush=True)
    print(f"{part.name}: {result['seconds']:.0f} s, {len(failed_checks(result))} checks failed", flush=True)
    return result["finished"] and not failed_checks(result)


def _start(part: Part, options: argparse.Namespace, limit_s: float) -> str:
    """Run the process of a part; return what went wrong with the end of its output, or an empty text."""
    command = [sys.executable, "-m", "benchmarks.gpu.part_process", part.name, "--out", str(options.out.resolve())]
    command += ["--device", options.device, *(["--tiny"] if options.tiny else [])]
    paths = [str(_ROOT / folder) for folder in ("", "training", "shards", "curation", "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])}
    log = options.out / f"{part.name}.log"
    with open(log, "w", encoding="utf-8") as file:
        # A process group of its own, so that its data workers end with it.
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=_ROOT, start_new_session=True
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"stopped after {limit_s:.0f} s; {log} holds its output"
    return "" if code == 0 else f"ended with status {code}\n" + "\n".join(log.read_text("utf-8").splitlines()[-12:])


if __name__ == "__main__":
    main()
