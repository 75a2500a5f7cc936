"""From the clips of runs to shards: selection, near-duplicates, packing, verification."""
