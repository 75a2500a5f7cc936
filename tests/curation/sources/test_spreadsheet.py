"""Tables from outside may claim any size, and numbers without an end."""

import sys
import zipfile
from pathlib import Path

import pytest
from avf_curation.sources import table_process, xlsx_process
from avf_curation.sources.pictures import mat_process
from avf_curation.sources.spreadsheet import parse_integer, read_rows
from avf_shards.errors import UserError
from avf_shards.system.memory_limit import reserved_memory_bytes
from support.images import write_xlsx


def test_a_small_xlsx_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "small.xlsx", [["a", "b"], [1, 2], [3, None]])
    rows = list(read_rows(tmp_path / "small.xlsx", ("a",), "--source x"))
    assert rows == [(2, {"a": "1", "b": "2"}), (3, {"a": "3", "b": ""})]
    large = tmp_path / "large.xlsx"
    with zipfile.ZipFile(tmp_path / "small.xlsx") as small, zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in small.namelist():
            packed.writestr(name, small.read(name))
        packed.writestr("xl/more.xml", b"A" * 65_000_000)
    assert large.stat().st_size < 100_000
    with pytest.raises(UserError, match=r"x: large\.xlsx .* holds 65 MB of text, .* is it the owners' table\?"):
        list(read_rows(large, ("a",), "--source x"))


def test_what_is_wrong_with_a_table_is_said(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "whole.xlsx", [["a", "b"], [1, 2]])
    damaged, no_sheet = tmp_path / "damaged.xlsx", tmp_path / "no_sheet.xlsx"
    with (
        zipfile.ZipFile(tmp_path / "whole.xlsx") as whole,
        zipfile.ZipFile(damaged, "w") as first,
        zipfile.ZipFile(no_sheet, "w") as second,
    ):
        for name in whole.namelist():
            first.writestr(name, whole.read(name).replace(b'sheetId="1"', b'sheetId="x"'))
            if not name.endswith("sheet1.xml"):
                second.writestr(name, whole.read(name))
    for path, reason in ((damaged, "expected <class 'int'>"), (no_sheet, "it has no sheet")):
        with pytest.raises(UserError, match=rf"{path.name} cannot be read as an \.xlsx table \({reason}\); is it"):
            list(read_rows(path, ("a",), "--source x"))


@pytest.mark.parametrize(
    ("last_words", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "reading it takes more than"),
        ("os._exit(3)", "its process ended with status 3"),
    ],
)
def test_a_child_that_ends_in_the_middle_of_a_row_is_a_sentence(
    last_words: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"""import os; os.write(1, b'{{"row": ["a"]}}\\n{{"row": ["b'); {last_words}"""
    monkeypatch.setattr(table_process, "module_command", lambda *_: [sys.executable, "-c", script])
    rows, pictures = xlsx_process.read_xlsx(tmp_path / "a.xlsx"), mat_process.read_mat(tmp_path / "a.mat", "imdb")
    assert next(rows) == next(pictures) == ["a"]
    for table in (rows, pictures):
        with pytest.raises(table_process.TableError, match=reason):
            next(table)


@pytest.mark.slow
def test_a_row_that_asks_for_gigabytes_is_refused_and_takes_none_of_the_reader(tmp_path: Path) -> None:
    """They are 60 kB of .xlsx. Reading the table in this process took 2.5 GB."""
    cells = b"<a>" * 8_000_000 + b"</a>" * 8_000_000
    write_xlsx(tmp_path / "plain.xlsx", [["a", "b"], ["x", "y"]])
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as plain, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            data = plain.read(name)
            if name.endswith("sheet1.xml"):
                data = data.replace(b"</sheetData>", b"<row>" + cells + b"</row></sheetData>")
            packed.writestr(name, data)
    before = reserved_memory_bytes()
    with pytest.raises(UserError, match=r"bomb\.xlsx cannot be read as an \.xlsx table \(reading it takes more than"):
        list(read_rows(bomb, ("a",), "--source x"))
    after = reserved_memory_bytes()
    assert before is not None
    assert after is not None
    assert after < before + 100e6


def test_a_table_with_entities_is_refused(tmp_path: Path) -> None:
    write_xlsx(tmp_path / "plain.xlsx", [["a", "b"], ["x", "y"]])
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(tmp_path / "plain.xlsx") as plain, zipfile.ZipFile(bomb, "w") as packed:
        for name in plain.namelist():
            data = plain.read(name)
            if name.endswith("sheet1.xml"):
                start = data.index(b"?>") + 2 if data.startswith(b"<?xml") else 0
                data = data[:start] + b'<!DOCTYPE worksheet [<!ENTITY a "aaaa">]>' + data[start:]
            packed.writestr(name, data)
    with pytest.raises(UserError, match=r"bomb\.xlsx cannot be read as an \.xlsx table"):
        list(read_rows(bomb, ("a",), "--source x"))


def test_a_csv_with_a_huge_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a,b\n1," + "x" * 200_000 + "\n")
    with pytest.raises(UserError, match=r"x\.csv cannot be read as a CSV table \(field larger than field limit"):
        list(read_rows(tmp_path / "x.csv", ("a",), "--source x"))


@pytest.mark.parametrize("text", ["inf", "1e999", "nan", "", "4,5"])
def test_a_number_that_does_not_end_is_no_integer(text: str) -> None:
    assert parse_integer(text) is None
