"""README: its Python snippets run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.clips import make_flashing_shards

ROOT = Path(__file__).parents[2]


def snippets(page: Path) -> list[str]:
    """The indented blocks of a page that are Python with imports at their start."""
    blocks = re.findall(r"(?:^    .*\n|^\n(?=    ))+", page.read_text("utf-8"), re.M)
    plain = [re.sub(r"^    ", "", block, flags=re.M).strip() + "\n" for block in blocks]
    return [block for block in plain if re.match(r"(import|from) ", block)]


@pytest.mark.parametrize(
    ("page", "says"), [("README.md", "StreamLoader"), ("training/README.md", "pretraining_losses")]
)
def test_snippets_of_the_documents_run(page: str, says: str, tmp_path: Path) -> None:
    (code,) = [block for block in snippets(ROOT / page) if says in block]
    make_flashing_shards(tmp_path, {"a": 20, "b": 9})
    code = code.replace('"SHARDS"', '"shards"') + "\nprint('ran to its end')\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert done.stdout.strip() == "ran to its end", done.stderr
