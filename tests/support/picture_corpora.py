"""Miniature trees of corpora of face pictures, and packed files of records as MXNet writes them."""

import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures.registry import picture_reader
from avf_curation.sources.pictures.types import Picture
from avf_curation.sources.types import SkippedInput
from scipy.io import savemat

from support.corpora import write_file

JPEG = b"\xff\xd8\xff\xe0 a picture"
MARK = struct.pack("<I", 0xCED7230A)


def read_pictures(name: str, root: Path) -> tuple[dict[str, Picture], dict[str, tuple[str, str]]]:
    """Return the pictures of a corpus by their id, and path -> kind and reason of what is none."""
    skipped: list[SkippedInput] = []
    reader = picture_reader(name)
    assert reader is not None
    pictures = list(reader.list_pictures(Listing(name, root, skipped)))
    by_id = {picture.picture_id: picture for picture in pictures}
    assert len(by_id) == len(pictures), "ids are unique"
    return by_id, {entry.path: (entry.kind, entry.reason) for entry in skipped}


def make_record(labels: Sequence[float], picture: bytes, *, parts: int = 1) -> bytes:
    """Return a record; one of several parts is cut where a mark lies in its payload, as MXNet cuts it."""
    head = (
        struct.pack("<IfQQ", 0, labels[0], 7, 0)
        if len(labels) == 1
        else struct.pack(f"<IfQQ{len(labels)}f", len(labels), 0.0, 7, 0, *labels)
    )
    payload = head + picture
    if parts == 1:
        return _frame(payload, 0)
    pieces = payload.split(MARK)
    assert len(pieces) == parts
    codes = [1] + [2] * (parts - 2) + [3]
    return b"".join(_frame(piece, code) for piece, code in zip(pieces, codes, strict=True))


def _frame(payload: bytes, code: int) -> bytes:
    return MARK + struct.pack("<I", code << 29 | len(payload)) + payload + b"\0" * (-len(payload) % 4)


def write_records(root: Path, records: Mapping[int, bytes]) -> dict[int, int]:
    """Write train.rec and train.idx; return key -> position."""
    data, positions = b"", {}
    for key, record in records.items():
        positions[key] = len(data)
        data += record
    write_file(root, "train.rec", data)
    write_file(root, "train.idx", "".join(f"{key}\t{position}\n" for key, position in positions.items()))
    return positions


def encode_npy(value: object) -> bytes:
    """Return the bytes of a .npy file that holds one value."""
    file = io.BytesIO()
    np.save(file, np.array(value))
    return file.getvalue()


def affectnet_full(root: Path) -> Path:
    """Write AffectNet's full release: each class, a row without a picture, a picture in both tables, bad rows."""
    names = ["1/a.jpg", "1/b.jpg", "2/c.jpg", "2/d.jpg", "2/e.png", "2/f.jpg", "3/spare.jpg"]
    for name in names:
        write_file(root, f"Manually_Annotated_Images/{name}", JPEG)
    header = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
    rows = [
        "1/a.jpg,10,20,30,40,1;2,1,0.5,-0.25",
        "1/b.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2",
        "2/c.jpg,0,0,9,9,1;2,7,0.1,0.2",
        "2/d.jpg,0,0,9,9,1;2,11,0.1,0.2",
        "2/e.png,0,0,9,9,1;2,4,5,0.2",
        "2/gone.jpg,0,0,9,9,1;2,0,0,0",
        "../../etc/passwd,0,0,9,9,1;2,0,0,0",
        "2/f.jpg,0,0,9,9,1;2,happy,0,0",
        "1/a.jpg,too,few",
    ]
    write_file(root, "training.csv", "\n".join([header, *rows]) + "\n")
    write_file(root, "validation.csv", "1/a.jpg,10,20,30,40,1;2,1,0.5,-0.25\n2/f.jpg,0,0,9,9,1;2,6,0,-1\n")
    return root


def affectnet_2021(root: Path) -> Path:
    """Write AffectNet's release of 2021: numbers as texts in 0-d arrays, a missing and a hostile annotation."""
    values = {"train_set": {"7": ("3", "0.5", "-0.5"), "8": ("7", "-2", "-2")}, "val_set": {"7": ("0", "0", "0")}}
    for folder, pictures in values.items():
        for stem, numbers in pictures.items():
            write_file(root, f"{folder}/images/{stem}.jpg", JPEG)
            for name, number in zip(("exp", "val", "aro"), numbers, strict=True):
                write_file(root, f"{folder}/annotations/{stem}_{name}.npy", encode_npy(number))
    write_file(root, "train_set/images/9.jpg", JPEG)
    return root


def raf_db(root: Path) -> Path:
    """Write RAF-DB: a picture of each set, a name twice, a row without a picture, one without a number."""
    lines = ["train_00001.jpg 5", "test_0001.jpg 1", "train_00001.jpg 6", "train_00009.jpg 7", "test_0002.jpg 8", "x"]
    write_file(root, "basic/EmoLabel/list_patition_label.txt", "\n".join(lines) + "\n")
    for stem in ("train_00001", "test_0001", "test_0003"):
        write_file(root, f"basic/Image/aligned/{stem}_aligned.jpg", JPEG)
    return root


def casia_webface(root: Path) -> Path:
    """Write CASIA-WebFace in folders: two persons, one without pictures, and a stray file."""
    for name in ("0000045/001.jpg", "0000045/002.jpg", "0000099/001.jpg", "0000099/notes.txt"):
        write_file(root, f"CASIA-WebFace/{name}", JPEG)
    (root / "CASIA-WebFace/0000100").mkdir()
    return root


def celeba(root: Path) -> Path:
    """Write CelebA: a picture of each set, one in no set, a row without a picture, a bad row."""
    for stem in ("000001", "000002", "000003", "000004"):
        write_file(root, f"img_align_celeba/{stem}.jpg", JPEG)
    lines = ["000001.jpg 0", "000002.jpg 1", "000003.jpg 2", "000009.jpg 0", "000004.jpg 3"]
    write_file(root, "list_eval_partition.txt", "\n".join(lines) + "\n")
    return root


def imdb_wiki(root: Path) -> Path:
    """Write the part of Wikipedia: one face, no face, two faces, a weak face, an entry without a picture."""
    names = ["00/a.jpg", "00/b.jpg", "01/c.jpg", "01/d.jpg", "01/gone.jpg"]
    for name in (*names[:4], "01/spare.jpg"):
        write_file(root, f"wiki_crop/{name}", JPEG)
    table = {
        "full_path": np.array(names, object)[None],
        "face_location": np.array([np.array([[1.0, 2.0, 30.0, 40.0]])] * 5 + [None], object)[None, :5],
        "face_score": np.array([[3.5, -np.inf, 4.0, 0.5, 2.0]]),
        "second_face_score": np.array([[np.nan, np.nan, 2.0, np.nan, np.nan]]),
        "dob": np.array([[700_000] * 5]),
    }
    savemat(root / "wiki_crop/wiki.mat", {"wiki": table})
    return root


def webface260m(root: Path) -> Path:
    """Write WebFace260M in folders."""
    for name in ("0_0_0000001/0_0.jpg", "0_0_0000001/0_1.jpg", "0_1_0000002/0_0.jpg"):
        write_file(root, name, JPEG)
    return root
