"""The face is in the middle, and recipes take the detector for faces and for track."""

import numpy as np
from avf_curation.detectors.added_finders import CheckedFinder
from avf_curation.recipe import load_recipe
from avf_curation.stages.faces import Box


def test_the_face_is_in_the_middle_of_the_source() -> None:
    (faces,) = CheckedFinder("centre").find([np.zeros((60, 120), np.uint8)], 0.5, None)
    assert faces == [Box(left=40, top=20, right=200, bottom=100)]


def test_a_recipe_takes_it() -> None:
    settings = load_recipe(None, ["faces.backend=centre", "track.backend=centre"]).defaults
    assert (settings.faces.backend, settings.track.backend) == ("centre", "centre")
