"""People and media files that are in two sets of one corpus, which lets a score of one set profit from the other."""

from collections.abc import Iterable, Mapping
from itertools import combinations

from avf_training.distributed.environment import log_of_rank_0
from avf_training.framewise.labels.label_track import LabelTrack
from avf_training.framewise.tracks.identity import name_some

log = log_of_rank_0(__name__)


def names_in(labels: Iterable[LabelTrack]) -> set[str]:
    """Return the names of what label tracks are of: what stays together in folds, and the person where named."""
    names = set()
    for each in labels:
        names |= {f"{each.subject.source}/{name}" for name in (each.group, each.person) if name}
    return names


def warn_of_shared(names_of: Mapping[str, set[str]]) -> list[str]:
    """Warn of each pair of sets that has names in common, and return the sentences.

    Args:
        names_of: people and media files of each set, by its name: training, validation, test.
    """
    sentences = []
    for first, second in combinations(names_of, 2):
        shared = sorted(names_of[first] & names_of[second])
        if shared:
            noun = "person or media file" if len(shared) == 1 else "persons or media files"
            sentences.append(f"{len(shared):,} {noun} in {first} and in {second}: {name_some(shared)}")
    for sentence in sentences:
        log.warning("%s", sentence)
    return sentences
