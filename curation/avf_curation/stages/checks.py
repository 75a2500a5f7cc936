"""The names of the stages in the order in which they run."""

from collections.abc import Mapping

from avf_shards.format.content import Content

STAGES = ("scenes", "faces", "silence", "track", "speaker", "sync", "quality")
PICTURE_STAGES = ("picture", "faces", "track", "quality")
ALL_STAGES = ("picture", *STAGES)
"""The stages of videos and of pictures in an order that is that of either."""
STAGES_OF: Mapping[Content, tuple[str, ...]] = {"clips": STAGES, "pictures": PICTURE_STAGES}

_SPAN_STAGES = ("scenes", "silence")

_THRESHOLDS = {
    "picture": "min_side_px min_owners_score max_owners_second_score",
    "silence": "min_speech_share",
    "faces": "max_turned_share max_no_face_share max_several_share min_face_px max_size_ratio min_inside min_aspect "
    "max_aspect",
    "track": "max_lost_share max_rival_share max_step max_blend max_identity_jump min_face_px max_padding",
    "speaker": "min_share max_other_share",
    "sync": "min_confidence max_offset_frames envelope_min_motion envelope_max_offset_frames learned_max_offset_frames",
    "quality": "min_sharpness max_frozen_s max_black_share max_bars max_subtitle_px max_ticker_share max_overlay_px "
    "max_still_letters",
}
#: Settings that checks of the other stages have as their threshold. A ledger that has no such check reached none.
THRESHOLD_SETTINGS = frozenset(f"{stage}.{name}" for stage, names in _THRESHOLDS.items() for name in names.split())


def decides_spans(setting: str) -> bool:
    """Return whether a setting decides where spans begin and end.

    A ledger knows only its own spans, so it cannot tell what another value of such a setting would have decided.
    """
    return setting.partition(".")[0] in _SPAN_STAGES and setting not in THRESHOLD_SETTINGS
