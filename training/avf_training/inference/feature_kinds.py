"""The features that a window has. Without torch, so that a wrong name is refused quickly."""

from collections.abc import Sequence

from avf_shards.errors import UserError

KINDS = ("video", "audio", "fused", "regions_video", "regions_audio", "frames")  # written where none are named
LAYER_KINDS = ("layers_video", "layers_audio")  # larger by the depth of the encoder, so only where named


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise UserError where no feature is named, or one that does not exist."""
    known = (*KINDS, *LAYER_KINDS)
    unknown = [kind for kind in kinds if kind not in known]
    if unknown or not kinds:
        problem = f"no such feature: {', '.join(unknown)}" if unknown else "no feature is named"
        raise UserError(f"{problem}; the features are {', '.join(known)}")
