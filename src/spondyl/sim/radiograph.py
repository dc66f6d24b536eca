"""The radiograph sensor: a standing exposure of a subject, frontal or lateral, with a slot scanner or a flat panel."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View, view_angle_deg
from spondyl.images import Radiograph, Volume
from spondyl.pairs import Subject
from spondyl.sim.film_furniture import Furniture
from spondyl.sim.redraw import between, check_settings, redraw
from spondyl.xray.attenuation import Materials, materials
from spondyl.xray.expose import EXPOSURES, ExposureSettings, expose
from spondyl.xray.geometries import GEOMETRIES, machine_named, view_for
from spondyl.xray.spectrum import KVP_RANGE

# Air about a body, up to rounding and to the far tail of its edge.
EMPTY_HU = -999.9


@dataclass(frozen=True)
class RadiographSensor:
    """An X-ray machine and how it is set; called with a subject it gives one radiograph that frames the subject's volume.

    The same settings and the same state of the generator give the same picture.

    Args:
        view: "pa", "ap", "lateral", "right_lateral" or degrees of the source's azimuth as text; see `geometry.View`.
        machine: a key of `xray.geometries.GEOMETRIES`: "slot", "cone", "c-arm", "parallel".
        pixel_spacing_mm: on the detector, along a row; None: the volume's finest voxel magnified, at least the machine's pixel.
        kvp: tube voltage, kV.
        dose_share: dose at the detector over the machine's usual one (speed class 250 to 650 about the usual 400).
        turn_deg: how far the patient stands turned, added to the view's azimuth.
        ideal: one energy, no scatter, blur or noise; kvp and dose_share then play no part.
        furniture: lead letters, joins of stitched exposures, fasteners; none by default, drawn with the rest by `randomised`.
    """

    view: str = "pa"
    machine: str = "slot"
    pixel_spacing_mm: float | None = None
    kvp: float = field(default=90.0, metadata=between(80.0, 110.0))
    dose_share: float = field(default=1.0, metadata=between(0.6, 1.6))
    turn_deg: float = field(default=0.0, metadata=between(-4.0, 4.0))
    ideal: bool = False
    furniture: Furniture = field(default_factory=Furniture)

    def __post_init__(self) -> None:
        view_angle_deg(self.view)
        machine_named(self.machine)
        check_settings(self, positive=("dose_share",))
        low, high = KVP_RANGE
        if not low <= self.kvp <= high:
            raise ValueError(f"kvp is {self.kvp}; wanted {low:g} to {high:g} kV")
        if self.pixel_spacing_mm is not None and not self.pixel_spacing_mm > 0:
            raise ValueError(
                f"pixel_spacing_mm is {self.pixel_spacing_mm}; wanted positive millimetres on the detector"
            )

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> Radiograph:
        """The radiograph of a subject: optical depth, with the view that took it.

        Raises:
            ValueError: what `view_for` and `expose` raise.
        """
        return self.of_body(body_of(subject), subject, generator=generator)

    def of_body(self, body: "Absorber", subject: Subject, *, generator: torch.Generator) -> Radiograph:
        """The same from what the subject is made of, which several exposures can share."""
        view = self.framing(subject)
        film = expose(body.materials, body.world_from_voxel, view, settings=self.exposure(), generator=generator)
        return self.furniture.laid_on(film)

    def framing(self, subject: Subject) -> View:
        """Where source and detector stand for this subject."""
        angle = view_angle_deg(self.view) + self.turn_deg
        view = view_for(subject.volume, self.machine, angle, pixel_spacing_mm=self.pixel_spacing_mm)
        return view.to(device=subject.volume.hu.device)

    def exposure(self) -> ExposureSettings:
        """The physics of this exposure."""
        if self.ideal:
            return EXPOSURES["ideal"]
        usual = EXPOSURES["slot" if GEOMETRIES[self.machine].beam == "slot" else "pa"]
        return replace(usual, kvp=self.kvp, detector_dose_ugy=usual.detector_dose_ugy * self.dose_share)

    def randomised(self, *, generator: torch.Generator) -> "RadiographSensor":
        """The same machine as another hospital sets it: voltage, dose, the patient's turn and what else lies on the film."""
        drawn = redraw(self, generator=generator)
        return replace(drawn, furniture=redraw(self.furniture, generator=generator))


@dataclass(frozen=True, eq=False)
class Absorber:
    """What stops X-rays in a subject, and where its grid lies."""

    materials: Materials
    world_from_voxel: Float[Tensor, "4 4"]


def body_of(subject: Subject) -> Absorber:
    """The materials of the part of a subject's volume that is not air: about half of a standing patient's field."""
    volume = subject.volume
    box = []
    for dim in range(3):
        across = [d for d in range(3) if d != dim]
        seen = (volume.hu.amax(across) > EMPTY_HU).nonzero()[:, 0]
        box.append(slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1))
    z, y, x = box
    place = volume.world_from_voxel.clone()
    place[:3, 3] += place[:3, :3] @ place.new_tensor([x.start, y.start, z.start])
    labels = None if volume.labels is None else volume.labels[z, y, x]
    return Absorber(materials(Volume(volume.hu[z, y, x], place, labels)), place)


PA = RadiographSensor("pa")
LATERAL = RadiographSensor("lateral", kvp=104.0)
