"""The patient as a CT with labels, or as a subject with skin: all parts painted in the order in which they cover each other."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.images import BONE_LABELS, STRUCTURE_LABELS, Volume
from spondyl.pairs import Subject
from spondyl.sim.patient.canvas import Canvas
from spondyl.sim.patient.growth_plates import crest_caps, hip_plates, ring_solid
from spondyl.sim.patient.hardware import hardware_solid
from spondyl.sim.patient.organs import organ_solids
from spondyl.sim.patient.patient import Anatomy, Patient, anatomy_of
from spondyl.sim.patient.pelvis import coccyx_solid, hip_solids, sacrum_solid
from spondyl.sim.patient.shapes import Solid, Vector, vector
from spondyl.sim.patient.shoulder import girdle_solids
from spondyl.sim.patient.skin import skin_of
from spondyl.sim.patient.soft import paint_brace, paint_torso
from spondyl.sim.patient.texture import Texture
from spondyl.sim.patient.thorax import rib_solids, sternum_solid
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.patient.vertebra import disc_solid, neck_above, vertebra_solid


def field_mm(patient: Patient) -> tuple[Vector, Vector]:
    """Corners of the usual field: neck to upper thighs, flank to flank, chest to buttocks."""
    k = patient.body.trunk
    top = float(patient.spine.centres_mm[0, 2])
    y = patient.spine.centres_mm[:, 1]
    low = vector(-200.0 * k, float(y.min()) - 165.0 * k, -220.0 * k)
    return low, vector(200.0 * k, float(y.max()) + 125.0 * k, top + 62.0 * k)


def rasterise(patient: Patient, *, spacing_mm: float = 2.0, device: torch.device | str = "cpu") -> Volume:
    """The patient as a noise-free CT with labels, [z, y, x], axes along the world's, isotropic.

    Raises:
        ValueError: for a spacing outside 0.3 to 10 mm.
    """
    _check(spacing_mm)
    with one_thread():
        return _painted(patient, anatomy_of(patient), spacing_mm, device)


def _painted(patient: Patient, anatomy: Anatomy, spacing_mm: float, device: torch.device | str) -> Volume:
    generator = torch.Generator().manual_seed(patient.seed)
    canvas = Canvas.empty(*field_mm(patient), spacing_mm, device)
    spaces = paint_torso(canvas, anatomy.torso)
    texture = Texture.drawn(spacing_mm, device, generator=generator)
    for solid in organ_solids(patient, anatomy, spaces, generator=generator):
        canvas.paint(solid, texture)
    for solid in bone_solids(patient, anatomy):
        canvas.paint(solid, texture)
    tint = own_tissue(patient)
    if bool(tint.any()):
        canvas.tint(tint.to(device))
    if patient.traits.braced:
        paint_brace(canvas, anatomy.torso)
    return canvas.volume()


def own_tissue(patient: Patient) -> Float[Tensor, "256"]:
    """HU that this patient's bone, muscle and fat differ by from the tables', for every label."""
    bone, muscle, fat = patient.traits.tissue_hu
    out = torch.zeros(256)
    out[sorted(BONE_LABELS)] = bone
    out[STRUCTURE_LABELS["muscle"]], out[STRUCTURE_LABELS["fat"]] = muscle, fat
    return out


def bone_solids(patient: Patient, anatomy: Anatomy) -> list[Solid]:
    """Bones, discs, cartilages and metal, later ones over earlier ones."""
    body, spine, vertebrae = patient.body, patient.spine, anatomy.vertebrae
    plates = [spine.endplates_mm[i, 0].double().numpy() for i in range(1, len(body.sizes))]
    solids = [disc_solid(v, plate) for v, plate in zip(vertebrae, plates, strict=True)]
    solids += [sternum_solid(anatomy.cage, body), *rib_solids(vertebrae, anatomy.cage, body)]
    solids += [*girdle_solids(anatomy.cage, body), sacrum_solid(spine, body), coccyx_solid(spine, body)]
    solids += [*crest_caps(anatomy.pelvis, body), *hip_solids(anatomy.pelvis), *hip_plates(anatomy.pelvis, body)]
    solids += [vertebra_solid(v) for v in (*neck_above(vertebrae[0]), *vertebrae)]
    solids += [ring for v in vertebrae if (ring := ring_solid(v, body)) is not None]
    if patient.traits.hardware is not None:
        solids.append(hardware_solid(vertebrae, patient.traits.hardware))
    return solids


def subject(patient: Patient, *, spacing_mm: float = 2.0, device: torch.device | str = "cpu") -> Subject:
    """The patient's CT, labels, exact spine and skin in one world frame."""
    _check(spacing_mm)
    with one_thread():
        anatomy = anatomy_of(patient)
        return Subject(_painted(patient, anatomy, spacing_mm, device), patient.spine, skin_of(patient, anatomy))


def _check(spacing_mm: float) -> None:
    if not (math.isfinite(spacing_mm) and 0.3 <= spacing_mm <= 10):
        raise ValueError(f"spacing_mm is {spacing_mm}; wanted 0.3 to 10 mm")
