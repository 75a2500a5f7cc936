"""The definitions of our own stages, in an order that is that of videos and of pictures."""

from avf_curation.stages import faces, picture, quality, scenes, silence, speaker, sync, tracking
from avf_curation.stages.definition import Stage
from avf_curation.stages.reasons import REASONS, Reason


def _reasons_of(stage: str) -> dict[str, Reason]:
    return {name.partition("/")[2]: reason for name, reason in REASONS.items() if name.partition("/")[0] == stage}


OWN_STAGES: tuple[Stage, ...] = (
    Stage(
        name=picture.STAGE,
        about="The size of a picture, and the face that its owners saw in it.",
        config=picture.PictureConfig,
        decide=picture.decide,
        reasons=_reasons_of(picture.STAGE),
        thresholds=("min_side_px", "min_owners_score", "max_owners_second_score"),
        gates=("decide",),
        content=("pictures",),
    ),
    Stage(
        name=scenes.STAGE,
        about="Where shots begin and end, and where picture or sound is missing.",
        config=scenes.ScenesConfig,
        decide=scenes.decide,
        reasons=_reasons_of(scenes.STAGE),
        thresholds=(),
        gates=("decide", "measure"),
    ),
    Stage(
        name=faces.STAGE,
        about="The faces in sampled frames of a shot.",
        config=faces.FacesConfig,
        decide=faces.decide,
        reasons=_reasons_of(faces.STAGE),
        thresholds=(
            *("max_turned_share", "max_no_face_share", "max_several_share", "min_face_px", "max_size_ratio"),
            *("min_inside", "min_aspect", "max_aspect"),
        ),
        content=("clips", "pictures"),
    ),
    Stage(
        name=silence.STAGE,
        about="The stretches of speech in a shot.",
        config=silence.SilenceConfig,
        decide=silence.decide,
        reasons=_reasons_of(silence.STAGE),
        thresholds=("min_speech_share",),
        gates=("decide", "skip"),
    ),
    Stage(
        name=tracking.STAGE,
        about="A face that is followed through the span, and the crop around it.",
        config=tracking.TrackConfig,
        decide=tracking.decide,
        reasons=_reasons_of(tracking.STAGE),
        thresholds=(
            *("max_lost_share", "max_rival_share", "max_step", "max_blend", "max_identity_jump", "min_face_px"),
            "max_padding",
        ),
        gates=("decide", "measure"),
        content=("clips", "pictures"),
    ),
    Stage(
        name=speaker.STAGE,
        about="Whether the face speaks.",
        config=speaker.SpeakerConfig,
        decide=speaker.decide,
        reasons=_reasons_of(speaker.STAGE),
        thresholds=("min_share", "max_other_share"),
    ),
    Stage(
        name=sync.STAGE,
        about="Whether the sound belongs to the lips, and by how much it is early or late.",
        config=sync.SyncConfig,
        decide=sync.decide,
        reasons=_reasons_of(sync.STAGE),
        thresholds=(
            *("min_confidence", "max_offset_frames", "envelope_min_motion", "envelope_max_offset_frames"),
            "learned_max_offset_frames",
        ),
    ),
    Stage(
        name=quality.STAGE,
        about="Sharpness, stills, darkness, bars, and what is burnt into the picture.",
        config=quality.QualityConfig,
        decide=quality.decide,
        reasons=_reasons_of(quality.STAGE),
        thresholds=(
            *("min_sharpness", "max_frozen_s", "max_black_share", "max_bars", "max_subtitle_px", "max_ticker_share"),
            *("max_overlay_px", "max_still_letters"),
        ),
        content=("clips", "pictures"),
    ),
)
