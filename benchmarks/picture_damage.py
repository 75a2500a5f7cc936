"""Damage inside face pictures: the share that curation refuses, by kind of damage and format, and of whole pictures."""

import io
import random
from collections import Counter
from collections.abc import Iterator

import cv2
import numpy as np
from avf_curation.media.picture_file import decode_picture_file
from avf_curation.media.types import Bytes, MediaError
from PIL import Image

from benchmarks.table import SHARED, Section, cpu_s

_MAX_PIXELS = 100_000_000
_FACES = ("pyfeat_single_face", "obama_one_face", "two_people")
_PARTS = (0.1, 0.3, 0.5, 0.7, 0.9)  # where in the file the damage begins
_VISIBLE_LEVELS = 1.0  # mean change of all pixels from which on damage that nobody refuses counts as seen by a person
_JPEG_WRITERS: dict[str, dict[str, object]] = {
    "4:2:0": {},
    "4:4:4, quality 95": {"quality": 95, "subsampling": 0},
    "progressive": {"progressive": True},
    "restart markers": {"restart_marker_blocks": 8},
    "quality 60": {"optimize": True, "quality": 60},
}


def run() -> list[Section]:
    """Damage every picture in the same ways, drawn from one seed."""
    rows = [["damage", "JPEG", "progressive JPEG", "PNG", "TIFF (deflate)", "JPEG, still visible and not refused"]]
    files = _files()
    refused: Counter[tuple[str, str]] = Counter()
    total: Counter[tuple[str, str]] = Counter()
    visible: Counter[str] = Counter()
    draw = random.Random(7)
    for form, data in (item for items in files.items() for item in _pairs(items)):
        whole_HWC = decode_picture_file(data, _MAX_PIXELS).image_HWC
        for kind, damaged in _damage(data, draw):
            total[kind, form] += 1
            image_HWC = _decode(damaged)
            refused[kind, form] += image_HWC is None
            if image_HWC is not None and form in ("JPEG", "progressive"):
                visible[kind] += _differs(image_HWC, whole_HWC)
    kinds = list(dict.fromkeys(kind for kind, _ in total))
    for kind in kinds:
        shares = [_share(refused[kind, form], total[kind, form]) for form in files]
        jpegs = total[kind, "JPEG"] + total[kind, "progressive"]
        rows.append([kind, *shares, _share(visible[kind], jpegs)])
    sizes = {form: len(items) for form, items in files.items()}
    face = files["JPEG"][0]
    cost_ms = 1000 * cpu_s(lambda: decode_picture_file(face, _MAX_PIXELS))
    note = (
        f"{sizes['JPEG']} baseline and {sizes['progressive']} progressive JPEG files (the real pictures in shared/assets as they are, and "
        "three of them as Pillow and OpenCV write them: 4:2:0, 4:4:4, CMYK, grey, restart markers, 112 x 112), "
        f"{sizes['PNG']} PNG and {sizes['TIFF']} TIFF files, each damaged at five positions or cut at seven, and the share that is refused. Each whole file is "
        "decoded without a word; one that was refused would stop this benchmark. The last column is damage that changes the picture by "
        f"{_VISIBLE_LEVELS:g} of 255 levels or more in the mean and that no decoder notices. Decoding one JPEG with all that is asked of it: {cost_ms:.1f} ms of CPU."
    )
    return [Section("Damaged pictures", note, rows)]


def _pairs(items: tuple[str, list[bytes]]) -> Iterator[tuple[str, bytes]]:
    return ((items[0], data) for data in items[1])


def _files() -> dict[str, list[bytes]]:
    """Return form -> whole files."""
    files: dict[str, list[bytes]] = {"JPEG": [], "progressive": [], "PNG": [], "TIFF": []}
    for path in sorted((SHARED / "assets/image").glob("*.jpg")):
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            files["progressive" if image.info.get("progressive") else "JPEG"].append(data)
    for name in _FACES:
        face = Image.open(SHARED / f"assets/image/{name}.jpg").convert("RGB")
        for title, options in _JPEG_WRITERS.items():
            files["progressive" if title == "progressive" else "JPEG"].append(_encode(face, "JPEG", **options))
        files["JPEG"] += [_encode(face.convert(mode), "JPEG") for mode in ("CMYK", "L")]
        files["JPEG"].append(_encode(face.resize((112, 112)), "JPEG"))
        files["JPEG"].append(bytes(cv2.imencode(".jpg", np.asarray(face)[..., ::-1])[1]))
        small = face.resize((224, 224))
        files["PNG"] += [_encode(small, "PNG"), _encode(small.convert("P"), "PNG")]
        files["TIFF"].append(_encode(small, "TIFF", compression="tiff_adobe_deflate"))
    return files


def _encode(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _damage(data: bytes, draw: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield kinds of damage and the damaged file."""
    for percent in (10, 25, 50, 75, 90, 95, 99):
        yield "cut off at 10 to 99 %", data[: len(data) * percent // 100]
    for part in _PARTS:
        start = int(len(data) * part)
        for count, reach in ((1, 1), (8, 64)):
            damaged = bytearray(data)
            for _ in range(count):
                damaged[min(len(data) - 3, start + draw.randrange(reach))] ^= draw.randrange(1, 256)
            yield f"{count} byte{'s' * (count > 1)} changed", bytes(damaged)
        for size in (16, 512, 4096):
            end = min(start + size, len(data) - 2)
            yield f"{size} bytes zeroed", data[:start] + bytes(end - start) + data[end:]
            yield f"{size} bytes of noise", data[:start] + draw.randbytes(end - start) + data[end:]
        yield "512 bytes missing", data[:start] + data[start + 512 :]
    half = len(data) // 2
    yield "second half zeroed", data[:half] + bytes(len(data) - half)
    yield "second half noise", data[:half] + draw.randbytes(len(data) - half)


def _decode(data: bytes) -> Bytes | None:
    try:
        return decode_picture_file(data, _MAX_PIXELS).image_HWC
    except MediaError:
        return None


def _differs(image_HWC: Bytes, whole_HWC: Bytes) -> bool:
    if image_HWC.shape != whole_HWC.shape:
        return True
    return float(np.abs(image_HWC.astype(np.int16) - whole_HWC).mean()) >= _VISIBLE_LEVELS


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
