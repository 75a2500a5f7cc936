"""`python -m benchmarks.grid_head FILE`: train the network that the package ships, on the clips of GRID.

The unit of its confidence is calibrated on the other real talkers, who are in no training.
"""

import sys
from dataclasses import replace
from pathlib import Path

from avf_curation.detectors.sync_calibration import BLANK, calibrate
from avf_curation.detectors.sync_head import SyncHead
from avf_curation.detectors.sync_head_file import SyncHeadFile, write_head
from avf_curation.detectors.sync_training import train_towers
from avf_shards.timeline import FRAMES_PER_SECOND

from benchmarks.learned_sync import SEED, read_talkers, score_others, split_grid


def main(out: Path) -> None:
    grid, others = split_grid(read_talkers())
    weights = train_towers([clip.talk for clip in grid], SEED)
    head = SyncHead(SyncHeadFile(weights=weights, card=BLANK))
    pieces = [piece for _, piece in score_others(head, others)]
    trust = calibrate(pieces)
    card = replace(
        BLANK,
        unit=trust.unit,
        seed=SEED,
        clips=len(grid),
        seconds=sum(len(clip.talk.distances_TD) for clip in grid) / FRAMES_PER_SECOND,
        people=len(grid),
        sources=("GRID",),
        pieces=len(pieces),
        told_share=trust.told_share,
        right_share=trust.right_share,
    )
    print(card)
    print(write_head(out, SyncHeadFile(weights=weights, card=card)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
