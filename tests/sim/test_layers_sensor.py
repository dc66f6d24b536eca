"""The layer sensor against the projector: layers add up to the film, each holds its own tissue, and they survive a file."""

from dataclasses import replace

import pytest
import torch

from spondyl.images import LAYERS, STRUCTURE_LABELS, Layers, Volume
from spondyl.io.image_members import image_members, image_of
from spondyl.pairs import Subject
from spondyl.sim.layers import WATER_PER_MM, LayerSensor, tissues
from spondyl.sim.make import sensor_named
from spondyl.sim.patient import demo_patient, subject
from spondyl.xray.project import project_channels


@pytest.fixture(scope="module")
def person() -> Subject:
    return subject(demo_patient(), spacing_mm=5.0)


@pytest.fixture(scope="module")
def film(person: Subject) -> Layers:
    return LayerSensor("pa", pixel_spacing_mm=4.0)(person, generator=torch.Generator())


def test_the_layers_of_a_film_add_up_to_the_line_integrals_of_the_whole_body(person: Subject, film: Layers) -> None:
    relative = (person.volume.hu / 1000 + 1).clamp_min(0) * WATER_PER_MM
    whole = project_channels(relative[None], person.volume.world_from_voxel, film.view)[0]
    assert torch.allclose(film.optical_depth.sum(0), whole, atol=5e-3)
    assert float(whole.max()) > 3


def test_every_voxel_belongs_to_one_layer_and_a_vertebras_shell_to_the_last(person: Subject) -> None:
    parts, _ = tissues(person.volume)
    spongy, shell = (parts[LAYERS.index(name)] for name in ("spongy", "shell"))
    assert int((parts[: len(LAYERS) - 1] > 0).sum(0).max()) == 1
    assert bool((spongy[shell > 0] > 0).all())
    assert 0 < float(shell.sum()) < 0.5 * float(spongy.sum())
    assert float(parts[LAYERS.index("metal")].max()) == 0


def test_the_spine_stands_in_its_layer_where_its_corners_are(person: Subject, film: Layers) -> None:
    middles = person.spine.project(film.view).corners_px[:, :4].mean(1)
    row = person.spine.index("L3")
    v, u = middles[row].round().long().tolist()
    layer = film.optical_depth[LAYERS.index("spongy")]
    assert float(layer[v, u]) > 0.3
    assert float(layer[v, u]) > 5 * float(layer[v, min(u + 15, layer.shape[1] - 1)])


@pytest.mark.parametrize("name", ["pa_layers", "lateral_layers"])
def test_the_detector_holds_the_whole_spine(person: Subject, name: str) -> None:
    taken = replace(sensor_named(name), pixel_spacing_mm=6.0)(person, generator=torch.Generator())
    corners = person.spine.project(taken.view).corners_px.reshape(-1, 2)
    seen = corners[torch.isfinite(corners).all(1)]
    assert bool((seen > 5).all())
    assert bool((seen < torch.tensor(taken.view.shape_px) - 6).all())


def test_layers_come_back_from_their_members(film: Layers) -> None:
    members = image_members("pa_layers", film)
    again = image_of("pa_layers", members.__getitem__, frozenset(members))
    assert isinstance(again, Layers)
    assert again.view.shape_px == film.view.shape_px
    assert torch.allclose(again.optical_depth, film.optical_depth, atol=2.0**-13)


def test_a_volume_without_labels_has_no_layers() -> None:
    with pytest.raises(ValueError, match="no labels, so its tissues are unknown; give a labelled CT"):
        tissues(Volume(torch.zeros(3, 3, 3), torch.eye(4)))


def test_an_unknown_organ_counts_as_soft_tissue() -> None:
    labels = torch.full((2, 2, 2), 200)
    parts, _ = tissues(Volume(torch.zeros(2, 2, 2), torch.eye(4), labels))
    assert bool((parts[LAYERS.index("soft")] == WATER_PER_MM).all())
    labels = torch.full((2, 2, 2), STRUCTURE_LABELS["metal"])
    parts, _ = tissues(Volume(torch.full((2, 2, 2), 3000.0), torch.eye(4), labels))
    assert torch.allclose(parts[LAYERS.index("metal")], torch.tensor(4 * WATER_PER_MM))


def test_layers_of_another_size_than_their_view_are_refused(film: Layers) -> None:
    with pytest.raises(ValueError, match="one picture a layer"):
        Layers(film.optical_depth[:-1], film.view)
