"""Reading of torch's distributed checkpoints without running code from them.

torch's `.metadata` is a pickle, and so are the values of an optimizer that are no tensors. Both are read by unpicklers
that know the types of a checkpoint and refuse every other name, so a checkpoint from a stranger cannot run anything.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from avf_shards.errors import FaultError
from avf_shards.system.storage_faults import open_plain

# A nested state dict is flat in the file; this puts a value back where it belongs, as torch's own planner does.
from torch.distributed.checkpoint._nested_dict import set_element
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import ReadItem

_ALLOWED_NAMES = frozenset(
    {
        ("collections", "OrderedDict"),
        ("pathlib", "PosixPath"),
        ("torch", "Size"),
        ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
        ("torch.distributed.checkpoint.metadata", "BytesStorageMetadata"),
        ("torch.distributed.checkpoint.metadata", "ChunkStorageMetadata"),
        ("torch.distributed.checkpoint.metadata", "Metadata"),
        ("torch.distributed.checkpoint.metadata", "MetadataIndex"),
        ("torch.distributed.checkpoint.metadata", "StorageMeta"),
        ("torch.distributed.checkpoint.metadata", "TensorProperties"),
        ("torch.distributed.checkpoint.metadata", "TensorStorageMetadata"),
        ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING"),
        ("torch.serialization", "_get_layout"),
    }
)


class _MetadataUnpickler(pickle.Unpickler):
    """An unpickler that knows the types of torch's checkpoint metadata alone."""

    def find_class(self, module: str, name: str) -> Any:
        """Return an allowed type. Raises FaultError for every other name."""
        if (module, name) in _ALLOWED_NAMES:
            return super().find_class(module, name)
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        raise FaultError(f".metadata names {module}.{name}, which no checkpoint holds; nothing of it was run")


class CheckpointReader(dcp.FileSystemReader):
    """torch's reader, which opens only files of the checkpoint's manifest and runs no code from them."""

    def __init__(self, folder: Path, files: frozenset[str]) -> None:
        """Read the metadata of a checkpoint.

        Args:
            folder: the folder of the checkpoint.
            files: names of the files that its manifest lists, whose digests have been checked.

        Raises:
            FaultError: the metadata is a pickle of anything else, or names other files.
        """
        super().__init__(folder)
        # Read here and not when torch asks: it takes an error for the lack of a file, and looks for another.
        self._metadata = self._load_metadata(folder / ".metadata", files)

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Return the checkpoint's metadata."""
        return self._metadata

    def _load_metadata(self, path: Path, files: frozenset[str]) -> Metadata:
        with open(path, "rb", opener=open_plain) as file:
            try:
                metadata = _MetadataUnpickler(file).load()
            except FaultError:
                raise
            except Exception as error:  # a damaged pickle raises errors of any type
                raise FaultError(f".metadata cannot be read ({type(error).__name__})") from None
        if not isinstance(metadata, Metadata) or not isinstance(metadata.storage_data, dict):
            raise FaultError(".metadata holds no metadata of a checkpoint")
        paths = {str(getattr(item, "relative_path", "")) for item in metadata.storage_data.values()}
        if strange := sorted(paths - files):
            raise FaultError(f".metadata names {strange[0]!r}, which the manifest does not list")
        metadata.storage_meta = StorageMeta(load_id=self.load_id)
        return metadata


class CheckpointPlanner(DefaultLoadPlanner):
    """torch's planner, which unpickles values that are no tensors by the rules of `weights_only`."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Put a value of the optimizer into the state that is being loaded. Raises pickle.UnpicklingError."""
        name = read_item.dest_index.fqn
        loaded = torch.load(value, map_location="cpu", weights_only=True)
        set_element(self.original_state_dict, self.mappings[name], loaded)
