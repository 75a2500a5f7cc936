"""Checkpoints that authors publish, by name: from the Hub, from an address, and from a file that a browser saved."""

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from avf_training.cli.main import main
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import PRESETS, preset
from avf_training.models.published import PUBLISHED, PublishedCheckpoint
from support.hub_server import HubServer, Repository, program_beside, serve_hub
from support.range_server import serve_ranges

RunProgram = Callable[..., "subprocess.CompletedProcess[str]"]
FILE = "logs/nano best.pth"
#: Runs avf-train with an entry of the table replaced by one whose model is small.
WITH_ENTRY = f"""
import sys
from avf_training.cli.main import main
from avf_training.models.published import PUBLISHED, PublishedCheckpoint
PUBLISHED["nano"] = PublishedCheckpoint(
    name="nano", title="t", owner="org/code", paper="p", licence="MIT", page="http://page",
    repository="org/authors", file={FILE!r}, commit="0000000",
)
sys.exit(main(sys.argv[1:]))
"""
LOAD = WITH_ENTRY.replace(
    "sys.exit(main(sys.argv[1:]))",
    """
from avf_training import from_pretrained
print(from_pretrained("nano").config.name)
""",
)


@pytest.fixture(name="model")
def _model() -> MaskedAutoencoder:
    torch.manual_seed(3)
    return MaskedAutoencoder(replace(preset("nano"), batch_norm_statistics="shared"))  # as the authors' code


@pytest.fixture(name="checkpoint")
def _checkpoint(model: MaskedAutoencoder, tmp_path: Path) -> Path:
    """Return the model in the authors' format."""
    model.save_pretrained(tmp_path / "ours")
    assert main(["convert", str(tmp_path / "ours"), "--out", str(tmp_path / "authors.pth")]) == 0
    return tmp_path / "authors.pth"


@pytest.fixture(name="hub")
def _hub(checkpoint: Path) -> Iterator[HubServer]:
    with serve_hub() as hub:
        repository = hub.repositories["org/authors"] = Repository(private=False)
        repository.commit({".gitattributes": b"", FILE: checkpoint.read_bytes()})
        yield hub


@pytest.fixture(name="python")
def _python(hub: HubServer, tmp_path: Path) -> RunProgram:
    return program_beside(hub, tmp_path, "python")


def same_weights(folder: Path, model: MaskedAutoencoder) -> bool:
    loaded = MaskedAutoencoder.from_pretrained(folder).state_dict()
    return all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


def test_a_name_is_the_checkpoint_on_the_hub_at_a_commit_that_the_model_remembers(
    hub: HubServer, python: RunProgram, model: MaskedAutoencoder, tmp_path: Path
) -> None:
    pulled = python(WITH_ENTRY, "weights", "pull", "nano", "--out", tmp_path / "model")
    assert pulled.returncode == 0, pulled.stderr
    commit = hub.repositories["org/authors"].commits[-1][0]
    assert "was at commit 0000000 when this program's table was written" in pulled.stderr
    assert same_weights(tmp_path / "model", model)
    origin = json.loads((tmp_path / "model/config.json").read_text())["origin"]
    assert (origin["name"], origin["licence"]) == ("nano", "MIT")
    assert origin["from"] == f"org/authors@{commit}/{FILE}"
    hub.repositories["org/authors"].commit({".gitattributes": b"", "other.pth": b"x"})
    pinned = ["weights", "pull", "nano", "--revision", commit, "--out", tmp_path / "again"]
    again = python(WITH_ENTRY, *pinned, HF_HUB_OFFLINE="1")
    assert (again.returncode, again.stderr) == (0, "")
    config = (tmp_path / "model/config.json").read_text()
    assert (tmp_path / "again/config.json").read_text() == config
    gone = python(WITH_ENTRY, "weights", "pull", "nano", "--out", tmp_path / "gone")
    assert (gone.returncode, f"has no file '{FILE}'; its checkpoints are other.pth" in gone.stderr) == (2, True)
    assert not (tmp_path / "gone").exists()


def test_from_pretrained_takes_the_name_too(python: RunProgram) -> None:
    loaded = python(LOAD)
    assert loaded.stdout == "nano\n", loaded.stderr


def table_with(monkeypatch: pytest.MonkeyPatch, **fields: str) -> None:
    entry = PublishedCheckpoint(
        name="nano", title="t", owner="org/code", paper="p", licence="MIT", page="http://page", **fields
    )
    monkeypatch.setitem(PUBLISHED, "nano", entry)


def test_what_lies_on_a_page_for_people_is_converted_from_the_saved_file(
    checkpoint: Path, model: MaskedAutoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    table_with(monkeypatch, file="x.pth")
    out = str(tmp_path / "model")
    assert main(["weights", "pull", "nano", "--out", out]) == 2
    message = capsys.readouterr().err
    assert "Open http://page in a browser, save the file, then add --from FILE. Licence: MIT" in message
    assert main(["weights", "pull", "nano", "--out", out, "--from", str(checkpoint)]) == 0
    assert same_weights(Path(out), model)
    assert json.loads(Path(out, "config.json").read_text())["origin"]["from"] == "authors.pth"
    assert main(["weights", "pull", "nano", "--out", out, "--from", str(checkpoint)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_file_at_an_address_is_downloaded_and_a_page_is_refused(
    checkpoint: Path, model: MaskedAutoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (tmp_path / "page.pth").write_text("<!doctype html><p>Google Drive")
    with serve_ranges(tmp_path) as server:
        table_with(monkeypatch, file="x.pth", address=f"{server.address}/authors.pth")
        assert main(["weights", "pull", "nano", "--out", str(tmp_path / "model")]) == 0
        assert same_weights(tmp_path / "model", model)
        for name, message in (("page.pth", "is a page and not the file"), ("none.pth", "there is no such file")):
            words = ["weights", "pull", "nano", "--from", f"{server.address}/{name}", "--out", str(tmp_path / "x")]
            assert main(words) == 2
            assert message in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"ours", "authors.pth", "model", "page.pth"}


def test_a_connection_that_drops_does_not_change_the_file(
    checkpoint: Path, model: MaskedAutoencoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("avf_shards.stores.file_download._RANGE_BYTES", 1 << 20)
    monkeypatch.setattr("avf_shards.stores.fsspec_store._FIRST_WAIT_S", 0.0)
    with serve_ranges(tmp_path) as server:
        server.drop_every = 5
        source = f"{server.address}/authors.pth"
        assert main(["weights", "pull", "nano", "--from", source, "--out", str(tmp_path / "model")]) == 0
        assert server.dropped > 0
    assert same_weights(tmp_path / "model", model)


def test_another_file_than_the_published_one_is_refused(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    table_with(monkeypatch, file="x.pth", md5="012345")
    assert main(["weights", "pull", "nano", "--from", str(checkpoint), "--out", str(out)]) == 2
    assert "org/code prints 012345 for x.pth: it is damaged, or is another file" in capsys.readouterr().err
    assert main(["weights", "pull", "hicmae_b", "--from", str(checkpoint), "--out", str(out)]) == 2
    assert "the checkpoint does not fit the model" in capsys.readouterr().err
    assert main(["weights", "pull", "hicmae_b", "--revision", "main", "--out", str(out)]) == 2
    assert "Open https://drive.google.com" in capsys.readouterr().err
    assert not out.exists()


def test_the_table_names_models_of_this_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "ls", "--json", "-"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["weights"]}
    assert rows.keys() == PUBLISHED.keys()
    assert {name for name, row in rows.items() if not (name.startswith("mae_") or row["is_detector"])} <= PRESETS.keys()
    with torch.device("meta"):
        parameters = sum(each.numel() for each in MaskedAutoencoder(preset("avfmaepp_h")).parameters())
    assert rows["avfmaepp_h"]["size_bytes"] == pytest.approx(12 * parameters, rel=1e-3), "weights and AdamW's moments"


def test_a_model_that_nobody_publishes_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "pull", "avfmaepp_b", "--out", str(tmp_path / "x")]) == 2
    assert "no checkpoint of this model is published, as far as is known" in capsys.readouterr().err
    assert main(["weights", "pull", "avfmaepp_x", "--out", str(tmp_path / "x")]) == 2
    assert "avfmaepp_x: unknown weights; did you mean" in capsys.readouterr().err
