"""Every public name of the three packages exists, and importing a package loads no package that is slow to import."""

import importlib
import subprocess
import sys

import pytest

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
