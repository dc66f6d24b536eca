"""The wish: coronal curves, sagittal angles and pelvis of one posture, checked. `alignment` turns it into a spine.

All angles are those of endplates projected on the coronal or the sagittal plane of the world (LPS).
"""

import itertools
from dataclasses import dataclass, replace

from spondyl.sim.patient.anatomy import number
from spondyl.spine import Side, level_index


@dataclass(frozen=True)
class Curve:
    """One coronal curve between two end vertebrae.

    Args:
        upper, lower: end vertebrae. Cobb angle = superior endplate of `upper` against inferior endplate of `lower`.
        cobb_deg: 0 to 90.
        side: the patient's side of the convexity.
        rotation_deg: axial rotation of the apical vertebra, its body turned to the convexity where positive. None
            takes the mean of the published ratio to the Cobb angle.
        surface_deg: rotation of the standing back's surface at the apex; None takes its mean share of the rotation.
        body_share: share of the Cobb angle that lies in the vertebral bodies, the rest is in the discs; None takes the
            published mean of the apex's region.
    """

    upper: str
    lower: str
    cobb_deg: float
    side: Side
    rotation_deg: float | None = None
    surface_deg: float | None = None
    body_share: float | None = None

    def __post_init__(self) -> None:
        if level_index(self.upper) >= level_index(self.lower):
            raise ValueError(f"curve {self.upper}-{self.lower}: upper must lie above lower; swap them")
        if not 0 <= self.cobb_deg <= 90:
            raise ValueError(f"cobb_deg of {self.upper}-{self.lower} is {self.cobb_deg}; wanted 0 to 90 degrees")
        if self.side not in ("left", "right"):
            raise ValueError(f"side of {self.upper}-{self.lower} is {self.side!r}; wanted 'left' or 'right'")
        if self.body_share is not None and not 0 <= self.body_share <= 1:
            raise ValueError(f"body_share of {self.upper}-{self.lower} is {self.body_share}; wanted 0 to 1")
        if self.rotation_deg is not None and not abs(self.rotation_deg) <= 60:
            raise ValueError(f"rotation_deg of {self.upper}-{self.lower} is {self.rotation_deg}; wanted -60 to 60")


@dataclass(frozen=True)
class Posture:
    """The shape of the standing (or lying) spine. All angles as projected on the coronal or sagittal plane.

    Args:
        curves: coronal curves, cranial to caudal, sides alternating; neighbours may share an end vertebra.
        kyphosis_deg: superior T4 to inferior T12 (the last thoracic level where there is no T12).
        lordosis_deg: superior L1 to superior S1, positive.
        sacral_slope_deg: slope of S1 against the horizontal, positive when it faces forward.
        pelvic_tilt_deg: from the vertical to the line S1 - hip axis, positive when the hips lie in front.
        pelvic_obliquity_deg: coronal tilt of S1, positive to the left.
        balance_mm: C7 to the left of S1. It is met as far as the curves' own tilts allow.
        sva_mm: C7 in front of the posterior-superior corner of S1 (SVA, positive forward). It is met as far as an
            angle of -4 to 6 degrees at the thoracolumbar junction allows.
    """

    curves: tuple[Curve, ...] = ()
    kyphosis_deg: float = 35.0
    lordosis_deg: float = 52.0
    sacral_slope_deg: float = 39.0
    pelvic_tilt_deg: float = 8.0
    pelvic_obliquity_deg: float = 0.0
    balance_mm: float = 0.0
    sva_mm: float = -10.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("kyphosis_deg", -20, 90),
            ("lordosis_deg", 0, 100),
            ("sacral_slope_deg", 0, 75),
            ("pelvic_tilt_deg", -30, 50),
            ("pelvic_obliquity_deg", -20, 20),
            ("balance_mm", -100, 100),
            ("sva_mm", -150, 150),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; wanted {low} to {high}")
        for a, b in itertools.pairwise(self.curves):
            if level_index(b.upper) < level_index(a.lower):
                raise ValueError(
                    f"curves {a.upper}-{a.lower} and {b.upper}-{b.lower} overlap; they may share one level"
                )
            if a.side == b.side:
                raise ValueError(
                    f"curves {a.upper}-{a.lower} and {b.upper}-{b.lower} both bend {a.side}; alternate sides"
                )

    @property
    def pelvic_incidence_deg(self) -> float:
        """PI = PT + SS (Legaye 1998)."""
        return self.pelvic_tilt_deg + self.sacral_slope_deg


def apex_region(upper: str, lower: str) -> str:
    """ "thoracic", "thoracolumbar" or "lumbar", by the level in the middle of the curve (Lenke 2001)."""
    middle = (level_index(upper) + level_index(lower)) / 2
    if middle < level_index("T12") - 0.5:
        return "thoracic"
    return "thoracolumbar" if middle <= level_index("L1") else "lumbar"


def rotation_of(curve: Curve) -> float:
    """Axial rotation of a curve's apex, degrees, by default the published mean."""
    if curve.rotation_deg is not None:
        return curve.rotation_deg
    region = "thoracic" if apex_region(curve.upper, curve.lower) == "thoracic" else "lumbar"
    return number("deformity", f"rotation_per_cobb_{region}") * curve.cobb_deg


def surface_rotation_of(curve: Curve) -> float:
    """Rotation of the standing back's surface at a curve's apex, degrees."""
    if curve.surface_deg is not None:
        return curve.surface_deg
    return number("deformity", "skin_rotation") * rotation_of(curve)


def body_share_of(curve: Curve) -> float:
    """Share of the Cobb angle that lies in the bodies."""
    if curve.body_share is not None:
        return curve.body_share
    return number("deformity", f"body_share_{apex_region(curve.upper, curve.lower)}")


def turn_sign(curve: Curve) -> float:
    """Sign of the axial rotation that turns a body's front to the convexity: +1 to the left."""
    return 1.0 if curve.side == "left" else -1.0


def supine(posture: Posture) -> Posture:
    """The same spine lying down: smaller curves, less kyphosis, less rotation (PMC5320720, means)."""
    less, still = number("deformity", "supine_cobb"), number("deformity", "supine_rotation")
    curves = tuple(
        replace(
            c,
            cobb_deg=c.cobb_deg * less,
            rotation_deg=rotation_of(c) * still,
            surface_deg=surface_rotation_of(c) * still,
        )
        for c in posture.curves
    )
    return replace(posture, curves=curves, kyphosis_deg=posture.kyphosis_deg * number("deformity", "supine_kyphosis"))
