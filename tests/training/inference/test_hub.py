"""Models to the Hub and back by name, by the real client and a server on this machine."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from avf_training.models.classifier import Classifier
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import preset
from support.hub_server import HubServer, RunProgram, program_beside, serve_hub
from support.models import tiny_config

LOAD = """
import hashlib, sys
from avf_training import from_pretrained
model = from_pretrained(*sys.argv[1:])
digest = hashlib.sha256()
for name, tensor in sorted(model.state_dict().items()):
    digest.update(name.encode() + tensor.numpy().tobytes())
print(type(model).__name__, digest.hexdigest())
"""


@pytest.fixture(name="hub")
def _hub() -> Iterator[HubServer]:
    with serve_hub() as hub:
        yield hub


@pytest.fixture(name="train")
def _train(hub: HubServer, tmp_path: Path) -> RunProgram:
    return program_beside(hub, tmp_path, "avf_training")


@pytest.fixture(name="python")
def _python(hub: HubServer, tmp_path: Path) -> RunProgram:
    return program_beside(hub, tmp_path, "python")


@pytest.fixture(name="model")
def _model(tmp_path: Path) -> Path:
    Classifier(tiny_config(), 4).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back_by_name_by_commit_and_without_a_network(
    hub: HubServer, train: RunProgram, python: RunProgram, model: Path, tmp_path: Path
) -> None:
    pushed = train("push", "org/feelings", "--model", model, "--licence", "mit")
    assert pushed.returncode == 0, pushed.stderr
    repository = hub.repositories["org/feelings"]
    files = repository.files("main") or {}
    assert files["model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert files["README.md"].startswith(b"---\nlicense: mit\n")
    commit = repository.commits[-1][0]
    local = python(LOAD, model)
    assert local.stdout.startswith("Classifier "), local.stderr
    for name, more in (("org/feelings", {}), (f"org/feelings@{commit}", {}), ("org/feelings", {"HF_HUB_OFFLINE": "1"})):
        assert python(LOAD, name, **more).stdout == local.stdout, (name, more)
    pulled = train("pull", f"org/feelings@{commit}", "--out", tmp_path / "back")
    assert pulled.returncode == 0, pulled.stderr
    assert commit in pulled.stdout
    assert {path.name for path in (tmp_path / "back").iterdir()} == {"config.json", "model.safetensors"}
    again = train("pull", "org/feelings", "--out", tmp_path / "back")
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_a_checkpoint_of_the_authors_is_converted_on_load(hub: HubServer, python: RunProgram, tmp_path: Path) -> None:
    train = program_beside(hub, tmp_path, "avf_training")
    model = MaskedAutoencoder(preset("hicmae_t"))
    model.save_pretrained(tmp_path / "ours")
    assert train("convert", tmp_path / "ours", "--out", tmp_path / "checkpoint.pth").returncode == 0
    Classifier(tiny_config(), 4).save_pretrained(tmp_path / "other")
    assert train("push", "org/authors", "--model", tmp_path / "other", "--licence", "other").returncode == 0
    repository = hub.repositories["org/authors"]
    repository.commit({".gitattributes": b"", "logs/checkpoint.pth": (tmp_path / "checkpoint.pth").read_bytes()})
    loaded = python(LOAD, "org/authors", "logs/checkpoint.pth")
    assert loaded.stdout.startswith("MaskedAutoencoder "), loaded.stderr
    assert loaded.stdout == python(LOAD, tmp_path / "ours").stdout
    missing = python(LOAD, "org/authors", "logs/none.pth")
    assert "its checkpoints are logs/checkpoint.pth" in missing.stderr


def test_what_is_no_model_is_refused_in_words(hub: HubServer, train: RunProgram, model: Path, tmp_path: Path) -> None:
    assert train("push", "org/x", "--model", model, "--licence", "mit").returncode == 0
    hub.repositories["org/x"].commit({"config.json": b'{"architectures": ["Bert"]}', "model.safetensors": b""})
    pulled = train("pull", "org/x", "--out", tmp_path / "x")
    assert pulled.returncode == 2
    assert "is not the config of a saved model" in pulled.stderr
    assert not (tmp_path / "x").exists()
    values = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**values, "base": {"folder": "/x"}}))
    refused = train("push", "org/y", "--model", model, "--licence", "mit")
    assert (refused.returncode, "holds adapters alone" in refused.stderr) == (2, True)
    assert "org/y" not in hub.repositories
