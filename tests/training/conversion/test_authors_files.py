"""Files of the authors hold more than tensors: arguments, the optimizer's state, and single numbers of NumPy."""

import argparse
import pickletools
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from avf_shards.errors import UserError
from avf_training.conversion.convert import read_authors_checkpoint


def globals_of(pickled: bytes) -> set[str]:
    return {str(word) for operation, word, _ in pickletools.genops(pickled) if operation.name == "GLOBAL"}


def rename_global(source: Path, target: Path, old: bytes, new: bytes) -> set[str]:
    """Write a file of torch with another name of a global, and return all of them."""
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as renamed:
        names: set[str] = set()
        for name in archive.namelist():
            data = archive.read(name)
            if name.endswith("data.pkl"):
                data = data.replace(old, new)
                names = globals_of(data)
            renamed.writestr(name, data)
    return names


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_numbers_of_numpy_1_and_2_stand_beside_the_tensors(module: bytes, tmp_path: Path) -> None:
    weights = torch.arange(4.0)
    step = torch.tensor(3, dtype=torch.int64)
    values = {
        "model": {"w": weights},
        "optimizer": {"state": {0: {"step": step, "exp_avg": torch.zeros(4)}}},
        "epoch": 99,
        "best": np.float64(71.5),
        "args": argparse.Namespace(lr=np.float32(1e-3), seed=np.int64(0)),
    }
    torch.save(values, tmp_path / "new.pth")
    names = rename_global(tmp_path / "new.pth", tmp_path / "file.pth", b"numpy._core.multiarray", module)
    # What the Hub lists for AVF-MAE++_huge.pth, in NumPy 1's name.
    assert names == {
        "torch LongStorage", "torch FloatStorage", "torch._utils _rebuild_tensor_v2", "collections OrderedDict",
        "argparse Namespace", "_codecs encode", "numpy dtype", f"{module.decode()} scalar",
    }  # fmt: skip
    assert torch.equal(read_authors_checkpoint(tmp_path / "file.pth")["w"], weights)


def test_what_could_run_code_is_refused_beside_them(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(1)}, "best": np.float64(1)}, tmp_path / "new.pth")
    rename_global(tmp_path / "new.pth", tmp_path / "file.pth", b"numpy._core.multiarray\nscalar", b"os\nsystem")
    with pytest.raises(UserError, match="other objects in such a file can run code"):
        read_authors_checkpoint(tmp_path / "file.pth")
