"""Decodes the file of one face picture under limits, upright and in BGR, and encodes what is stored of it.

Pillow reads them: it tells the size before it takes memory, refuses what is cut off, and knows EXIF, CMYK and palettes.
What it decodes in silence although it is damaged inside, `picture_damage.py` tells.
"""

import io
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from avf_curation.media.libtiff import silence_libtiff
from avf_curation.media.picture_damage import describe_damage
from avf_curation.media.types import Bytes, MediaError

# A file that names another format than these is refused: each further decoder is one more that a file may attack.
_FORMATS = ("JPEG", "PNG", "BMP", "TIFF")
_STORABLE = {"JPEG": "jpg", "PNG": "png"}  # format -> extension of a picture that is stored as it is
_UPRIGHT = (None, 1)  # values of EXIF's orientation
_MIN_SIDE_PX = 8
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262  # tags of TIFF
silence_libtiff()
Image.MAX_IMAGE_PIXELS = None  # `max_pixels` is the limit, and is asked before anything is decoded


@dataclass(frozen=True, kw_only=True)
class DecodedPicture:
    """A picture in memory."""

    image_HWC: Bytes  # (H, W, 3) BGR, upright
    extension: str | None  # under which the file can be stored as it is; None: it has to be encoded anew

    @property
    def width_px(self) -> int:
        """The width, upright."""
        return int(self.image_HWC.shape[1])

    @property
    def height_px(self) -> int:
        """The height, upright."""
        return int(self.image_HWC.shape[0])


def decode_picture_file(data: bytes, max_pixels: int) -> DecodedPicture:
    """Decode the bytes of a JPEG, PNG, BMP or TIFF file; of several pictures in it the first.

    Raises MediaError: not_media for another file or one that does not decode, damaged for one that decodes although
    its data are damaged, picture_size for one that is too small, or that has more than `max_pixels` pixels, which is
    told before memory is taken for them.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that make no sense; what does not decode is an error
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise MediaError("picture_size", f"{width} x {height} pixels, more than {max_pixels:,} in all")
                if min(width, height) < _MIN_SIDE_PX:
                    raise MediaError("picture_size", f"{width} x {height} pixels, less than {_MIN_SIDE_PX} a side")
                image.load()
                if (damage := describe_damage(data, image.format, max_pixels)) is not None:
                    raise MediaError("damaged", f"the picture is damaged inside ({damage})")
                is_upright = image.getexif().get(ExifTags.Base.Orientation) in _UPRIGHT
                extension = _STORABLE.get(image.format or "") if is_upright else None
                upright = image if is_upright else ImageOps.exif_transpose(image)
                rgb_HWC = np.asarray(_to_eight_bits(upright, *_grey_scale(image)).convert("RGB"))
    except MediaError:
        raise
    except UnidentifiedImageError:
        raise MediaError("not_media", "the file is no JPEG, PNG, BMP or TIFF") from None
    except (OSError, SyntaxError, ValueError, OverflowError, ZeroDivisionError, KeyError, IndexError) as error:
        # Pillow's decoders raise each of these for damaged files; one with an errno would be the machine's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise MediaError("not_media", f"the picture does not decode ({type(error).__name__}: {error})") from None
    return DecodedPicture(image_HWC=np.ascontiguousarray(rgb_HWC[..., ::-1]), extension=extension)


def _grey_scale(image: Image.Image) -> tuple[int, bool]:
    """Return the bits that a grey level has in the file, and whether 0 is white: a TIFF says both.

    Raises MediaError for levels that are signed, of 32 bits or fractions.
    """
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F" or (image.mode == "I" and tags):
        raise MediaError(
            "not_media",
            "its grey levels are signed, of 32 bits or fractions, and no file says which of them is white; save it "
            "with 8 or 16 bits",
        )
    return tags.get(_BITS_PER_SAMPLE, (16,))[0], tags.get(_PHOTOMETRIC) == 0


def _to_eight_bits(image: Image.Image, bits: int, is_white_zero: bool) -> Image.Image:
    """Return a picture of 9 to 16 bits a grey level with the upper eight; one of eight bits as it is."""
    if not image.mode.startswith("I"):
        return image
    levels_HW = (np.asarray(image).astype(np.int64) >> (bits - 8)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(255 - levels_HW if is_white_zero else levels_HW)


def encode_picture(image_HWC: Bytes, jpeg_quality: int) -> bytes:
    """Encode a BGR image as JPEG."""
    success, data = cv2.imencode(".jpg", image_HWC, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    if not success:
        raise RuntimeError("a picture could not be encoded as JPEG")
    return bytes(data.tobytes())


def fit_picture(image_HWC: Bytes, longer_px: int) -> tuple[Bytes, float]:
    """Return an image whose longer side is at most `longer_px`, shrunk by area averages, and its scale."""
    height, width = image_HWC.shape[:2]
    scale = longer_px / max(height, width)
    if scale >= 1:
        return image_HWC, 1.0
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image_HWC, size, interpolation=cv2.INTER_AREA)), scale
