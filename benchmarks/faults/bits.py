"""One bit flipped in each kind of file that the product writes, many times; then the command that reads the file."""

import random
import re
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from avf_curation.detectors import weights
from avf_shards.deletion.both_places import TakedownOptions, take_down_in_both
from avf_shards.deletion.requests import deletion_request
from avf_shards.errors import FaultError, UserError
from avf_shards.format.run_folder import RunFolder
from avf_shards.format.tar import sha256_file
from avf_shards.packing.run_verification import verify_run
from avf_shards.packing.verify import verify_shards
from avf_training.distributed.collectives import process_group
from support.clips import make_flashing_shards
from support.streams import batch_contents, make_stream_loader, pretraining_sampler

from benchmarks.faults.checkpoint_job import TinyTraining
from benchmarks.faults.trials import Trial

_SILENT = "SILENT"  # what was read is another thing, and nobody said so
_GOOD = ("named", "changes nothing that is read")


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """A command that reads a kind of file."""

    name: str
    files: list[Path]
    #: What is wrong, as the command says it; raises UserError or FaultError. An empty list: nothing is.
    check: Callable[[], list[str]]
    compares: bool = (
        False  # what was read is the same where nothing is said: the bit lies where this command reads none
    )


def try_bits(count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    """Yield what is said of a flipped bit, `count` times for each kind of file and command that reads it."""
    with tempfile.TemporaryDirectory() as name, process_group("cpu"):
        for reader in _readers(Path(name)):
            assert reader.check() == [], f"{reader.name}: there are faults before any bit is flipped"
            for path in reader.files:
                yield from _flip_bits(reader, path, count, skipped)


def _readers(folder: Path) -> Iterator[_Reader]:
    make_flashing_shards(folder, {"a": 5, "b": 2}, clips_per_shard=3)
    run, shards = RunFolder(folder / "run"), folder / "shards"
    take_down_in_both(shards, run, deletion_request(["a/003.mp4"]), TakedownOptions())
    yield _Reader(
        name="verify RUN", files=_each_kind(run.root), check=lambda: verify_run(RunFolder.open_existing(run.root))
    )
    ledger = run.ledger()
    yield _Reader(
        name="the ledger, as audit and pack read it",
        files=sorted((run.root / "attempt-0" / "ledger").iterdir()),
        check=lambda: [] if RunFolder(run.root).ledger().equals(ledger) else [_SILENT],
        compares=True,
    )
    yield _Reader(name="verify SHARDS", files=_each_kind(shards), check=lambda: verify_shards(shards))
    stream = make_stream_loader(shards, pretraining_sampler(), 3, epochs=1)
    contents = [clip for batch in stream for clip in batch_contents(batch)]
    yield _Reader(
        name="the stream of training",
        files=[
            path
            for path in _each_kind(shards)
            if path.name.endswith((".tar", ".index.json")) or path.name == "manifest.json"
        ],
        check=lambda: _stream_faults(shards, folder / "quarantine.jsonl", contents),
        compares=True,
    )
    training = TinyTraining(folder / "training")
    training.learn_and_save(1)
    weight = training.model.weight.clone()
    checkpoint = folder / "training" / "checkpoints" / "step-00000001"
    yield _Reader(
        name="a checkpoint, as training loads it",
        files=sorted(checkpoint.iterdir()),
        check=lambda: _checkpoint_faults(folder / "training", weight),
    )
    yield _weight_reader(folder / "weights")


def _each_kind(folder: Path) -> list[Path]:
    """Return the largest file of each kind: names that differ by their numbers or their folders alone are a kind."""
    kinds: dict[str, Path] = {}
    for path in sorted(folder.rglob("*"), key=lambda path: path.stat().st_size):
        if path.is_file() and not {"log", "tmp"} & set(path.relative_to(folder).parts):
            kinds[_kind(path)] = path
    return [kinds[kind] for kind in sorted(kinds)]


def _kind(path: Path) -> str:
    """Return a file's name without the numbers, digests and sources in it."""
    if path.name.endswith((".tar", ".tar.index.json", ".index.json")) and not path.name.startswith("clips."):
        return "SHARD" + "".join(path.suffixes)
    return re.sub(r"-([0-9a-f]{16}|[0-9]{6,8})", "-N", path.name)


def _flip_bits(reader: _Reader, path: Path, count: int, skipped: frozenset[str]) -> Iterator[Trial]:
    row = f"{_kind(path)}: {reader.name}"
    clean = path.read_bytes()
    for number in range(count):
        case = f"{row} {number}"
        if case in skipped:
            continue
        draw = random.Random(zlib.crc32(case.encode()))
        offset, bit = draw.randrange(len(clean)), draw.randrange(8)
        damaged = bytearray(clean)
        damaged[offset] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            faults = reader.check()
        except (FaultError, UserError) as error:
            faults = [str(error)]
        except Exception as error:
            faults = [f"TRACEBACK {type(error).__name__}: {error}"]
        text = " ".join(faults)
        if "TRACEBACK" in text:
            outcome = "ends in a traceback"
        elif not faults and reader.compares:
            outcome = "changes nothing that is read"
        elif not faults or _SILENT in text:
            outcome = "not noticed"
        else:
            outcome = "named" if path.name in text else "noticed, without the file's name"
        yield Trial(
            case=case,
            row=row,
            outcome=outcome,
            silent=int(outcome not in _GOOD),
            note="" if outcome in _GOOD else f"byte {offset} bit {bit}: {text[:200]}",
        )
    path.write_bytes(clean)


def _stream_faults(shards: Path, quarantine: Path, expected: list[tuple[object, ...]]) -> list[str]:
    """Return the lines of the quarantine after an epoch; `_SILENT` where another clip is delivered without one."""
    quarantine.unlink(missing_ok=True)
    loader = make_stream_loader(shards, pretraining_sampler(), 3, epochs=1, max_fault_share=1.0, quarantine=quarantine)
    contents = [clip for batch in loader for clip in batch_contents(batch)]
    lines = quarantine.read_text().splitlines() if quarantine.is_file() else []
    return lines or ([] if contents == expected else [_SILENT])


def _checkpoint_faults(run: Path, weight: torch.Tensor) -> list[str]:
    training = TinyTraining(run)
    training.load()
    return [] if torch.equal(training.model.weight, weight) else [_SILENT]


def _weight_reader(folder: Path) -> _Reader:
    """Return the reader of a weight file whose digest is in the table of weights."""
    folder.mkdir()
    entry = weights.weight_file("syncnet")
    path = folder / entry.file_name
    torch.save({"weight": torch.arange(4096.0)}, path)
    weights.KNOWN[entry.name] = replace(entry, sha256_prefix=sha256_file(path))

    def check() -> list[str]:
        assert weights.find_weight(entry.name, folder) is not None
        return []

    return _Reader(name="a worker that loads it", files=[path], check=check)
