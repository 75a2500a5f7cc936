"""The list of what pre-training learns from has the clips of the share that the order takes, and no others."""

from pathlib import Path

from avf_shards.format.corpus import load_corpus
from avf_shards.sampling.mixture import Mixture
from avf_shards.sampling.stream_order import StreamOrder
from avf_training.data.reader import ClipReader
from avf_training.data.storage import StorageConfig
from avf_training.pretraining.learned_list import list_stream_clips
from avf_training.tasks.learned_clips import LearnedClips
from support.labelled import make_label_rows, make_labelled_shards


def test_clips_outside_the_share_are_not_listed(tmp_path: Path) -> None:
    shards = make_labelled_shards(tmp_path, {"lab": make_label_rows(3), "more": make_label_rows(2)})
    corpus = load_corpus(shards)
    reader = ClipReader(shards, StorageConfig(), corpus, record=True)
    for share in (0.25, 1.0):
        order = StreamOrder(corpus, Mixture(share=share), 0)
        taken = {reader.key(clip) for clip in order.epoch(0).clip_P.tolist()}
        assert len(taken) == round(20 * share)
        assert list_stream_clips(order, reader, 2) == LearnedClips.from_keys(taken, labelled=False)
