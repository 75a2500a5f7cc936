"""After a takedown, no file of the run and the shards names what was removed, but the tombstones that it lists."""

import hashlib
import json
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from avf_shards.cli.main import main
from avf_shards.format.manifest import MANIFEST
from avf_shards.format.run_folder import RunFolder
from avf_shards.packing.pack import SELECTED, pack_shards
from avf_shards.packing.selection import Selection
from avf_shards.packing.verify import verify_shards
from avf_shards.schema.clip_key import make_video_prefix
from support.runs import make_run

PREFIX = make_video_prefix("made", "001.mp4")
SHA256 = hashlib.sha256(b"input 1").hexdigest()  # of the bytes of 001.mp4
IN_RUN = {
    "attempt-0/plan/plan.parquet",
    "attempt-0/ledger/ledger.parquet",
    "attempt-0/units/0000/0000000/ledger.parquet",
    "attempt-1/plan/plan.parquet",
    "attempt-1/ledger/ledger.parquet",
    "attempt-1/units/0000/0000000/ledger.parquet",
}
OLD_DECISIONS = {"attempt-0/ledger/ledger.parquet", "attempt-0/units/0000/0000000/ledger.parquet"}
ERASED = {"attempt-0/units/0000/0000000/clips.tar", "attempt-0/units/0000/0000000/clips.index.json"}


def make_both(folder: Path) -> tuple[RunFolder, Path]:
    run = make_run(folder)
    pack_shards(run, folder / "shards", Selection(clips_per_shard=2))
    return run, folder / "shards"


def holding(folder: Path, text: str) -> set[str]:
    """Return the files that hold a text, by an independent search: a Parquet file is written out as JSON."""
    names = set()
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            if data.startswith(b"PAR1"):
                data = json.dumps(pq.read_table(path).to_pylist(), default=str).encode()
            if text.encode() in data:
                name = path.relative_to(folder).as_posix()
                names.add("denylist" if name.startswith("denylist-") else name)
    return names


def test_nothing_but_the_listed_tombstones_names_what_was_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, shards = make_both(tmp_path)
    left_behind = run.temporary("unit-0000000")  # of a process that was killed
    (left_behind / "clips.tar").write_text(f"{PREFIX}-0000000-0000050-0.mp4")
    assert any("log" in name for name in holding(run.root, "001.mp4"))
    assert SELECTED in holding(shards, PREFIX)
    command = ["delete", str(shards), "--video", "made/001.mp4", "--run", str(run.root), "--json", "-"]
    assert main(command) == 0
    proof = json.loads(capsys.readouterr().out)["proof"]
    assert holding(run.root, "001.mp4") == IN_RUN
    assert holding(run.root, SHA256) == {*(name for name in IN_RUN if "ledger" in name), "denylist"}
    assert holding(run.root, PREFIX) == OLD_DECISIONS | ERASED
    assert holding(shards, "001.mp4") == set()
    assert holding(shards, SHA256) == {"denylist"}
    assert holding(shards, PREFIX) == {MANIFEST, "manifest-000001.json"}
    assert {Path(name).name for name in proof["tombstones"]} == {
        "plan.parquet",
        "ledger.parquet",
        "clips.tar",
        "clips.index.json",
        "denylist-*.json",
        "manifest*.json",
    }
    assert proof["unsearched"] == []
    assert verify_shards(shards) == []
    assert main(command[:-2]) == 0, "the proof is made anew"
    assert main(["pack", str(run.root), "--out", str(tmp_path / "later")]) == 0
    assert verify_shards(tmp_path / "later") == []
    assert holding(tmp_path / "later", PREFIX) == set()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run/audit.html", "<td>made/001.mp4</td>"),
        ("run/review/review.html", '{"source": "made", "video_id": "001.mp4"}'),
        ("run/export/labels.json", f'"clips": "{PREFIX}-0000080-0000140-0"'),
        ("run/notes.txt", SHA256),
        ("shards/pages/card.html", f"{PREFIX}-0000000-0000050-0"),
        ("cache/ab/cdef", f"\0\0{PREFIX}-0000000-0000050-0.mp4\0"),
    ],
)
def test_a_page_an_export_or_a_cache_that_names_it_is_reported(
    name: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, shards = make_both(tmp_path)
    (tmp_path / "cache").mkdir()
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).write_text(text)
    command = ["delete", str(shards), "--video", "made/001.mp4", "--run", str(run.root)]
    command += ["--also-search", str(tmp_path / "cache")]
    assert main(command) == 1
    message = capsys.readouterr().err
    assert f"{tmp_path / name}: still holds" in message
    assert "start the same command again" in message
    assert not holding(shards, "001.mp4"), "all else is done"
    (tmp_path / name).write_text(text.replace("001.mp4", "002.mp4").replace(PREFIX, "x").replace(SHA256, "y"))
    assert main(command) == 0


def test_what_cannot_be_searched_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, shards = make_both(tmp_path)
    with zipfile.ZipFile(run.root / "pages.zip", "w") as archive:
        archive.writestr("audit.html", "made/001.mp4")
    (run.root / "videos").symlink_to(tmp_path / "in")
    (run.root / "old.parquet").write_bytes(b"PAR1 and no more")
    assert main(["delete", str(shards), "--video", "made/001.mp4", "--run", str(run.root)]) == 0
    text = capsys.readouterr().out
    for line in ("pages.zip (zip)", "videos (a link)", "old.parquet (not readable"):
        assert f"not searched: {run.root}/{line}" in text


def test_other_shards_in_the_folder_of_the_run_are_named_until_it_is_taken_down_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path)
    shards = run.root / "shards"
    pack_shards(run, shards, Selection())
    command = ["delete", "--run", str(run.root), "--video", "made/001.mp4"]
    assert main(command) == 1
    assert "avf-shards delete there" in capsys.readouterr().err
    assert main(["delete", str(shards), "--video", "made/001.mp4"]) == 0
    assert main(command) == 0
