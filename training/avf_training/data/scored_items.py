"""Items that are scored or drawn, read one by one: those that cannot be read, or were deleted, are left out."""

from collections.abc import Iterator
from itertools import islice
from typing import Generic, TypeVar

from avf_shards.errors import FaultError

from avf_training.data.batch import StreamBatch, concat_batches
from avf_training.data.loader import StreamLoader
from avf_training.data.ordered_stream import OrderedStream

B = TypeVar("B", bound=StreamBatch)


class ScoredItems(Generic[B]):
    """Iterates over the first items of a stream that can be read, in batches; counts those that cannot."""

    def __init__(self, stream: OrderedStream[B], count: int, group: int) -> None:
        """Take a stream that is scored, with one item a step.

        Args:
            stream: what is read, in its order.
            count: items at most.
            group: items of a batch at most.
        """
        assert stream.config.scored
        assert stream.config.batch == 1
        self._stream, self._count, self._group = stream, count, group
        self.unreadable = 0  # items before the last that is yielded which could not be read

    def __iter__(self) -> Iterator[B]:
        """Yield the batches. Raises FaultError where no item can be read."""
        singles = islice(self._own_items(), self._count)
        while group := list(islice(singles, self._group)):
            yield concat_batches(group)

    def _own_items(self) -> Iterator[B]:
        for batch in StreamLoader(self._stream):
            if batch.faults:
                self.unreadable += 1
            elif self._is_own(batch):
                yield batch

    def _is_own(self, batch: B) -> bool:
        """Return whether a batch has the item of the order, and not one that fills the row of a deleted one."""
        clips, _ = self._stream.order.clips_between(batch.first_position, batch.first_position + 1)
        try:
            return self._stream.reader.key(int(clips[0])) == batch.keys[0]
        except FaultError:
            return False
