"""Each device says in words why it cannot be had; no GPU is needed for that, nor torch for what the machine tells."""

import ctypes
import platform
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
from avf_shards.errors import UserError
from avf_training.cli.main import build_parser
from avf_training.distributed import device_choice
from avf_training.distributed.collectives import process_group
from avf_training.distributed.device_choice import check_device_name, is_built_for_amd, resolve_device
from avf_training.framewise.tracks.ray_extraction import RayResources, RayWorkers
from avf_training.models import batch_norm
from avf_training.models.batch_norm import UnitBatchNorm

FOR_CPUS = "__version__ = '2.11.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n"
FOR_CUDA = "__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n"
FOR_AMD = "__version__ = '2.4.0a0+git3a9a13a'\ncuda: Optional[str] = None\nhip: Optional[str] = '6.2.41133'\n"


def install_torch(folder: Path, monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    """Let the program find a torch with this version.py, or none."""
    spec = ModuleSpec("torch", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    (folder / "version.py").write_text(version or "")
    monkeypatch.setattr(device_choice, "find_spec", lambda name: None if version is None else spec)


@pytest.mark.parametrize(
    ("version", "amd"),
    [
        (FOR_AMD, True),
        ("__version__ = '2.7.1+rocm7.0.0'\nhip = '7.0'\n", True),
        (FOR_CUDA, False),
        ("__version__ = '2.11.0+cpu'\n", False),
        (None, False),
    ],
)
def test_a_build_for_amd_needs_no_driver_of_nvidia(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str | None, amd: bool
) -> None:
    install_torch(tmp_path, monkeypatch, version)
    assert is_built_for_amd() == amd


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (FOR_CPUS, "torch 2.11.0+cpu sees it, a build without CUDA: install one with CUDA"),
        (FOR_CUDA, "torch 2.11.0+cu130 sees it, a build for CUDA 13.0: look at nvidia-smi for the driver"),
        (None, "and torch is not installed"),
    ],
)
def test_a_gpu_that_cannot_be_there_is_refused_without_torch_with_the_build_that_is_installed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    version: str | None,
    message: str,
) -> None:
    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    install_torch(tmp_path, monkeypatch, version)
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args(["predict", "v.mp4", "--model", "m", "--device", "cuda"])
    error = capsys.readouterr().err
    assert "this machine has no CUDA device" in error
    assert message in error


def test_a_gpu_that_torch_does_not_find_is_refused_with_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    install_torch(tmp_path, monkeypatch, FOR_AMD)
    with pytest.raises(UserError, match=r"--device cuda: .*git3a9a13a sees it, a build for AMD's ROCm 6\.2\.41133; "):
        resolve_device("cuda")


def test_other_names_are_refused_and_auto_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["predict", "v.mp4", "--model", "m"]
    assert build_parser().parse_args([*words, "--device", "auto"]) == build_parser().parse_args(words)
    with pytest.raises(SystemExit, match="2"):
        build_parser().parse_args([*words, "--device", "gpu"])
    assert "choose from auto, cuda, mps, cpu" in capsys.readouterr().err
    with pytest.raises(UserError, match="--device gpu: invalid choice"):
        resolve_device("gpu")


@pytest.mark.parametrize("cuda", [True, False])
def test_auto_takes_cuda_if_present_and_never_mps(monkeypatch: pytest.MonkeyPatch, cuda: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == resolve_device(None) == ("cuda" if cuda else "cpu")


def test_mps_is_taken_on_a_mac_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="mps: this is the GPU of a Mac with Apple silicon, and this machine is none"):
        check_device_name("mps")
    with pytest.raises(UserError, match=r"--device mps: this is the GPU of a Mac, and torch .* is built without it"):
        resolve_device("mps")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert check_device_name("mps") == resolve_device("mps") == "mps"
    with pytest.raises(UserError, match="--device mps: it has no float64, in which the sums computes; take cpu"):
        resolve_device("mps", float64_for="the sums")


def test_mps_computes_in_a_single_process_and_not_on_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    with process_group("mps") as context:
        assert context.device == torch.device("mps")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UserError, match="--device mps: one process only, and this is one of 2"), process_group("mps"):
        pass
    resources = RayResources(cpus=8, gpus=1, node_gpus=1)
    with pytest.raises(UserError, match="--device mps: Ray does not count Apple's GPUs"):
        RayWorkers.from_resources(resources, None, "mps")


def test_batch_norm_moves_to_a_device_without_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    norm = UnitBatchNorm(4, 2, per_unit=True)
    assert norm.to("cpu").sum_mean_UC.dtype == torch.float64
    monkeypatch.setattr(batch_norm, "_WITHOUT_FLOAT64", ("cpu",))
    norm.to("cpu").train()
    assert {tensor.dtype for tensor in norm.state_dict().values() if tensor.is_floating_point()} == {torch.float32}
    assert {tensor.dtype for tensor in norm.buffers() if tensor.is_floating_point()} == {torch.float32}
    x_BCO = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    norm(x_BCO, 1)
    reference = UnitBatchNorm(4, 2, per_unit=True).train()
    reference(x_BCO, 1)
    assert torch.equal(norm.running_mean[1], reference.running_mean[1])  # type: ignore[index]
