"""The files of one original: the real video encoded anew, and its forgeries, all of one size: a size tells nothing."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from avf_shards.errors import UserError
from avf_shards.system.durable_io import make_folder, replace_file
from avf_shards.system.storage_faults import read_bytes
from avf_shards.timeline import FRAMES_PER_SECOND, SAMPLES_PER_FRAME

from avf_curation.forging.film_file import encode_film, pad_film
from avf_curation.forging.methods import METHODS, Forged
from avf_curation.forging.originals import Original, donors_of
from avf_curation.forging.takes import MARGIN_FRAMES, Take, read_take
from avf_curation.media.types import MediaError
from avf_curation.recipe import load_recipe

STATE = ".forge"
"""The folder below OUT that says how OUT was made, and how far it came."""
_MAX_DONORS = 3  # that are asked for a voice or a face, one after another
_LEAST_PADDING_BYTES = 8

LabelRow = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class ForgeConfig:
    """How forgeries are made."""

    methods: tuple[str, ...] = tuple(METHODS)  # names of METHODS
    fakes: int | None = None  # of each original, of the methods in turn; None: one of each method
    seed: int = 0  # another one draws other stretches, donors and splits
    seconds: float = 10.0  # of each video that are used, from its middle


@dataclass(frozen=True, kw_only=True)
class ForgeWork:
    """What every original of a folder needs to know."""

    folder: Path  # of the originals
    out: Path
    config: ForgeConfig
    originals: tuple[Original, ...]

    def read(self, original: Original) -> Take:
        """Return the take of an original. Raises MediaError."""
        return _read_take(self.folder / original.path, self.config.seconds)


@lru_cache(maxsize=2)  # of an original, and of the donor of its voice and face
def _read_take(path: Path, seconds: float) -> Take:
    return read_take(path, seconds, load_recipe().defaults.media)


def read_state(path: Path) -> dict[str, Any]:
    """Return the object in a file of the folder's state. Raises UserError where it holds none."""
    try:
        values = json.loads(read_bytes(path))
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise UserError(f"{path}: is damaged; remove the folder and call again")
    return values


def forge_original(work: ForgeWork, number: int) -> dict[str, Any]:
    """Write the files of one original; return its rows, or why there are none (`unused`, `missed`).

    Where its rows and files are there already, nothing is written.
    """
    original, out, path = work.originals[number], work.out, work.out / STATE / f"rows/{number}.json"
    if path.is_file():
        answer = read_state(path)
        if all((out / row["file"]).is_file() for row in answer["rows"]):
            return answer
    answer = {"rows": [], "unused": {}, "missed": {}}
    try:
        take = work.read(original)
    except MediaError as error:
        answer["unused"][original.name] = str(error)
        replace_file(path, json.dumps(answer).encode())
        return answer
    real = f"{original.name}/real.mp4"
    films = {real: _encode(Forged(frames_THWC=take.frames_THWC, samples_S=take.samples_S, stretch=None), take, "")}
    base = {"original": real, "subject": original.subject, "split": original.split}
    answer["rows"].append({**base, "file": real, "fake": "0", "forged": "none", "method": "real", "segments": ""})
    for method in _methods_of(work.config, number):
        forged = _forge(work, take, original, method)
        if isinstance(forged, str):
            answer["missed"][f"{original.name} {method}"] = forged
            continue
        file = f"{original.name}/{method}.mp4"
        films[file] = _encode(forged, take, method)
        start, stop = forged.stretch or (MARGIN_FRAMES, take.frames - MARGIN_FRAMES)
        start_s, stop_s = ((frame - MARGIN_FRAMES) / FRAMES_PER_SECOND for frame in (start, stop))
        row = {"file": file, "fake": "1", "forged": METHODS[method].kind, "method": method}
        answer["rows"].append({**base, **row, "segments": f"{start_s:.2f}-{stop_s:.2f}"})
    make_folder(out / original.name)
    size_bytes = max(map(len, films.values())) + _LEAST_PADDING_BYTES
    for file, data in films.items():
        replace_file(out / file, pad_film(data, size_bytes))
    replace_file(path, json.dumps(answer).encode())
    return answer


def _methods_of(config: ForgeConfig, number: int) -> list[str]:
    """Return the methods for one original: all, or so many of them, each as often as the others over all originals."""
    count = len(config.methods) if config.fakes is None else config.fakes
    chosen = {config.methods[(number * count + index) % len(config.methods)] for index in range(count)}
    return [method for method in config.methods if method in chosen]


def _forge(work: ForgeWork, take: Take, original: Original, method: str) -> Forged | str:
    """Return a forgery of the take, or why there is none."""
    needs = METHODS[method].needs
    if "sound" in needs and not take.has_sound:
        return "has no sound"
    if "face" in needs and take.boxes is None:
        return "no face is seen in most of its frames"
    donor = None
    if "donor" in needs:
        donor = _find_donor(work, donors_of(original, work.originals, work.config.seed), method)
        if donor is None:
            return "no video of another person lends what is needed; name people in a labels.csv, column `subject`"
    digest = hashlib.sha256(f"{work.config.seed}\0{original.name}\0{method}".encode()).digest()
    draw = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    return METHODS[method].forge(take, donor, draw)


def _find_donor(work: ForgeWork, donors: Sequence[Original], method: str) -> Take | None:
    """Return the first of the donors that has what the method needs; None where none has."""
    needs = METHODS[method].needs
    for donor in donors[:_MAX_DONORS]:
        try:
            take = work.read(donor)
        except MediaError:
            continue
        if ("sound" not in needs or take.has_sound) and ("face" not in needs or take.boxes is not None):
            return take
    return None


def _encode(forged: Forged, take: Take, method: str) -> bytes:
    """Return a take without its margins as an mp4; the comment in it says whether and how it was forged."""
    inside = slice(MARGIN_FRAMES, take.frames - MARGIN_FRAMES)
    samples = slice(inside.start * SAMPLES_PER_FRAME, inside.stop * SAMPLES_PER_FRAME)
    comment = f"avf-curate forge: {f'forged, {method}' if method else 'real, encoded anew'}"
    return encode_film(forged.frames_THWC[inside], forged.samples_S[samples] if take.has_sound else None, comment)
