"""Who answers a video: members that have not seen it in training, of its scene."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from avf_training.framewise.combination.plan import EnsembleMember
from avf_training.framewise.ensemble.scenes import Scene, SceneChoice
from avf_training.framewise.labels.label_track import LabelTrack, SplitName
from avf_training.framewise.labels.trained_videos import TrainedVideos
from avf_training.framewise.tracks.identity import TrackSubject


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What decides who answers a video."""

    subject: TrackSubject
    labels: LabelTrack | None  # None: no label is known, as of test videos
    fold: int | None  # that it validates in; None: in none
    scene: Scene

    @property
    def split(self) -> SplitName | None:
        """Return the set that the owners put it in; None: in none, or it is not known."""
        return None if self.labels is None else self.labels.split


@dataclass(frozen=True, kw_only=True)
class AnsweringMembers:
    """The members that answer a video, by their position in the plan."""

    positions: tuple[int, ...]
    seen: bool  # all of them (of a fitted method: some) were trained on the video, so its score would say nothing


def gather_facts(
    subjects: Sequence[TrackSubject],
    labels: Mapping[TrackSubject, LabelTrack],
    folds: Mapping[tuple[str, str, int], int],
    scenes: Mapping[str, SceneChoice] | None,
) -> list[VideoFacts]:
    """Return what is known of each video. Without a table of scenes, those that labels name count; else it is other."""
    facts = []
    for subject in subjects:
        labelled = labels.get(subject)
        scene: Scene = "other"
        if scenes is not None:
            scene = scenes[subject.video_id].scene if subject.video_id in scenes else "other"
        elif labelled is not None and labelled.scene is not None:
            scene = labelled.scene
        fold = folds.get((subject.source, subject.video_id, subject.person))
        facts.append(VideoFacts(subject=subject, labels=labelled, fold=fold, scene=scene))
    return facts


def choose_members(
    members: Sequence[EnsembleMember],
    available: Sequence[bool],
    facts: VideoFacts,
    trained: Sequence[TrainedVideos | None] = (),
    *,
    all_answer: bool = False,
) -> AnsweringMembers:
    """Return who answers a video.

    A reaction video is answered by the members of that scene, where there are any, and any other video by the rest. Of
    these, members that have not seen the video in training answer; where all have, all do, and the video is not scored.

    Args:
        members: of the plan.
        available: which members have predictions of the video.
        facts: of the video.
        trained: what each member was trained on, as its predictions say; None, or empty: they do not.
        all_answer: whether the method needs the answers of all members of the scene; a video that one of them has seen
            is then not scored.
    """
    present = [position for position, there in enumerate(available) if there]
    scene_of_members = "reaction" if facts.scene == "reaction" else "all"
    of_scene = [position for position in present if members[position].scene == scene_of_members]
    of_scene = of_scene or [position for position in present if members[position].scene == "all"]
    records = trained or [None] * len(members)
    unseen = [position for position in of_scene if not has_seen(members[position], facts, records[position])]
    if all_answer:
        return AnsweringMembers(positions=tuple(of_scene), seen=unseen != of_scene)
    return AnsweringMembers(positions=tuple(unseen or of_scene), seen=not unseen)


def has_seen(member: EnsembleMember, facts: VideoFacts, trained: TrainedVideos | None = None) -> bool:
    """Return whether a member was trained on a video.

    What its predictions say of it holds, and beside it a fold or set that the plan names. Where they say nothing, plan,
    folds and sets tell: a labelled video that is in no set and in no fold may have been trained on, so it counts as
    seen. What folds tell holds without labels, too.
    """
    if trained is not None:
        is_named = member.fold is not None or member.trained_on == "all"
        return trained.has(facts.subject) or (is_named and has_seen(member, facts))
    if member.fold is not None:
        return facts.fold is not None and facts.fold != member.fold
    if facts.labels is None:
        return False
    if member.trained_on == "all":
        return facts.labels.split != "test"
    return facts.labels.split in ("train", None)
