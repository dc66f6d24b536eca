"""The organs of one patient in the order in which they cover each other: muscles, belly, bowel, chest."""

import torch

from spondyl.sim.patient.belly import belly_solids
from spondyl.sim.patient.bowel import bowel_solids
from spondyl.sim.patient.chest import chest_solids
from spondyl.sim.patient.muscles import muscle_solids
from spondyl.sim.patient.patient import Anatomy, Patient
from spondyl.sim.patient.shapes import Solid
from spondyl.sim.patient.soft import Spaces


def organ_solids(patient: Patient, anatomy: Anatomy, spaces: Spaces, *, generator: torch.Generator) -> list[Solid]:
    """Everything soft that has a shape of its own; gas, bowel and lung vessels are drawn by the generator.

    Belly organs stay inside the belly's wall and below the diaphragm, and the heart lies on the diaphragm.
    """
    supine = patient.traits.stance == "supine"
    vertebrae, body = anatomy.vertebrae, patient.body
    return [
        *muscle_solids(vertebrae, anatomy.pelvis, spaces.muscle),
        *bowel_solids(vertebrae, anatomy.pelvis, body, spaces.belly, generator=generator),
        *belly_solids(
            vertebrae,
            anatomy.cage,
            anatomy.pelvis,
            body,
            spaces.belly,
            dome_mm=anatomy.torso.domes_mm[1],
            supine=supine,
            generator=generator,
        ),
        *chest_solids(vertebrae, anatomy.cage, body, spaces.lung, generator=generator),
    ]
