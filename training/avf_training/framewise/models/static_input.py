"""Pictures as SUN's networks of single pictures get them: within a black square, resized as Pillow does, 8 bits."""

import numpy as np
import numpy.typing as npt
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pictures


def letterbox(picture_HW3: npt.NDArray[np.uint8], size_px: int) -> npt.NDArray[np.uint8]:
    """Return a picture of any shape in the middle of a black square, (P, P, 3), its longer side as long as the square.

    Rounding is that of 8-bit pictures, as in the authors' code; the shorter side is rounded down, to 1 at least.
    """
    height_px, width_px = picture_HW3.shape[:2]
    ratio = size_px / max(height_px, width_px)
    height_px, width_px = (max(1, min(size_px, int(side_px * ratio))) for side_px in (height_px, width_px))
    resized = pictures.resize(
        pictures.to_pil_image(picture_HW3), [height_px, width_px], interpolation=InterpolationMode.BILINEAR
    )
    square_PP3 = np.zeros((size_px, size_px, 3), np.uint8)
    top_px, left_px = (size_px - height_px) // 2, (size_px - width_px) // 2
    square_PP3[top_px : top_px + height_px, left_px : left_px + width_px] = np.asarray(resized)
    return square_PP3
