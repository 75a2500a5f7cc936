"""Promise: a write that fails, as on a full disk, names the file that it was for, whoever writes."""

import ast
from pathlib import Path

import pytest
from avf_shards.cli.main import main
from avf_shards.system import named_writes
from support.clips import make_flashing_shards

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
#: Modules that write files by a handle, whose errors they name or translate themselves.
WRITERS = {
    "shards/avf_shards/cli/standard_output.py",  # standard output, and /dev/null
    "shards/avf_shards/system/durable_io.py",
    "shards/avf_shards/system/named_writes.py",
    "shards/avf_shards/system/run_lock.py",
    "curation/avf_curation/execution/events.py",
    "curation/avf_curation/execution/isolated.py",  # a temporary folder, and a child process that hands its error on
    "curation/avf_curation/pipeline/self_test.py",  # a temporary folder of a worker's start
}


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
def test_every_kind_of_write_names_its_file() -> None:
    def append_text() -> None:
        with named_writes.append_text(FULL) as file:
            file.write("x")

    def append_bytes() -> None:
        with named_writes.append_bytes(FULL) as file:
            file.write(b"x")

    for write in (
        lambda: named_writes.write_bytes(FULL, b"x"),
        lambda: named_writes.write_text(FULL, "x"),
        append_text,
        append_bytes,
    ):
        with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
            write()


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has a file that is always full")
def test_a_command_names_the_file_that_is_full(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = make_flashing_shards(tmp_path, {"a": 2})
    assert main(["verify", str(shards), "--json", str(FULL)]) == 2
    assert "/dev/full: No space left on device" in capsys.readouterr().err


def writes_of(path: Path) -> list[int]:
    """Return the lines of a module that write a file without `named_writes` or `durable_io`."""
    lines = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        owner = node.func.value if isinstance(node.func, ast.Attribute) else None
        if isinstance(owner, ast.Name) and owner.id in ("durable_io", "named_writes", "av"):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        modes = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        opens = name == "open" and any(isinstance(mode, str) and mode[:1] in ("w", "a", "x") for mode in modes)
        is_method = isinstance(node.func, ast.Attribute) and name in ("write_text", "write_bytes")
        if opens or is_method:
            lines.append(node.lineno)
    return lines


def test_no_module_writes_a_file_without_a_name_for_its_errors() -> None:
    modules = [path for folder in ("shards", "curation", "training") for path in (ROOT / folder).rglob("*.py")]
    names = {str(path.relative_to(ROOT)): path for path in modules}
    unnamed = {name: writes_of(path) for name, path in names.items() if name not in WRITERS and "/demo/" not in name}
    assert {name: lines for name, lines in unnamed.items() if lines} == {}
