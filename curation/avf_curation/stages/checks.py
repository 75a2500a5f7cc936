"""The stages in their order, and the setting that decides each check."""

from collections.abc import Mapping

STAGES = ("scenes", "faces", "silence", "track", "sync", "quality")


DECIDES: Mapping[str, tuple[str, ...]] = {
    "faces.max_no_face_share": ("faces/no_face",),
    "faces.max_several_share": ("faces/several_faces",),
    "faces.min_face_px": ("faces/too_small",),
    "faces.max_size_ratio": ("faces/size_jump",),
    "faces.min_inside": ("faces/out_of_frame",),
    "faces.min_aspect": ("faces/too_narrow",),
    "faces.max_aspect": ("faces/too_wide",),
    "track.max_lost_share": ("track/face_lost",),
    "track.max_rival_share": ("track/several_faces",),
    "track.max_step": ("track/jump",),
    "track.min_face_px": ("track/too_small",),
    "track.max_padding": ("track/out_of_frame",),
    "sync.min_confidence": ("sync/low_confidence",),
    "sync.max_offset_frames": ("sync/offset",),
    "sync.envelope_min_motion": ("sync/mouth_still",),
    "sync.envelope_max_offset_frames": ("sync/offset",),
    "quality.min_sharpness": ("quality/blurred",),
    "quality.max_frozen_s": ("quality/frozen",),
    "quality.max_black_share": ("quality/black",),
    "quality.max_bars": ("quality/letterbox",),
    "quality.max_overlay_px": ("quality/watermark", "quality/watermark_pooled"),
}


OF_BACKEND = {  # settings of one sync backend mean nothing to a run of the other
    "sync.min_confidence": "syncnet",
    "sync.max_offset_frames": "syncnet",
    "sync.envelope_min_motion": "envelope",
    "sync.envelope_max_offset_frames": "envelope",
}
