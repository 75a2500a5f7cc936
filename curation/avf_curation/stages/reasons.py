"""Each reason for which a stage rejects a span, as a sentence, and what the score is that was compared."""

from collections.abc import Mapping
from dataclasses import dataclass

from avf_curation.stages import sync
from avf_curation.stages.sync import SEARCHES_IN_CLIP
from avf_curation.stages.undecided import STAGES_WITH_UNDECIDED, UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Reason:
    """What a rejection says to people."""

    sentence: str  # why the span was rejected
    score: str  # what the score is, with its unit

    @property
    def is_share(self) -> bool:
        """Whether the score is a share, from 0 to 1."""
        return "share of" in self.score


_UNDECIDED = "The recipe rejects what the stage cannot decide (`gates.undecided`), and a score could not be measured."
_UNDECIDED_SYNC = (
    f"{_UNDECIDED.removesuffix('.')}: a clip shorter than `sync.envelope_min_seconds` (SyncNet: `sync.min_seconds`) or "
    f"than {SEARCHES_IN_CLIP} times `sync.shifts` frames has none, and an uncertain offset is not told."
)
_COUNT = "checks of the stage that could not be measured"

REASONS: Mapping[str, Reason] = {
    "scenes/dissolve": Reason(
        sentence="One picture turns into another here; what comes before and behind is decided by itself.",
        score="share of the change of the picture that a mixture of the two explains",
    ),
    "scenes/transition": Reason(
        sentence="TransNetV2 sees one shot turn into the next here; what comes before and behind is decided by itself.",
        score="highest probability of a frame that it belongs to a change of shots",
    ),
    "scenes/too_short": Reason(
        sentence="The shot is too short; it runs from a cut, a hole, or a change or fault of the file to the next one.",
        score="length of the shot in seconds",
    ),
    "scenes/cut_off": Reason(
        sentence="The file declares more than can be decoded: it is truncated or damaged here.",
        score="seconds of the shot that are declared and cannot be decoded",
    ),
    "scenes/no_picture": Reason(
        sentence="The picture is missing here; what the shot has beside is decided by itself.",
        score="seconds of the shot without picture",
    ),
    "scenes/no_sound": Reason(
        sentence="The sound is missing here, or the file has none; what the shot has beside is decided by itself.",
        score="seconds of the shot without sound",
    ),
    "picture/too_small": Reason(
        sentence="The picture is too small.", score="shorter side of the owners' picture in pixels"
    ),
    "picture/owners_no_face": Reason(
        sentence="The owners' detector saw no face, or is not sure of it.", score="score of the owners' detector"
    ),
    "picture/owners_second_face": Reason(
        sentence="The owners' detector saw a second face.", score="score of the owners' detector, 0 without such a face"
    ),
    "faces/turned": Reason(
        sentence="The face is upside down or lies on its side: the video may be turned, without saying so.",
        score="share of sampled frames whose face is found, or more surely, once the picture is turned",
    ),
    "faces/no_face": Reason(
        sentence="No face was found in too many of the sampled frames.", score="share of sampled frames without a face"
    ),
    "faces/several_faces": Reason(
        sentence="More than one face was found in too many of the sampled frames.",
        score="share of sampled frames with several faces",
    ),
    "faces/too_small": Reason(
        sentence="The face is too small in the picture.", score="median width of the face in pixels of the source"
    ),
    "faces/size_jump": Reason(
        sentence="The face changes its size too much within the shot; it may not be one person.",
        score="largest area of the face over its smallest",
    ),
    "faces/out_of_frame": Reason(
        sentence="The face is partly outside the picture.", score="median share of the face's box inside the picture"
    ),
    "faces/too_narrow": Reason(
        sentence="The face's box is too narrow for a face.", score="smallest width over height of the box"
    ),
    "faces/too_wide": Reason(
        sentence="The face's box is too wide for a face.", score="largest width over height of the box"
    ),
    "silence/silent": Reason(sentence="The stretch is silent.", score="1 for sound, 0 for silence"),
    "silence/too_short": Reason(
        sentence="The stretch of speech between two pauses is too short.", score="length of the stretch in seconds"
    ),
    "silence/no_speech": Reason(
        sentence="There is sound, but hardly any speech: music, noise or a street.",
        score="share of the stretch's frames in which somebody speaks",
    ),
    "track/face_lost": Reason(
        sentence="The face cannot be followed through the span.",
        score="share of examined frames without the followed face",
    ),
    "track/several_faces": Reason(
        sentence="Another face of similar size is there for too long.",
        score="share of examined frames with a second face of similar size",
    ),
    "track/jump": Reason(
        sentence="The face moves faster than a head can; the track went over to another face.",
        score="largest step from one frame to the next, in sides of the face",
    ),
    "track/another_face": Reason(
        sentence="The face turns into another one: a dissolve, a wipe or a fade joins two people.",
        score="share of the change of the face that a mixture of two faces explains",
    ),
    "track/two_people": Reason(
        sentence="One person gives way to another here; what each of them has alone is decided by itself.",
        score="distance between the embeddings of the face before and behind, less their spread",
    ),
    "track/too_small": Reason(
        sentence="The followed face is too small in the picture.",
        score="median longer side of the face's box in pixels of the source",
    ),
    "track/out_of_frame": Reason(
        sentence="The crop around the face reaches too far outside the picture.",
        score="share of the crop outside the picture",
    ),
    "speaker/not_speaking": Reason(
        sentence="The face hardly speaks: a voice-over, music, somebody who listens, or somebody outside the picture.",
        score="share of frames in which the face speaks",
    ),
    "speaker/another_speaks": Reason(
        sentence="Another face of the picture speaks for too long.",
        score="share of frames in which another face is the speaker",
    ),
    "sync/low_confidence": Reason(
        sentence="SyncNet does not see that lips and sound belong together.", score="SyncNet's confidence"
    ),
    "sync/offset": Reason(
        sentence="The sound is too early or too late for the lips.",
        score="offset between sound and lips in frames at 25 fps",
    ),
    "sync/mouth_still": Reason(
        sentence="The mouth hardly moves, so it is not this face that speaks.",
        score="movement of the mouth over the contrast of its picture",
    ),
    "quality/blurred": Reason(
        sentence="The face is blurred.", score="median variance of the Laplacian on the grey face, 64 pixels wide"
    ),
    "quality/frozen": Reason(
        sentence="The picture stands still, or only the camera moves over it.",
        score="seconds of the longest stretch in which nothing changes but by the camera",
    ),
    "quality/black": Reason(sentence="The picture is black for a part of the span.", score="share of black frames"),
    "quality/letterbox": Reason(
        sentence="Bars at the borders cover a part of the crop: black, of another colour or of a blurred copy.",
        score="share of the crop under bars",
    ),
    "quality/subtitles": Reason(
        sentence="Lines of text that are burnt into the picture come and go at its lower border.",
        score="edge pixels of the largest line that comes or goes",
    ),
    "quality/ticker": Reason(
        sentence="Text runs along a border of the picture.",
        score="share of the time in which a strip moves along its rows and the scene does not",
    ),
    "quality/still_text": Reason(
        sentence="Text, as the name beside a logo, stays in a corner or at a border of the picture.",
        score="letters of the longest row of such text",
    ),
    "quality/watermark": Reason(
        sentence="A logo or text stays at one place while everything else moves.",
        score="edge pixels that stay, within the span",
    ),
    "quality/watermark_pooled": Reason(
        sentence="The clips of one group show the same logo or text at the same place.",
        score="edge pixels that stay, over all spans of the group",
    ),
    "takedown/deleted": Reason(
        sentence="The clip was deleted on request, from the shards and from the run.", score="none"
    ),
    "takedown/denied": Reason(
        sentence="It was taken down before, by its video, speaker, span or bytes, and is on the denylist of the run.",
        score="none",
    ),
    **{f"{stage}/{UNDECIDED}": Reason(sentence=_UNDECIDED, score=_COUNT) for stage in STAGES_WITH_UNDECIDED},
    f"{sync.STAGE}/{UNDECIDED}": Reason(sentence=_UNDECIDED_SYNC, score=_COUNT),
}
"""Each "stage/reason" that a ledger can hold, in the order of the stages."""
