"""What the distance of two sets looks like in a terminal."""

from avf_training.frechet.compare import SetDistance


def test_a_set_is_at_zero_from_itself_without_a_sign() -> None:
    distance = SetDistance(
        protocol="avf", frechet=-1e-9, kernel=-1e-9, samples=9, features=4, ddof=1, detector="ab" * 32, frames=None
    )
    first, second, *_ = distance.describe().splitlines()
    assert first.endswith(" 0.0000")
    assert second.endswith(" 0.000000")
