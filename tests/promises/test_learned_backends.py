"""Promise: what networks measure (who speaks, the offset by the learned one) is the same by one worker and by two."""

import json
import shutil
from pathlib import Path

import pytest
from avf_curation.detectors.detector_set import resolve_backends
from avf_curation.detectors.weights import pull_weights
from avf_curation.execution.cluster import ClusterConfig
from avf_curation.recipe import load_recipe
from avf_curation.runs.curation import RunOptions, curate
from avf_shards.schema.ledger import table_to_decisions
from support.trees import file_digests


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_workers_write_the_bytes_of_one(shared: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("grid_brbk7n.mpg", "retalking_face_2.mp4"):
        shutil.copyfile(shared / "assets/video" / name, source / name)
    pull_weights("lr_asd", tmp_path / "weights", shared / "assets/weights/lr_asd_finetuning_TalkSet.model")
    recipe = load_recipe(None, ["plan.unit_videos=1", "plan.min_units=1", "faces.backend=dlib"])
    backends = resolve_backends(recipe, tmp_path / "weights")
    assert {"speaker": "lr-asd", "sync": "learned"}.items() <= backends.names().items()
    alone = curate(recipe, backends, {"s": source}, tmp_path / "alone", RunOptions(engine="inline"))
    options = RunOptions(engine="ray", cluster=ClusterConfig(workers=2))
    by_two = curate(recipe, backends, {"s": source}, tmp_path / "by-two", options)
    assert file_digests(by_two.root) == file_digests(alone.root)
    measured = [json.loads(decision.measurements) for decision in table_to_decisions(alone.ledger())]
    scores = [values["sync"]["confidence"] for values in measured if "speaker" in values and "sync" in values]
    assert len([score for score in scores if score is not None and score > 0]) >= 1, "the network measured nothing"
