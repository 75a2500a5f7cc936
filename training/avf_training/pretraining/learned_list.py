"""The list of what a stream without labels may come to, which a run writes before it learns from it."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from avf_shards.errors import FaultError
from avf_shards.sampling.stream_order import EpochwiseOrder

from avf_training.data.ordered_stream import ClipSource
from avf_training.tasks.learned_clips import LearnedClips


def list_stream_clips(order: EpochwiseOrder, reader: ClipSource, threads: int) -> LearnedClips:
    """Return the list of all clips or pictures that the order may come to, by their keys alone.

    Args:
        order: of the stream.
        reader: of its clips.
        threads: that read keys side by side.
    """

    def read_keys(shard: int) -> list[str]:
        first, stop = order.corpus.first_clip[shard : shard + 2].tolist()
        clips = np.arange(first, stop)
        try:
            taken = clips[order.takes(clips)].tolist()
            return [key for clip in taken if (key := reader.key(clip))]  # "" for a deleted clip
        except FaultError:  # an index that cannot be read; the loader reports it where it comes to the shard
            return []

    sources = zip(order.corpus.sources, order.quotas, strict=True)
    shards = [shard for source, quota in sources if quota for shard in source.shards.tolist()]
    with ThreadPoolExecutor(threads) as pool:
        keys = (key for of_shard in pool.map(read_keys, shards) for key in of_shard)
        return LearnedClips.from_keys(keys, labelled=False)
