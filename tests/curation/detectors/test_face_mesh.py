"""FaceMesh sees a drawn mouth open, wherever in the clip the face is."""

import numpy as np
import pytest
from avf_curation.demo.face_renderer import Pose, draw_speaker, make_speaker
from avf_curation.detectors import face_mesh
from avf_curation.media.types import Bytes

OPENINGS = np.array([0.0, 0.2, 0.5, 0.9, 0.4, 0.1, 0.7, 1.0])


def draw_face(opening: float, x: float, height: float) -> Bytes:
    frame = np.full((224, 224, 3), 90, np.uint8)
    draw_speaker(frame, make_speaker(2), Pose(x=x, y=112, height=height, mouth=opening))
    return frame


@pytest.mark.parametrize(("x", "height"), [(112, 150), (98, 125)])
def test_lips_part_as_the_drawn_mouth_opens(x: float, height: float) -> None:
    mesh = face_mesh.FaceMesh.from_program()
    points_TP3 = mesh.find_points(np.stack([draw_face(opening, x, height) for opening in OPENINGS]))
    distances_TD = face_mesh.lip_distances(points_TP3)
    assert distances_TD.shape == (len(OPENINGS), len(face_mesh.DISTANCES))
    assert np.corrcoef(distances_TD[:, 0], OPENINGS)[0, 1] > 0.9
    middles_T2, width_px = face_mesh.mouth_centres(points_TP3)
    assert abs(middles_T2[:, 0].mean() - x) < 0.05 * height
    assert 0.5 * height < width_px < height


def test_points_of_a_frame_do_not_depend_on_what_ran_before() -> None:
    mesh = face_mesh.FaceMesh.from_program()
    clip = np.stack([draw_face(opening, 112, 150) for opening in OPENINGS])
    expected = mesh.find_points(clip)
    mesh.find_points(clip[::-1].copy())
    assert mesh.find_points(clip).tobytes() == expected.tobytes()


def test_points_of_the_frames_that_the_network_sees_do_not_depend_on_how_many_it_sees() -> None:
    mesh = face_mesh.FaceMesh.from_program()
    clip = np.stack([draw_face(opening, 112, 150) for opening in OPENINGS])
    expected_TP3 = mesh.find_points(clip)
    points_TP3 = mesh.find_points(clip, every=2)
    seen = [0, 2, 4, 6, 7]
    assert points_TP3[seen].tobytes() == expected_TP3[seen].tobytes()
    between_TP3 = face_mesh.fill_points(expected_TP3[seen], np.array(seen))
    assert points_TP3.tobytes() == between_TP3.tobytes()
    assert len(mesh.find_points(clip[:1], every=2)) == 1


@pytest.mark.parametrize(("frames", "seen"), [(1, [0]), (2, [0, 1]), (7, [0, 3, 6]), (9, [0, 3, 6, 8])])
def test_points_that_nobody_saw_lie_on_a_smooth_curve(frames: int, seen: list[int]) -> None:
    assert face_mesh.measured_frames(frames, 3).tolist() == seen
    path_T = np.arange(frames) ** min(3, len(seen) - 1) - 4.0  # splines through so few points have this degree
    points_TP3 = np.repeat(path_T, 6).reshape(frames, 2, 3).astype(np.float32)
    filled_TP3 = face_mesh.fill_points(points_TP3[seen], np.array(seen))
    assert filled_TP3.dtype == np.float32
    assert np.allclose(filled_TP3, points_TP3, rtol=1e-5, atol=1e-3)
