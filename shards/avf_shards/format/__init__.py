"""Files of a shard folder and of a run folder: tar, index, manifest."""
