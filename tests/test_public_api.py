"""Every public name of the three packages exists, and importing a package loads no package that is slow to import."""

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import avf_shards
import pytest
from support.clips import make_flashing_shards

PACKAGES = ["avf_shards", "avf_curation", "avf_training"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_resolves(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="no_such_name"):
        module.no_such_name  # noqa: B018  the access itself is tested


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    code = (
        f"import sys, {package}; print([name for name in ('numpy', 'pyarrow', 'ray', 'torch') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_example_in_the_docstring_reads_every_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_flashing_shards(tmp_path, {"demo": 2})
    monkeypatch.chdir(tmp_path)
    assert avf_shards.__doc__ is not None
    start, stop = avf_shards.__doc__.index("    from pathlib"), avf_shards.__doc__.index("Needs the standard library")
    code = textwrap.dedent(avf_shards.__doc__[start:stop]).rstrip()
    code += "\n            clips.append((key, len(video), len(audio)))"
    clips: list[tuple[str, int, int]] = []
    exec(code, {"clips": clips})
    assert len(clips) == 2
    assert all(video_bytes and audio_bytes for _, video_bytes, audio_bytes in clips)
