"""The feature net: equal films are equal, exposure does not count, structure does, and the names say whose numbers they are."""

import pytest
import torch

from spondyl.metrics.features import features
from spondyl.metrics.realism import kid
from spondyl.reading.features import RadiographFeatures
from spondyl.systems.xray_to_corners import XrayToCorners


@pytest.fixture(scope="module")
def net() -> RadiographFeatures:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        reader = XrayToCorners(XrayToCorners.presets["tiny"].model)
        return reader.eval().features("abcdef0123456789")


def films(n: int, seed: int, coarse: int = 12) -> torch.Tensor:
    """Smooth random pictures: bars and blobs of a coarseness."""
    noise = torch.randn(n, 1, coarse * 2, coarse, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(160, 80), mode="bicubic")


def test_equal_films_have_no_distance_and_others_have_one(net: RadiographFeatures) -> None:
    with torch.no_grad():
        a = films(2, 0)
        assert float(net.distance(a, a).abs().max()) < 1e-6
        near, far = net.distance(a, a + 0.05 * films(2, 1)), net.distance(a, films(2, 2))
    assert bool((near > 0).all())
    assert bool((far > 2 * near).all())


def test_exposure_does_not_count(net: RadiographFeatures) -> None:
    with torch.no_grad():
        a = films(2, 3)
        assert torch.allclose(net.vectors(a), net.vectors(3 * a + 2), atol=0.02)


def test_kid_tells_coarse_films_from_fine_ones_and_not_alike_ones(net: RadiographFeatures) -> None:
    one, same, other = (features(films(12, seed, coarse), net.vectors) for seed, coarse in ((4, 12), (5, 12), (6, 30)))
    g = torch.Generator().manual_seed(0)
    who = torch.arange(12)
    alike, apart = (
        kid(one, made, net=net.name, real_patients=who, made_patients=who + 12, generator=g).estimate.value
        for made in (same, other)
    )
    assert apart > 5 * abs(alike)


def test_the_name_says_whose_features_they_are(net: RadiographFeatures) -> None:
    assert net.name == "sim (weights abcdef012345)"
