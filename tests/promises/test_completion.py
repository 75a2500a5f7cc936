"""A shell completes the words of the three commands, and waits for no library that takes long to load."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = {"avf-curate": "avf_curation", "avf-shards": "avf_shards", "avf-train": "avf_training"}
HEAVY = ("torch", "ray", "av", "cv2", "numpy", "pyarrow", "matplotlib", "rich", "yaml")


def completions(line: str, folder: Path) -> tuple[list[str], set[str]]:
    """Return what the shell is offered at the end of `line`, and the heavy packages that were imported for it."""
    answer = folder / "answer"
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    module = f"{PACKAGES[line.split()[0]]}.cli.main"
    words = [sys.executable, "-X", "importtime", "-m", module]
    shell = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in shell.stderr.splitlines()}
    return answer.read_text("utf-8").split(), imported & set(HEAVY)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("avf-curate what", ["what-if"]),
        ("avf-train evaluate-", ["evaluate-pretraining"]),
        ("avf-train posttrain --recipe avfmaepp_", ["avfmaepp_b", "avfmaepp_h", "avfmaepp_l"]),
        ("avf-shards pack --dry", ["--dry-run"]),
    ],
)
def test_a_shell_completes_words_without_heavy_imports(line: str, offered: list[str], tmp_path: Path) -> None:
    words, heavy = completions(line, tmp_path)
    assert sorted(words) == offered
    assert not heavy


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("avf-curate weights pull retin", "retinaface_mobilenet"),
        ("avf-curate run --set sync.min_conf", "sync.min_confidence=3.0"),
        ("avf-curate run --recipe mi", "mine.yaml"),
        ("avf-train describe hicmae_", "hicmae_b"),
        ("avf-train datasets ma", "mafw_11"),
        ("avf-train finetune --dataset ma", "mafw_11"),
        ("avf-train study mi", "mine.yaml"),
        ("avf-train recipe show pretrain nan", "nano"),
        ("avf-train recipe check finetune mi", "mine.yaml"),
        ("avf-train recipe show finetune nano --set lora.ra", "lora.rank="),
        ("avf-train recipe check pretrain nano --set precision.comp", "precision.compute="),
        ("avf-train recipe show train-frames sun_v3 --set see", "seed="),
    ],
)
def test_a_shell_completes_names_settings_and_files(line: str, offered: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("")
    words, _ = completions(line, tmp_path)
    assert offered in words
    assert all(word.startswith(line.split()[-1]) for word in words)
