"""The identity of a folder is written once, and every later start must agree with it."""

import json
from pathlib import Path

import pytest
from avf_shards.errors import UserError
from avf_shards.format.frozen_identity import freeze_or_refuse
from avf_shards.system.durable_io import AlreadyExistsError

IDENTITY = {"seed": 3, "sizes": (1, 2), "sync": {"limit": None}}


def test_the_first_start_writes_and_later_starts_must_agree(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    for _ in range(2):
        freeze_or_refuse(file, IDENTITY, "pack", file.write_bytes, "another run")
    assert json.loads(file.read_bytes()) == {"schema_version": 1, "seed": 3, "sizes": [1, 2], "sync": {"limit": None}}
    with pytest.raises(UserError, match=r"^another run\n  seed: 3 -> 4$"):
        freeze_or_refuse(file, IDENTITY | {"seed": 4}, "pack", file.write_bytes, "another run")


def test_a_value_that_is_null_differs_from_one_that_is_absent(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    freeze_or_refuse(file, IDENTITY, "pack", file.write_bytes, "another run")
    with pytest.raises(UserError, match=r"sync\.limit: None -> absent"):
        freeze_or_refuse(file, {"seed": 3, "sizes": (1, 2)}, "pack", file.write_bytes, "another run")


def test_a_process_that_comes_second_must_agree_with_the_first(tmp_path: Path) -> None:
    file = tmp_path / "run.json"

    def lose_the_race(data: bytes) -> None:
        file.write_text('{"schema_version": 1, "seed": 5}')
        raise AlreadyExistsError(str(file))

    with pytest.raises(UserError, match="seed: 5 -> 3"):
        freeze_or_refuse(file, {"seed": 3}, "pack", lose_the_race, "another run")


def test_no_file_is_written_without_a_publish_function(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    freeze_or_refuse(file, IDENTITY, "pack", None, "another run")
    assert not file.exists()
    file.write_text('{"schema_version": 1, "seed": 5}')
    with pytest.raises(UserError, match="another run"):
        freeze_or_refuse(file, {"seed": 3}, "pack", None, "another run")
