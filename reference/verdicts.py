"""Page of the verdicts: every reason with its sentence, its score, and what passes by default."""

from collections.abc import Sequence
from dataclasses import replace

from avf_curation.recipe import load_recipe
from avf_curation.stages import faces, identity, picture, quality, scenes, silence, speaker, sync, tracking
from avf_curation.stages.checks import STAGES
from avf_curation.stages.reasons import REASONS
from avf_curation.stages.undecided import STAGES_WITH_UNDECIDED, make_undecided_check
from avf_shards.schema.ledger import Check
from avf_shards.timeline import Span

from reference.markdown import code, escape, table


def write_verdicts() -> str:
    """Return the page."""
    checks = {f"{check.stage}/{check.reason}": check for check in default_checks()}
    stages = [*STAGES, *sorted({name.partition("/")[0] for name in REASONS} - set(STAGES))]
    parts = [
        "# Verdicts and their reasons",
        "Every second of every input has exactly one of three verdicts: **kept**, **rejected** with its reason, or **failed** "
        "with its error. A rejected span names its stage and "
        "reason: the first check that failed. A score that could not be measured (null) is neither a pass nor a rejection, "
        "unless `gates.undecided` says `reject`. A [failure](faults.md) says nothing about the content.",
        "`avf-curate explain RUN VIDEO` prints every check of a video with its score. The settings, and where each default "
        "comes from, are in [Curation recipes](curation-recipes.md).",
    ]
    parts += [f"## {stage}\n\n{_table_of(stage, checks)}" for stage in stages]
    return "\n\n".join(parts) + "\n"


def default_checks() -> list[Check]:
    """Return every check of the stages, with the operator, threshold and setting of the default recipe."""
    defaults, pictures = load_recipe().defaults, load_recipe(content="pictures").defaults.picture
    assert pictures is not None
    open_sync = sync.SyncScores(backend="envelope", offset_frames=None, confidence=None, distance=None, length_s=1.0)
    no_face = faces.measure([[]], 1, 1)
    dark = quality.QualityScores(sharpness=0.0, frozen_s=0.0, black_share=0.0, bars=0.0, overlay_px=None)
    (track,) = tracking.measure(9, _one_face, 90, 90, defaults.track)
    return [
        *picture.decide(
            picture.PictureScores(width_px=1, height_px=1, owners_score=1, owners_second_score=1), pictures
        ),
        *scenes.decide(scenes.ScenesScores(length_s=1, cut_off_s=0, no_picture_s=0, no_sound_s=0), defaults.scenes),
        *faces.decide(no_face, defaults.faces),
        *silence.decide(silence.Stretch(span=Span(0, 1), speech=True, level_dbfs=0.0), defaults.silence),
        *tracking.decide(track, defaults.track),
        *identity.decide(identity.Identity(jump=0.0), defaults.track),
        *speaker.decide(speaker.SpeakerScores(backend="none", other_share=0.0), defaults.speaker),
        *sync.decide(replace(open_sync, backend="syncnet"), defaults.sync),
        *sync.decide(open_sync, defaults.sync),
        *quality.decide(dark, defaults.quality),
        quality.decide_pooled(None, defaults.quality),
        *(make_undecided_check(stage, ()) for stage in STAGES_WITH_UNDECIDED),
    ]


def _one_face(indices: Sequence[int]) -> list[list[faces.Box]]:
    return [[faces.Box(left=9, top=9, right=30, bottom=30)] for _ in indices]


def _table_of(stage: str, checks: dict[str, Check]) -> str:
    rows = []
    for name, reason in REASONS.items():
        if name.partition("/")[0] == stage:
            check = checks.get(name)
            limit = "" if check is None else f"{check.operator} {check.threshold:g}"
            setting = "" if check is None or check.setting is None else check.setting
            rows.append((code(name), escape(reason.sentence), escape(reason.score), code(limit), code(setting)))
    return table(("Reason", "Why", "Score", "Passes by default", "Setting"), rows)
