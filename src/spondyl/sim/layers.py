"""The layer sensor: what each kind of tissue alone adds to a radiograph, so that a learner can weigh the tissues anew each time.

A network that learns from label maps with random intensities reads real images better than one trained on careful realism
(SynthSeg: Billot 2023, Medical Image Analysis 86). In projection the counterpart of a label is the length of a ray inside a
tissue, times the tissue's usual density: a random weight a layer is then a random attenuation of that tissue.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View, view_angle_deg
from spondyl.images import BONE_LABELS, LAYERS, STRUCTURE_LABELS, Layers, Volume
from spondyl.pairs import Subject
from spondyl.sim.radiograph import EMPTY_HU
from spondyl.sim.redraw import between, redraw
from spondyl.spine import LEVEL_LABELS, SpineCurve
from spondyl.xray.geometries import machine_named, view_for
from spondyl.xray.project import project_channels

WATER_PER_MM = 0.02  # near 60 keV: optical depths then have their usual size
SPONGY = 1.3  # vertebral bone above this attenuation, relative to water, counts as its shell
RIB = STRUCTURE_LABELS["rib"]
MARGIN_MM = (70.0, 150.0)  # above and below, and to both sides of the spine, on the detector


@dataclass(frozen=True)
class LayerSensor:
    """An X-ray machine at one energy that tells tissues apart; called with a subject it gives the layers of one exposure.

    Args:
        view: "pa", "lateral" or degrees of the source's azimuth as text.
        machine: a key of `xray.geometries.GEOMETRIES`.
        pixel_spacing_mm: on the detector, along a row.
        turn_deg: how far the patient stands turned.
    """

    view: str = "pa"
    machine: str = "cone"
    pixel_spacing_mm: float = 1.4
    turn_deg: float = field(default=0.0, metadata=between(-8.0, 8.0))

    def __post_init__(self) -> None:
        view_angle_deg(self.view)
        machine_named(self.machine)

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> Layers:
        """The layers of a subject's exposure. There is no noise; the generator is not used.

        Raises:
            ValueError: for a subject without labels, and what `view_for` raises.
        """
        angle = view_angle_deg(self.view) + self.turn_deg
        view = view_for(subject.volume, self.machine, angle, pixel_spacing_mm=self.pixel_spacing_mm)
        view = _about_spine(view, subject.spine)
        parts, place = tissues(subject.volume)
        present = parts.flatten(1).amax(1) > 0
        depths = torch.zeros(len(parts), *view.shape_px)
        depths[present] = project_channels(parts[present], place, view)
        return Layers(depths, view)

    def randomised(self, *, generator: torch.Generator) -> "LayerSensor":
        """The same machine before a patient who stands otherwise."""
        return redraw(self, generator=generator)


def _about_spine(view: View, spine: SpineCurve) -> View:
    """The view with a smaller detector about the same central ray: the spine, and MARGIN_MM around it."""
    seen = view.to(dtype=torch.float64).project_points(spine.centres_mm.double())
    middle = torch.tensor(view.shape_px, dtype=torch.float64) / 2 - 0.5
    reach = (seen - middle).abs().amax(dim=0).tolist()
    sizes = zip(reach, MARGIN_MM, view.pixel_spacing_mm, view.shape_px, strict=True)
    rows, columns = (min(whole, math.ceil(2 * (px + margin / step))) for px, margin, step, whole in sizes)
    # the central ray stays in the middle: a view has no other place for it
    return replace(view, shape_px=(rows + (view.shape_px[0] - rows) % 2, columns + (view.shape_px[1] - columns) % 2))


def tissues(volume: Volume) -> tuple[Float[Tensor, "t z y x"], Float[Tensor, "4 4"]]:
    """Attenuation per mm of every tissue of LAYERS, each zero outside itself, and the place of their grid (air cut off)."""
    if volume.labels is None:
        raise ValueError("the volume has no labels, so its tissues are unknown; give a labelled CT")
    box = []
    for dim in range(3):
        seen = (volume.hu.amax([d for d in range(3) if d != dim]) > EMPTY_HU).nonzero()[:, 0]
        box.append(slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1))
    z, y, x = box
    place = volume.world_from_voxel.clone()
    place[:3, 3] += place[:3, :3] @ place.new_tensor([x.start, y.start, z.start])
    relative = (volume.hu[z, y, x] / 1000 + 1).clamp_min(0)
    kind = _kind_of().to(volume.hu.device)[volume.labels[z, y, x].long()]
    parts = torch.stack([torch.where(kind == k, relative, 0.0) for k in range(len(LAYERS) - 1)])
    spongy = LAYERS.index("spongy")
    # the shell of a vertebra is what its voxels hold beyond spongy bone; it is the last layer and has no label of its own
    shell = (parts[spongy] - SPONGY).clamp_min(0)
    parts[spongy] -= shell
    return torch.cat([parts, shell[None]]) * WATER_PER_MM, place


def _kind_of() -> Tensor:
    """The layer of every label; what is neither air, lung, fat, bone nor metal is soft."""
    kind = torch.full((256,), LAYERS.index("soft"))
    kind[list(BONE_LABELS)] = LAYERS.index("bones")
    kind[[*LEVEL_LABELS.values()]] = LAYERS.index("spongy")
    kind[LEVEL_LABELS["S1"]] = LAYERS.index("bones")
    kind[RIB] = LAYERS.index("ribs")
    for name, labels in (
        ("lung", ("lung",)),
        ("fat", ("fat", "skin")),
        ("heart", ("heart", "liver")),
        ("metal", ("metal",)),
    ):
        kind[[STRUCTURE_LABELS[label] for label in labels]] = LAYERS.index(name)
    return kind
