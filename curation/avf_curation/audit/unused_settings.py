"""Settings without effect in a run: of a backend, a detector or a codec that it does not use, or of a skipped stage."""

import logging
from collections.abc import Iterable, Iterator, Mapping

from avf_shards.settings.config import flatten
from avf_shards.settings.yaml_settings import read_settings

from avf_curation.recipe import DEFAULT, PICTURES, Recipe, SourceSettings

log = logging.getLogger(__name__)

_SYNCNET = ("every", "authors_code", "min_seconds", "min_confidence", "max_offset_frames")
_ENVELOPE = ("min_confidence", "max_offset_frames", "min_seconds", "min_motion")
# Setting -> the backends that use it, as their names begin. All others are used by every backend of their stage.
_BACKEND_OF: dict[str, str | tuple[str, ...]] = {
    **{f"sync.{name}": "syncnet" for name in (*_SYNCNET, "crop_scale", "crop_padding", "crop_median")},
    **{f"sync.envelope_{name}": "envelope" for name in _ENVELOPE},
    # The learned backend has the envelope as one of its inputs.
    **{f"sync.envelope_{name}": ("envelope", "learned") for name in ("min_seconds", "min_motion")},
    **{f"sync.learned_{name}": "learned" for name in ("min_confidence", "max_offset_frames")},
    "silence.min_speech_share": "silero",
    "faces.upsample": "dlib",
    "faces.min_score": "dlib",
    "faces.min_probability": ("retinaface", "yunet", "blazeface", "dlib+blazeface"),
    "faces.nms_iou": ("retinaface", "yunet"),
    "speaker.min_share": "lr-asd",
    "speaker.max_other_share": "lr-asd",
    "track.identity_s": "dlib-resnet",
    "track.max_identity_jump": "dlib-resnet",
    "track.min_score": "retinaface",
    "track.nms_iou": "retinaface",
    "run.retinaface": "retinaface",
}
_DETECTOR_OF = {
    "scenes.adaptive_threshold": "adaptive",
    "scenes.adaptive_min_content": "adaptive",
    "scenes.content_threshold": "content",
    "scenes.histogram_threshold": "histogram",
    "scenes.hash_threshold": "hash",
    "scenes.fade_threshold": "threshold",
    "scenes.max_dissolve": "dissolve",
    "scenes.transnetv2_threshold": "transnetv2",
}
_CODEC_OF = {
    **{f"clip.{name}": "h264" for name in ("preset", "crf", "fastdecode")},
    "clip.jpeg_quality": "jpeg",
}


def explain_unused(setting: str, settings: SourceSettings, backends: Mapping[str, str]) -> str | None:
    """Return why a setting has no effect on a source, or None where it has one.

    Args:
        setting: Dotted name without the source, as "sync.min_confidence".
        settings: Of the source.
        backends: Stage -> the backend that the run measures with.
    """
    stage = setting.partition(".")[0]
    if getattr(settings.gates, stage, None) == "skip":
        return f"gates.{stage} is skip"
    judged = setting.removeprefix("gates.undecided.")
    if judged != setting and getattr(settings.gates, judged) != "decide":
        return f"gates.{judged} is {getattr(settings.gates, judged)}"
    backend_stage = {"run": "track", "silence": "speech"}.get(stage, stage)
    needed, backend = _BACKEND_OF.get(setting), backends.get(backend_stage, "")
    if needed is not None and not backend.startswith(needed):
        twin = _find_twin(setting, backend)
        hint = f"; you may mean {twin}" if twin else ""
        return f"not measured by this backend, {backend_stage}={backend}{hint}"
    detector = _DETECTOR_OF.get(setting)
    if detector is not None and detector not in settings.scenes.detectors:
        return f"scenes.detectors does not name {detector}"
    codec = _CODEC_OF.get(setting)
    if codec is not None and codec != settings.clip.codec:
        return f"clip.codec is {settings.clip.codec}"
    if setting == "track.min_present" and settings.track.people == "largest":
        return "track.people is largest"
    if setting == "speaker.max_other_share" and settings.track.people != "speaker":
        return f"track.people is {settings.track.people}"
    return None


def _find_twin(setting: str, backend: str) -> str | None:
    """Return the setting of the sync backend of the run that stands for the same, or None."""
    stage, _, name = setting.partition(".")
    prefixes = ("", "envelope_", "learned_")
    for prefix in prefixes[1:]:
        name = name.removeprefix(prefix)
    twins = (f"{stage}.{prefix}{name}" for prefix in prefixes)
    return next((twin for twin in twins if twin in _BACKEND_OF and backend.startswith(_BACKEND_OF[twin])), None)


def warn_about_unused_settings(recipe: Recipe, sources: Iterable[str], backends: Mapping[str, str]) -> None:
    """Log a warning for each value that differs from the default recipe and has no effect on the sources of a run."""
    for key, reason in find_unused(recipe, list(sources), backends):
        position = recipe.positions.get(key, "")
        where = position if position.startswith("--set") else f"{position}: {key}".removeprefix(": ")
        log.warning("%s has no effect: %s", where, reason)
    for name, length_s in find_unsearched(recipe, sources, backends).items():
        log.warning("source %s: clips shorter than %g s have no score of sync, because of sync.shifts", name, length_s)


def find_unsearched(recipe: Recipe, sources: Iterable[str], backends: Mapping[str, str]) -> dict[str, float]:
    """Return the sources whose `sync.shifts` takes the score from clips that are long enough by the other settings.

    Each with the least length in seconds that has a score.
    """
    if recipe.content == "pictures" or backends.get("sync") not in ("envelope", "learned"):
        return {}
    settings = {name: recipe.settings_for(name) for name in sources}
    return {
        name: of_source.sync.searched_s
        for name, of_source in settings.items()
        if of_source.gates.sync != "skip" and of_source.sync.searched_s > of_source.sync.envelope_min_seconds
    }


def find_unused(recipe: Recipe, sources: list[str], backends: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (dotted name, reason) of each changed value that has no effect on any source that it is meant for."""
    shipped = read_settings(DEFAULT)
    if recipe.content == "pictures":  # the recipe between the default one and the user's: nobody chose its values
        shipped = shipped.merge(read_settings(PICTURES))
    default = flatten(shipped.values)
    shared = {name: value for name, value in recipe.values.items() if name != "sources"}
    for name, value in flatten(shared).items():
        if default.get(name) == value:
            continue
        reasons = [explain_unused(name, recipe.settings_for(source), backends) for source in sources]
        if reasons and reasons[0] is not None and None not in reasons:
            yield name, reasons[0]
    for source, table in (recipe.values.get("sources") or {}).items():
        for name in flatten(table) if source in sources else ():
            reason = explain_unused(name, recipe.settings_for(source), backends)
            if reason is not None:
                yield f"sources.{source}.{name}", reason
