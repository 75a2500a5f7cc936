"""What the learned sync network reads of LR-ASD's embedding of a face: its values on a few principal components.

The components are those of the clips that the network learns from, each in its own standard deviations, so that 20
numbers stand beside the eleven distances of the mouth.

Shapes: T frames, N frames of all clips, V = 128 values of an embedding, K = 20 components.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

VALUES, COMPONENTS = 128, 20
MEAN, AXES = "face.mean", "face.axes"  # names of the tensors in the file of a network
_LEAST_DEVIATION = 1e-3  # of the largest one: components that change less are noise, and are not made as large

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class FaceComponents:
    """The principal components of embeddings."""

    mean_V: Floats
    axes_VK: Floats  # over their standard deviations

    def project(self, embeddings_TV: Floats) -> Floats:
        """Return the components of a clip around their mean in it, (T, K)."""
        components_TK = (embeddings_TV - self.mean_V) @ self.axes_VK
        centred_TK: Floats = (components_TK - components_TK.mean(axis=0)).astype(np.float32)
        return centred_TK

    def weights(self) -> dict[str, Floats]:
        """Return the tensors of a file."""
        return {MEAN: self.mean_V, AXES: self.axes_VK}


def fit_components(clips: Sequence[Floats]) -> FaceComponents:
    """Return the components of the embeddings of clips, (T, V) each, that have at least K frames together."""
    embeddings_NV = np.concatenate(clips)
    mean_V = embeddings_NV.mean(axis=0)
    _, sizes, axes_VV = np.linalg.svd(embeddings_NV - mean_V, full_matrices=False)
    deviations_K = np.maximum(sizes[:COMPONENTS], max(_LEAST_DEVIATION * sizes[0], 1e-6)) / len(embeddings_NV) ** 0.5
    axes_VK = (axes_VV[:COMPONENTS].T / deviations_K).astype(np.float32)
    return FaceComponents(mean_V=mean_V.astype(np.float32), axes_VK=np.ascontiguousarray(axes_VK))


def load_components(weights: Mapping[str, Floats]) -> FaceComponents | None:
    """Return the components in the tensors of a file; None for a network that reads distances alone."""
    return FaceComponents(mean_V=weights[MEAN], axes_VK=weights[AXES]) if MEAN in weights else None
