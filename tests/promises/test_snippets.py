"""Promise: the code blocks of README and of the docs pages are right.

Commands are parsed by the programs' own parsers, settings are read by their own loaders. Blocks after a comment
`<!-- run -->` are run, as is every Python block, where RUN, SHARDS, VIDEO and FT exist.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from avf_curation.cli.main import build_parser as build_curate_parser
from avf_curation.cli.main import main as curate_main
from avf_curation.demo.video import ShotScript, VideoScript, encode_video
from avf_curation.recipe import load_recipe
from avf_shards.cli.main import build_parser as build_shards_parser
from avf_shards.cli.main import main as shards_main
from avf_shards.format.index import load_index
from avf_shards.packing.selection import load_selection
from avf_training.cli.main import build_parser as build_train_parser
from avf_training.cli.main import main as train_main
from avf_training.framewise.combination.plan import load_plan
from avf_training.models.classifier import Classifier, OutputSpec
from avf_training.models.mae import MaskedAutoencoder
from avf_training.models.presets import preset
from avf_training.study.plan import load_study
from avf_training.tasks.catalog import find_dataset
from support.docs_blocks import PAGES, ROOT, CodeBlock, blocks
from support.hub_server import HubServer, serve_hub
from support.labelled import make_label_rows, make_labelled_shards
from support.plugin_packages import install_template, installed_packages

PARSERS = {"avf-curate": build_curate_parser, "avf-shards": build_shards_parser, "avf-train": build_train_parser}
MAINS = {"avf-curate": curate_main, "avf-shards": shards_main, "avf-train": train_main}
OTHERS = (
    "#!/bin/bash",
    ".",
    "cd",
    "install",
    "mkdir",
    "openssl",
    "pip",
    "sudo",
    "eval",
    "export",
    ".venv/bin/python",
    ".venv/bin/jupyter",
    "cat",
    "head",
    "ffmpeg",
    "docker",
    "kubectl",
    "ray",
    "sbatch",
    "srun",
    "torchrun",
)
BLOCKS = list(blocks())
SHELL = [block for block in BLOCKS if block.language == "sh"]
FAST = {"avf-curate run": ("--engine", "inline"), "avf-curate review": ("--sample", "2")}


def program_of(words: list[str]) -> tuple[str, list[str]]:
    """Return a program of ours with its arguments, where a launcher may stand before it; "" for others."""
    for index, word in enumerate(words):
        if word.rpartition("/")[2] in PARSERS:
            return word.rpartition("/")[2], words[index + 1 :]
    return "", []


def without_redirection(words: list[str]) -> tuple[list[str], str | None]:
    """Return the words before `>`, and the file after it."""
    return (words[: words.index(">")], words[-1]) if ">" in words else (words, None)


def test_every_block_names_its_language() -> None:
    assert len(BLOCKS) > 60
    assert {
        str(block) for block in BLOCKS if block.language not in ("sh", "python", "yaml", "toml", "text", "csv")
    } == set()


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_parse(block: CodeBlock) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    for command in block.commands():
        if re.match(r"\w+=", command[0]):  # a variable of the shell
            continue
        words, _ = without_redirection(command)
        program, arguments = program_of(words)
        if program and words[0] != "eval":
            assert PARSERS[program]().parse_args(arguments).run
        elif words[0] == "make":
            assert set(words[1:]) <= set(targets)
        else:
            assert words[0] in OTHERS, words


def test_commands_in_sentences_exist() -> None:
    for page in PAGES:
        for program, name in re.findall(r"`(avf-(?:curate|shards|train)) ([a-z-]+)", page.read_text("utf-8")):
            names = next(action.choices for action in PARSERS[program]()._actions if action.metavar == "COMMAND")
            assert names is not None
            assert name in names, f"{page}: {program} {name}"


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in ("yaml", "toml")], ids=str)
def test_settings_load(block: CodeBlock, tmp_path: Path) -> None:
    path = tmp_path / f"mine.{block.language}"
    path.write_text(block.text)
    if block.language == "toml":
        assert load_selection(path).sources
    elif "labels" in yaml.safe_load(block.text):
        assert find_dataset(str(path)).labels
    elif "rows" in yaml.safe_load(block.text):
        assert load_study(str(path)).rows
    elif "members" in yaml.safe_load(block.text):
        assert load_plan(path).members
    else:
        with installed_packages(tmp_path / "site") as site:
            install_template(site)
            assert load_recipe(path).values != load_recipe().values


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with RUN, SHARDS, mine.yaml of their labels, MODEL, FT, VIDEO and a folder of one video."""
    folder = tmp_path_factory.mktemp("docs")
    made = tmp_path_factory.mktemp("made")
    make_labelled_shards(made, {"interviews": make_label_rows(6)})
    shutil.copytree(made / "run", folder / "RUN")
    shutil.copytree(made / "shards", folder / "SHARDS")
    MaskedAutoencoder(preset("nano")).save_pretrained(folder / "MODEL")
    Classifier(preset("nano"), 2, output_spec=OutputSpec(names=("left", "right"))).save_pretrained(folder / "FT")
    script = VideoScript(shots=(ShotScript(frames=80, speakers=(3,), seed=5),))
    (folder / "VIDEO").write_bytes(encode_video(script))
    row = "title: Mine\nsource: interviews\nlabels: [left, right]\nfolds: 2\nclips: 24\n"
    (folder / "mine.yaml").write_text(row + "alignment: {left: happy, right: sadness}\n")
    (folder / "interviews").mkdir()
    shutil.copy(folder / "VIDEO", folder / "interviews" / "talk.mp4")
    return folder


@pytest.fixture
def folder(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the folder, as the working directory."""
    copy = tmp_path / "docs"
    shutil.copytree(workplace, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("AVF_WEIGHTS", str(tmp_path / "weights"))
    return copy


def run_line(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command of ours in this process, on the folder's own video and clips."""
    words, redirected = without_redirection(words)
    program, arguments = program_of(words)
    video = "VIDEO" if program == "avf-train" else "000.mp4"
    names = {"VIDEO": video}
    if "KEY" in words:
        names["KEY"] = next(iter(load_index(folder / "SHARDS/interviews-000000.index.json").by_key()))
    arguments = [names.get(word, word).replace("=/data/", "=") for word in arguments]
    capsys.readouterr()
    assert MAINS[program]([*arguments, *FAST.get(" ".join(words[:2]), ())]) == 0, words
    if redirected is not None:
        (folder / redirected).write_text(capsys.readouterr().out)


@pytest.mark.parametrize("page", sorted({block.page for block in SHELL if block.run is not None}))
def test_blocks_that_say_so_run(page: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [block for block in SHELL if block.page == page and block.run is not None]
    lines = [
        words
        for block in chosen
        for words in block.commands()
        if not block.run or any(word in " ".join(words) for word in block.run)
    ]
    assert lines
    if any(words[:2] == ["avf-curate", "run"] for words in lines):  # the page makes its own
        shutil.rmtree(folder / "RUN")
        shutil.rmtree(folder / "SHARDS")
    for words in lines:
        run_line(words, folder, capsys)


@pytest.fixture(name="hub", scope="module")
def _hub() -> Iterator[HubServer]:
    with serve_hub() as hub:
        yield hub


def python_blocks() -> Iterator[Any]:
    """Yield the blocks in Python; those that train a model are for the slow tests."""
    for block in BLOCKS:
        if block.language == "python":
            trains = re.search(r"train\.(pretrain|finetune)\(", block.text)
            yield pytest.param(block, id=str(block), marks=[pytest.mark.slow] if trains else [])


@pytest.mark.parametrize("block", list(python_blocks()))
def test_python_blocks_run(block: CodeBlock, folder: Path, hub: HubServer) -> None:
    code = block.text + "\nprint('ran to its end')\n"
    environment = os.environ | hub.environment(folder / "cache") | {"HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.stdout.splitlines()[-1:] == ["ran to its end"], done.stderr
