"""The reconstruction loss: mean squared error of the tokens that the encoder did not see (AVF-MAE++ eq. 3).

Shapes: B batch, M tokens to reconstruct, P values of a patch.
"""

from torch import Tensor


def masked_mse(predicted_BMP: Tensor, target_BMP: Tensor, weight_BM: Tensor) -> Tensor:
    """Return the error averaged over the values of each patch, then over all patches of the batch with weight 1.

    The divisor is the actual number of these patches, as in the authors' code; eq. 3 prints (1 - rho) * N, which also
    counts tokens that the encoder saw.
    """
    error_BM = (predicted_BMP - target_BMP).square().mean(-1)
    return (error_BM * weight_BM).sum() / weight_BM.sum()
