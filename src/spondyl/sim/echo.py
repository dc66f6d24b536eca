"""What the scanner records at one depth: speckle, bone, shadow, absorption and its compensation, noise."""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.sim.back import MUSCLE_DB_CM_MHZ
from spondyl.sim.probe import Sweep
from spondyl.sim.redraw import between, check_settings
from spondyl.sim.speckle import FWHM_PER_SIGMA, Grain, Spread, gaussian_taps, scatterers

ROUGHNESS = 0.35  # share of a bone's echo that its rough surface scatters with random phase (estimate)
LIGAMENT_DB = (
    18.0  # what interspinous and supraspinous ligaments take away (estimate: they are dark and cast a weak shadow)
)
GAIN_SHORT_MM = 24.0  # gain stops rising this far above the penetration: noise stays dark (estimate)
DIRTY_MM = 6.0  # reverberation behind gas: three times the deep shadow, dying away over this depth (estimate)


@dataclass(frozen=True)
class Beam:
    """The sound: frequency, point spread, what bone returns and lets pass, and the scanner's gain.

    Levels are dB against fully developed speckle of muscle at the skin.

    Args:
        frequency_mhz: centre frequency.
        lateral_fwhm_mm: width of the beam along the probe, at its focus.
        lateral_spread: growth of that width per mm away from the focus (quadrature).
        focus_mm: depth of the focus below the face.
        elevational_fwhm_mm: thickness of the imaged slice; in the coronal image it is the resolution along the spine.
        bone_db: echo of bone that faces the beam.
        bone_floor: share of the amplitude that a bone returns at any angle.
        bone_exponent: n of the rest, |cos|^n.
        bone_tail_mm: depth below the surface at which the echo has fallen to 1/e (as a Gaussian).
        gas_db: echo of pleura and bowel gas.
        shadow: share of the amplitude that passes bone.
        gas_shadow: the same behind gas, whose shadow is dirty.
        shadow_edge_mm: width (FWHM) over which a shadow's edge fades.
        tgc_residual_db_cm: what time gain compensation leaves uncorrected in muscle.
        penetration_mm: depth in muscle at which noise is as strong as speckle.
        texture_db: strength of the muscle's grain, standard deviation.
    """

    frequency_mhz: float = field(default=7.5, metadata=between(5.0, 9.0))
    lateral_fwhm_mm: float = field(default=0.8, metadata=between(0.5, 1.2))
    lateral_spread: float = field(default=0.03, metadata=between(0.02, 0.04))
    focus_mm: float = field(default=28.0, metadata=between(20.0, 40.0))
    elevational_fwhm_mm: float = field(default=3.0, metadata=between(2.5, 3.5))
    bone_db: float = field(default=30.0, metadata=between(25.0, 34.0))
    bone_floor: float = field(default=0.15, metadata=between(0.1, 0.2))
    bone_exponent: float = field(default=4.0, metadata=between(3.0, 6.0))
    bone_tail_mm: float = field(default=1.0, metadata=between(0.7, 1.5))
    gas_db: float = field(default=14.0, metadata=between(8.0, 18.0))
    shadow: float = field(default=0.03, metadata=between(0.01, 0.05))
    gas_shadow: float = field(default=0.08, metadata=between(0.04, 0.15))
    shadow_edge_mm: float = field(default=2.0, metadata=between(1.0, 3.0))
    tgc_residual_db_cm: float = field(default=0.3, metadata=between(-0.5, 1.0))
    penetration_mm: float = field(default=75.0, metadata=between(60.0, 88.0))
    texture_db: float = field(default=2.5, metadata=between(1.5, 3.5))

    def __post_init__(self) -> None:
        check_settings(
            self,
            positive=(
                "frequency_mhz",
                "lateral_fwhm_mm",
                "elevational_fwhm_mm",
                "bone_tail_mm",
                "penetration_mm",
                "shadow",
            ),
        )

    def lateral_width_mm(self, depth_mm: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Width of the beam at a depth below the face."""
        return torch.hypot(
            torch.full_like(depth_mm, self.lateral_fwhm_mm), self.lateral_spread * (depth_mm - self.focus_mm)
        )

    def gain_db(self, depth_mm: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Time gain compensation: a straight line up to a little short of the penetration, then no more."""
        slope = 2 * self.frequency_mhz * MUSCLE_DB_CM_MHZ / 10 - self.tgc_residual_db_cm / 10
        return slope * depth_mm.clamp(0, self.penetration_mm - GAIN_SHORT_MM)

    def noise_db(self, depth_mm: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Level of the electronic noise after compensation."""
        return self.gain_db(depth_mm) - 2 * self.frequency_mhz * MUSCLE_DB_CM_MHZ / 10 * self.penetration_mm

    def bone_amplitude(self, facing: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
        """Echo of bone by the cosine between beam and normal."""
        peak = 10 ** (self.bone_db / 20)
        return peak * (self.bone_floor + (1 - self.bone_floor) * facing.abs() ** self.bone_exponent)


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything that one sweep recorded, ready to be asked for depths: `envelope` computes one coronal slice at a time."""

    sweep: Sweep
    beam: Beam
    grain: Grain
    seed: int
    depth_step_mm: float
    frame_step_mm: float
    line_step_mm: float
    first_mm: float

    def envelope(self, index: int) -> Float[Tensor, "v u"]:
        """Amplitude of the echo `index` depth steps below the reference surface, 1 = muscle's root mean square.

        The scatterers, dimmed by what lies above them, are smeared by the point spread; the bone's echo is added in phase;
        noise comes last. Rows are frames, cranial to caudal; columns lines, patient left to right.
        """
        sweep, beam = self.sweep, self.beam
        relative = index * self.depth_step_mm
        s = (sweep.reference_mm + relative)[:, None]
        depth = (s - sweep.face_mm).clamp(min=0)
        gain = beam.gain_db(depth)
        level = self._tissue_db(relative) + gain + self.grain.level_db(relative - self.first_mm, beam.texture_db)
        level -= LIGAMENT_DB * sweep.ligament_share * (s > sweep.ligament_mm[:, None])
        behind = (s - sweep.surface_mm).clamp(min=0)
        dirty = beam.gas_shadow * (1 + 2 * torch.exp(-behind / DIRTY_MM))
        passed = torch.where(sweep.is_bone > 0, beam.shadow, dirty)
        passed = self._softened(torch.where(behind > 0, passed, 1.0)) * sweep.contact
        echo = self._surface_echo(s, depth, gain)
        amplitude = _linear(level) * passed + ROUGHNESS * echo
        white = scatterers((s.shape[0], depth.shape[1]), self.seed, index, depth.device)
        spread = self._spread(depth)
        real, imaginary, bright = spread.smear(torch.cat([white * amplitude, echo[None]]))
        scale = 1 / spread.incoherent_gain[:, None]
        noise = scatterers((s.shape[0], depth.shape[1]), self.seed + 1, index, depth.device) * _linear(
            beam.noise_db(depth)
        )
        return torch.hypot(real * scale + (1 - ROUGHNESS) * bright + noise[0], imaginary * scale + noise[1])

    def _tissue_db(self, relative_mm: float) -> Tensor:
        """Scatter less absorption on this slice, on the fine lattice."""
        back = self.sweep.back
        rows = back.lattice.shape[1]
        reference = functional.interpolate(self.sweep.reference_mm[None, None], rows, mode="linear", align_corners=True)
        position = ((reference[0, 0] + relative_mm) / back.lattice.step_mm[0]).clamp(0, back.lattice.shape[0] - 1.001)
        first = position.floor().long()
        part = (position - first)[:, None]
        row = torch.arange(rows, device=first.device)
        near, far = ((back.scatter_db[i, row] - back.loss_db[i, row]) for i in (first, first + 1))
        shape = self.sweep.face_mm.shape
        level = near * (1 - part) + far * part
        return functional.interpolate(level[None, None], size=tuple(shape), mode="bilinear", align_corners=True)[0, 0]

    def _softened(self, passed: Tensor) -> Tensor:
        """The shadow with soft edges: near one, part of the aperture still sees past the obstacle."""
        sigma = self.beam.shadow_edge_mm / (FWHM_PER_SIGMA * self.line_step_mm)
        taps = gaussian_taps(torch.tensor(sigma, device=passed.device), max(1, math.ceil(2.5 * sigma)))
        padded = functional.pad(passed[None], (len(taps) // 2, len(taps) // 2), mode="replicate")
        return functional.conv2d(padded[None], taps[None, None, None])[0, 0]

    def _surface_echo(self, s: Tensor, depth: Tensor, gain: Tensor) -> Tensor:
        sweep, beam = self.sweep, self.beam
        behind = s - sweep.surface_mm
        rise = self.depth_step_mm
        shape = torch.where(
            behind < 0, torch.exp(-(behind**2) / (2 * (rise / 2) ** 2)), torch.exp(-behind / beam.bone_tail_mm)
        )
        bone = beam.bone_amplitude(sweep.facing)
        gas = 10 ** (beam.gas_db / 20) * (0.3 + 0.7 * sweep.facing**2)
        strength = torch.where(sweep.is_bone > 0, bone, gas) * sweep.contact * _linear(gain - sweep.loss_db)
        return torch.where(torch.isfinite(behind), shape * strength, 0.0)

    def _spread(self, depth: Tensor) -> Spread:
        width = self.beam.lateral_width_mm(depth.mean(1))
        return Spread.of(self.beam.elevational_fwhm_mm, width, self.frame_step_mm, self.line_step_mm)


def _linear(level_db: Tensor) -> Tensor:
    return torch.exp(level_db * (math.log(10) / 20))
