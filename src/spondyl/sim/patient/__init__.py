"""The virtual patient: a spine with exact angles, the bones and organs around it, its CT with labels, its skin."""

from spondyl.sim.patient.alignment import spine_of
from spondyl.sim.patient.anatomy import Body, LevelSize, make_body
from spondyl.sim.patient.draw import draw
from spondyl.sim.patient.landmarks import (
    BackLandmarks,
    UltrasoundLandmarks,
    back_landmarks,
    spa_deg,
    uca_deg,
    ultrasound_landmarks,
)
from spondyl.sim.patient.patient import Anatomy, Hardware, Patient, Traits, anatomy_of, demo_patient, make_patient
from spondyl.sim.patient.phantom import field_mm, rasterise, subject
from spondyl.sim.patient.posture import Curve, Posture, rotation_of, supine
from spondyl.sim.patient.skin import skin_of
from spondyl.sim.patient.surface import surface_rotation_deg

__all__ = [
    "Anatomy",
    "BackLandmarks",
    "Body",
    "Curve",
    "Hardware",
    "LevelSize",
    "Patient",
    "Posture",
    "Traits",
    "UltrasoundLandmarks",
    "anatomy_of",
    "back_landmarks",
    "demo_patient",
    "draw",
    "field_mm",
    "make_body",
    "make_patient",
    "rasterise",
    "rotation_of",
    "skin_of",
    "spa_deg",
    "spine_of",
    "subject",
    "supine",
    "surface_rotation_deg",
    "uca_deg",
    "ultrasound_landmarks",
]
