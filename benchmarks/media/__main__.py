"""`python -m benchmarks.media`: generate the files, read each, and write the tables of docs/media.md."""

import argparse
import re
import shutil
import sys
import tempfile
from itertools import groupby
from pathlib import Path

from avf_curation.detectors.threads import limit_threads

from benchmarks.media.cases import MediaCase, all_cases
from benchmarks.media.measure import Reading, deviations, read_case
from benchmarks.table import Section

PAGE = Path(__file__).parents[2] / "docs" / "media.md"
NOTES = {
    "Containers": "25 frames a second, key frames as the encoder likes.",
    "Video codecs": "25 frames a second.",
    "Frame rates": "H.264 and AAC in MP4. Above 25 frames a second not every frame has a place on the timeline, so those that are not shown are not counted.",
    "Pixel formats": "The numbers and the flashes are read from the picture after its conversion.",
    "Sound formats": "Beside H.264 at 25 frames a second.",
    "Clocks and oddities": "Of a joined file, both halves must be there.",
}
HEAD = ["file", "frames", "not shown", "picture ms", "sound ms", "second read"]


def main() -> None:
    """Read the files; fill the tables of docs/media.md, or with --check name the files that break a promise."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.media", description=main.__doc__)
    parser.add_argument("--check", action="store_true", help="write no page; exit with 1 where a promise is broken")
    options = parser.parse_args()
    if shutil.which("ffmpeg") is None:
        sys.exit("the program ffmpeg is not on the PATH; it writes the files that are read")
    limit_threads()
    with tempfile.TemporaryDirectory(prefix="avf-media-") as name:
        readings = [(case, read_case(case, Path(name))) for case in all_cases()]
    if options.check:
        _check(readings)
        return
    sections = []
    for group, rows in groupby(readings, key=lambda row: row[0].group):
        sections.append(
            Section(group, NOTES[group], [HEAD, *(_row(case.name, reading) for case, reading in rows)]).markdown()
        )
    body = "\n".join(sections)
    print(body)
    count = sum(reading.error == "" for _, reading in readings)
    block = f"<!-- tables -->\n{count} of {len(readings)} files, read as `avf-curate run` reads them.\n\n{body}\n<!-- end tables -->"
    text = PAGE.read_text("utf-8")
    match = re.search(r"<!-- tables -->.*<!-- end tables -->", text, re.S)
    assert match is not None, f"{PAGE} has no block of tables"
    PAGE.write_text(text[: match.start()] + block + text[match.end() :], "utf-8")


def _check(readings: list[tuple[MediaCase, Reading]]) -> None:
    faults = [f"{case.name}: {fault}" for case, reading in readings for fault in deviations(case, reading)]
    if faults:
        sys.exit("\n".join(faults))
    written = sum(not reading.error for _, reading in readings)
    print(f"{written} of {len(readings)} files are read as docs/media.md promises")


def _row(name: str, reading: Reading) -> list[str]:
    if reading.error:
        return [name, reading.error.replace("|", "/"), "", "", "", ""]
    sound = "no sound" if reading.sound_ms is None else f"{reading.sound_ms:.0f}"
    same = "same" if reading.second_read_equal else "**differs**"
    return [
        name,
        f"{reading.frames} of {reading.expected_frames}",
        str(reading.missing),
        f"{reading.picture_ms:.0f}",
        sound,
        same,
    ]


if __name__ == "__main__":
    main()
