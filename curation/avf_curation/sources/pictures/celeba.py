"""CelebA: img_align_celeba/000001.jpg of 178 x 218 pixels, and list_eval_partition.txt."""

from collections.abc import Iterator

from avf_shards.errors import UserError
from avf_shards.format.picture_record import Subset
from avf_shards.system.storage_faults import read_text

from avf_curation.sources.listing import Listing
from avf_curation.sources.pictures.types import Picture

NAME = "celeba"
ABOUT = "CelebA: aligned face pictures of celebrities, with the owners' split; used without labels."
LABELLED = False
OWNERS_COUNT = 202_599
LAYOUT = "img_align_celeba/000001.jpg (or Img/img_align_celeba/), list_eval_partition.txt (or Eval/)"
_SUBSETS: dict[str, Subset] = {"0": "train", "1": "validation", "2": "test"}
_LISTS = ("list_eval_partition.txt", "Eval/list_eval_partition.txt")
_FOLDERS = ("img_align_celeba", "Img/img_align_celeba")


def list_pictures(listing: Listing) -> Iterator[Picture]:
    """Yield every picture. Raises UserError where there is no folder of pictures."""
    candidates = [f"{base}{folder}" for base in ("", "CelebA/", "celeba/") for folder in _FOLDERS]
    folder = next((path for path in candidates if listing.has_folder(path)), None)
    if folder is None:
        raise UserError(
            f"--source {listing.source}={listing.root}: there is no folder img_align_celeba/ in it; `avf-curate "
            "sources ls` shows the owners' layout"
        )
    files = listing.files_by_stem(folder, r"\d{6}\.(jpg|png)", "picture (six digits)")
    base = folder.removesuffix("img_align_celeba").removesuffix("Img/")
    lines: dict[str, str] = {}
    subsets = _read_subsets(listing, base, lines)
    for stem, file in files.items():
        subset = subsets.pop(stem, None) if subsets is not None else None
        if subsets is not None and subset is None:
            listing.skip("unlisted", file.path, "the owners' split has no such line: the picture is in no set")
        yield Picture(picture_id=stem, **file.stat_fields, subset=subset)
    for stem in sorted(subsets or ()):
        listing.skip("missing", lines[stem], f"in the owners' split, but there is no {folder}/{stem}.jpg")


def _read_subsets(listing: Listing, base: str, lines: dict[str, str]) -> dict[str, Subset] | None:
    """Return stem -> subset of the owners' split; None where there is no split. `lines` gets stem -> file and line.

    A picture that two lines name is in the later one of train, validation and test.
    """
    path = next((f"{base}{name}" for name in _LISTS if listing.has_file(f"{base}{name}")), None)
    if path is None:
        listing.skip("missing", f"{base}{_LISTS[0]}", "the owners' split is not there: no picture has a set")
        return None
    subsets: dict[str, Subset] = {}
    for number, line in enumerate(read_text(listing.locate(path), "utf-8-sig", "replace").splitlines(), 1):
        name, _, code = line.strip().partition(" ")
        if code.strip() not in _SUBSETS:
            if line.strip():
                listing.skip("bad_row", f"{path}:{number}", f"{line[:60]!r} is no name and 0, 1 or 2")
            continue
        stem, subset, where = name.rpartition(".")[0], _SUBSETS[code.strip()], f"{path}:{number}"
        if (before := subsets.get(stem)) is not None:
            later = max(before, subset, key=tuple(_SUBSETS.values()).index)
            reason = f"{stem} is in the set {subset} here, and in {before} by {lines[stem]}: counts for {later}"
            listing.skip("duplicate", where, reason)
            if later == before:
                continue
        subsets[stem], lines[stem] = subset, where
    return subsets
