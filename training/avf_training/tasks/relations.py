"""Relations between corpora (relations.yaml), the identity of a clip across corpora, and the check against leakage.

Names mean something inside one corpus only: `00025` is a clip of MAFW and another one of DFEW. The table says which
corpora share their names, so that a clip has one recording, one person and one film wherever it is found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avf_shards.errors import UserError
from avf_shards.schema.clip_key import is_key, make_video_prefix, video_prefix, video_prefixes
from avf_shards.settings.config import refuse
from avf_shards.settings.yaml_settings import read_settings

from avf_training.tasks.labelled_shards import LabelledClip

Shared = Literal["recording", "person", "film"]
_FILE = Path(__file__).parent / "relations.yaml"


@dataclass(frozen=True, kw_only=True)
class Relation:
    """What some corpora share."""

    name: str  # of the relation; where `named`, the names of its sources are compared under it
    shares: Shared  # recording: the same video; film: other parts of one; person: other videos of one
    sources: tuple[str, ...]  # names of the sources in shards
    # Whether the corpora call the shared thing by one name: of the video (recording), of the speaker or subject
    # (person), of the whole recording (film). False: no published name tells, at most the sound can.
    named: bool
    fact: str  # what is shared, in a sentence
    basis: str  # where the fact is taken from


@dataclass(frozen=True, kw_only=True)
class _Table:
    relations: tuple[Relation, ...]  # in the order of relations.yaml

    def __post_init__(self) -> None:
        members = [(each.shares, source) for each in self.relations if each.named for source in each.sources]
        twice = sorted(
            {f"{source} shares a {shares}" for shares, source in members if members.count((shares, source)) > 1}
        )
        refuse((bool(twice), f"relations: {', '.join(twice)} by two named relations; names must have one meaning"))


RELATIONS = read_settings(_FILE, _FILE.name).bind(_Table).relations


def namespace_of(source: str, shares: Shared) -> str:
    """Return under which name a source's recordings, persons or films are compared with those of other sources."""
    for relation in RELATIONS:
        if relation.named and relation.shares == shares and source in relation.sources:
            return relation.name
    # Where the recordings are the same, so are the people in them, and what they were cut from.
    return source if shares == "recording" else namespace_of(source, "recording")


def open_relations(sources: Iterable[str]) -> list[Relation]:
    """Return the relations between these sources that no name reveals."""
    present = set(sources)
    return [each for each in RELATIONS if not each.named and len(present & set(each.sources)) > 1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipIdentity:
    """What a clip shows, in names that are the same in every corpus that shares it."""

    key: str  # of the clip in the shards
    recording: str  # the video, as mer2023/sample_00000007
    person: str | None = None  # as crema_d/1001; None where unknown
    film: str | None = None  # the whole recording that the video was cut from, as youtube/21Uxsk56VDQ; None: unknown

    @property
    def unit(self) -> str:
        """Name of what a random split keeps in one part: the person, else the film, else the recording."""
        return self.person or self.film or self.recording

    def shared_names(self) -> dict[Shared, str]:
        """Return the names that another clip can share, by what they name."""
        names: dict[Shared, str | None] = {"recording": self.recording, "person": self.person, "film": self.film}
        return {shares: name for shares, name in names.items() if name is not None}

    def digest_names(self) -> dict[str, list[str]]:
        """Return the names under which a list of learned clips holds this clip, by what they name.

        A recording has a name by the identity, and one by the key, which is another where the user named the relation.
        """
        space, _, video = self.recording.partition("/")
        recordings = {f"recording {make_video_prefix(space, video)}"}
        if is_key(self.key):
            recordings.add(recording_digest_name(self.key))
        names = {"clip": [f"clip {self.key}"], "recording": sorted(recordings)}
        return names | {
            shares: [f"{shares} {name}"] for shares, name in self.shared_names().items() if shares != "recording"
        }

    def older_digest_names(self) -> list[str]:
        """Return the names of the recording that lists have which were made from the shorter keys of older shards."""
        space, _, video = self.recording.partition("/")
        return [f"recording {form}" for form in video_prefixes(space, video)]


def identify_clip(clip: LabelledClip, same_recordings_as: str = "") -> ClipIdentity:
    """Return the identity of a clip.

    Args:
        same_recordings_as: a source or relation with the same recordings under the same names, where the user says so.
    """
    source = same_recordings_as or clip.source
    person = (clip.labels.subject if clip.labels else None) or clip.speaker
    # An original and its fakes are parts of one film, whatever else is known of where it comes from.
    forgery = clip.labels.forgery if clip.labels else None
    film = clip.origin_id or (forgery.original if forgery else None)
    return ClipIdentity(
        key=clip.key,
        recording=f"{namespace_of(source, 'recording')}/{clip.video_id}",
        person=f"{namespace_of(source, 'person')}/{person}" if person else None,
        film=f"{namespace_of(source, 'film')}/{film}" if film else None,
    )


def recording_digest_name(key: str) -> str:
    """Return the name of a clip's recording in a list of learned clips, from the clip's key alone."""
    source, video = video_prefix(key).split("-")
    return f"recording {namespace_of(source, 'recording')}-{video}"


class ExcludedClips:
    """Clips that are tested or held out, which no clip to train on may repeat by key, recording, person or film."""

    def __init__(self, clips: Iterable[ClipIdentity], allowed: Iterable[ClipIdentity] = ()) -> None:
        """Index the clips.

        Args:
            allowed: clips that may be trained on all the same; what they share with `clips` is no leak.
        """
        identities = list(clips)
        permitted = {pair for clip in allowed for pair in clip.shared_names().items()}
        self._keys = {clip.key for clip in identities}
        self._names: Mapping[tuple[Shared, str], str] = {
            pair: clip.key for clip in identities for pair in clip.shared_names().items() if pair not in permitted
        }

    def overlap(self, clip: ClipIdentity) -> str | None:
        """Return why a clip may not be trained on, or None where it may."""
        if clip.key in self._keys:
            return "the same clip"
        for shares, name in clip.shared_names().items():
            if (shares, name) in self._names:
                return f"the same {shares} ({name})"
        return None


def group_related(clips: Iterable[ClipIdentity]) -> dict[str, list[ClipIdentity]]:
    """Return the groups of clips that share a recording, a person or a film, also over other clips.

    Two people of one film are one group, and so is all that either of them is in. A group is named by the least of its
    clips' units, so that a group of one unit has the name of that unit.
    """
    first_of: dict[tuple[Shared, str], int] = {}  # the first clip with a name
    listed, above = list(clips), list[int]()  # above: a clip of the same group, itself for the group's first

    def top(number: int) -> int:
        while above[number] != number:
            above[number] = above[above[number]]
            number = above[number]
        return number

    for number, clip in enumerate(listed):
        above.append(number)
        for pair in clip.shared_names().items():
            above[top(number)] = top(first_of.setdefault(pair, number))
    groups: dict[int, list[ClipIdentity]] = {}
    for number, clip in enumerate(listed):
        groups.setdefault(top(number), []).append(clip)
    return {min(clip.unit for clip in group): group for group in groups.values()}


def assert_no_leakage(trained: Iterable[ClipIdentity], tested: Iterable[ClipIdentity], target: str) -> None:
    """Check that no clip to train on shares its key, recording, person or film with a tested clip.

    Written apart from `ExcludedClips`, which leaves such clips out: this proves it. Raises UserError that names a leak.
    """
    names: dict[str, set[str]] = {"clip": set(), "recording": set(), "person": set(), "film": set()}
    for clip in tested:
        for relation, name in (("clip", clip.key), *clip.shared_names().items()):
            names[relation].add(name)
    for clip in trained:
        for relation, name in (("clip", clip.key), *clip.shared_names().items()):
            if name in names[relation]:
                detail = "" if relation == "clip" else f" ({name})"
                raise UserError(
                    f"{clip.key}: the same {relation}{detail} is in the test set of {target}; leave it out for this "
                    "fold"
                )
