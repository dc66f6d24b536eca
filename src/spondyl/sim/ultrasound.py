"""The ultrasound sensor: a freehand sweep up the back, and the coronal volume projection image that is made of it.

The beam runs straight from behind to front. Depths are measured along it. What the sensor leaves out: refraction, speed of
sound, reverberation, the probe's pitch, and the patient's sway other than breathing.
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.images import Ultrasound
from spondyl.pairs import Subject
from spondyl.sim.back import Lattice, back_of
from spondyl.sim.echo import Beam, Recording
from spondyl.sim.patient.threads import one_thread
from spondyl.sim.probe import Probe, blur_rows, spine_line_mm, sweep, track_mm
from spondyl.sim.redraw import redraw
from spondyl.sim.speckle import Grain
from spondyl.sim.vpi import Slab, place, project, show

# The nine depths at which a projection is offered (Cheung 2015), mm below the planned one.
DEPTH_OFFSETS_MM: tuple[float, ...] = (-12.0, -9.0, -6.0, -3.0, 0.0, 3.0, 6.0, 9.0, 12.0)
LATTICE_MM = (1.0, 2.0)  # finest and coarsest step at which tissue is looked up
BEYOND_MM = (20.0, 14.0)  # scanned above the highest and below the lowest visible vertebra's centre
DEEPEST_MM = 20.0  # in front of the spine's centres nothing is recorded that the slab could show
BEHIND_MM = 160.0  # skin lies nearer than this behind the spine's centres


@dataclass(frozen=True)
class UltrasoundSensor:
    """A three-dimensional ultrasound scanner for the spine; the defaults are a Scolioscan-like sweep at 7.5 MHz.

    Called with a subject it gives the coronal volume projection image. The same settings and the same state of the generator
    give the same image.

    Args:
        field_mm: height and width of the image; the scan lies in its middle and what exceeds it is cut off.
        pixel_spacing_mm: (v, u) spacing of the image.
        depth_offset_mm: how much deeper than planned the slab lies, one of DEPTH_OFFSETS_MM or any other.
        frame_step_mm, line_step_mm, depth_step_mm: steps of the simulated B-scans.
        probe, beam, slab: the hand and its probe; the sound; the projection and display.
    """

    field_mm: tuple[float, float] = (540.0, 140.0)
    pixel_spacing_mm: tuple[float, float] = (0.5, 0.5)
    depth_offset_mm: float = 0.0
    frame_step_mm: float = 1.0
    line_step_mm: float = 0.5
    depth_step_mm: float = 0.5
    probe: Probe = field(default_factory=Probe)
    beam: Beam = field(default_factory=Beam)
    slab: Slab = field(default_factory=Slab)

    def __post_init__(self) -> None:
        sizes = (*self.field_mm, *self.pixel_spacing_mm, self.frame_step_mm, self.line_step_mm, self.depth_step_mm)
        if not all(math.isfinite(s) and s > 0 for s in sizes):
            raise ValueError(f"field, spacing and steps are {sizes}; wanted positive millimetres")
        if min(self.shape_px) < 2:
            raise ValueError(f"field_mm {self.field_mm} holds {self.shape_px} pixels; wanted at least two by two")
        if not abs(self.depth_offset_mm) <= 30:
            raise ValueError(f"depth_offset_mm is {self.depth_offset_mm}; wanted -30 to 30 mm")

    @property
    def shape_px(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        (h, w), (dv, du) = self.field_mm, self.pixel_spacing_mm
        return round(h / dv), round(w / du)

    def __call__(self, subject: Subject, *, generator: torch.Generator) -> Ultrasound:
        """The volume projection image of one sweep over a subject's back.

        Rows run from cranial to caudal, columns from the patient's left to the right, as seen from behind. world_from_pixel
        maps (u, v, depth, 1) to world LPS mm: u and v are pixel positions, depth is mm in front of a coronal plane at the
        mean depth of the projected slab's reference surface. x and z are exact; the slab itself is curved.

        Raises:
            ValueError: where the subject shows no skin or no bone behind its spine.
        """
        return self.at_depths(subject, (self.depth_offset_mm,), generator=generator)[0]

    def at_depths(
        self, subject: Subject, offsets_mm: tuple[float, ...] = DEPTH_OFFSETS_MM, *, generator: torch.Generator
    ) -> tuple[Ultrasound, ...]:
        """Projections of one sweep at several depths, shallow ones first by default; each is what a call with that offset gives."""
        with one_thread():  # frame by frame: threads would wait more than they work
            return self._projected(subject, offsets_mm, generator=generator)

    def _projected(
        self, subject: Subject, offsets_mm: tuple[float, ...], *, generator: torch.Generator
    ) -> tuple[Ultrasound, ...]:
        recording, lattice = self.record(subject, generator=generator)
        frames, device = recording.sweep.face_mm.shape[0], recording.sweep.face_mm.device
        noise = torch.randn(4, frames, generator=generator, device=generator.device).to(device)
        turn = float(torch.rand((), generator=generator, device=generator.device)) * 2 * math.pi
        per_breath = self.probe.sweep_mm_s * self.probe.breathing_period_s / lattice.step_mm[1]
        breath = self.probe.breathing_mm * torch.sin(
            torch.arange(frames, device=device) * (2 * math.pi / per_breath) + turn
        )
        slow = blur_rows(noise[1], 12.0) * 4.0
        gain = self.probe.gain_db * (0.6 * noise[0] + 0.8 * slow)
        pictures = project(recording, self.slab, offsets_mm, breath, gain)
        wander = (0.35 * noise[2] + 4.0 * blur_rows(noise[3], 6.0)) * (
            self.probe.tracking_mm / self.pixel_spacing_mm[1]
        )
        return tuple(self._image(p, recording, lattice, wander) for p in pictures)

    def record(self, subject: Subject, *, generator: torch.Generator) -> tuple[Recording, Lattice]:
        """The sweep itself, before any slab is chosen: ask it for `envelope(index)`; and the lattice of its frames and lines.

        Raises:
            ValueError: where the subject shows no skin or no bone behind its spine.
        """
        spine, device = subject.spine, subject.volume.hu.device
        coarse = self._lattice(subject)
        shape = (
            max(2, round(coarse.step_mm[1] * (coarse.shape[1] - 1) / self.frame_step_mm) + 1),
            max(2, round(coarse.step_mm[2] * (coarse.shape[2] - 1) / self.line_step_mm) + 1),
        )
        back = back_of(subject.volume, coarse, frequency_mhz=self.beam.frequency_mhz)
        run = sweep(back, spine, self.probe, shape)
        fine = coarse.refined(*shape)
        heights, first = fine.heights_mm(device), -self.slab.above_mm - 20.0
        aside = fine.columns_mm(device) - spine_line_mm(spine, heights)[:, None]
        grain = Grain.draw(heights, aside, self.slab.below_mm + 40.0 - first, generator=generator)
        seed = int(torch.randint(2**40, (), generator=generator, device=generator.device))
        steps = (self.depth_step_mm, fine.step_mm[1], fine.step_mm[2])
        return Recording(run, self.beam, grain, seed, *steps, first), fine

    def randomised(self, *, generator: torch.Generator) -> "UltrasoundSensor":
        """Another scanner and another hand: probe, beam and slab drawn within their fields' ranges; the image's grid stays."""
        probe = redraw(self.probe, generator=generator)
        beam = redraw(self.beam, generator=generator)
        return replace(self, probe=probe, beam=beam, slab=redraw(self.slab, generator=generator))

    def _lattice(self, subject: Subject) -> Lattice:
        """The field that the sweep covers, at a step near the CT's own."""
        spine = subject.spine
        if not spine.levels:
            raise ValueError("the subject's spine shows no level; wanted at least one to lead the probe")
        centres = spine.centres_mm.to(torch.float32)
        corners = subject.volume.corners_mm()
        step = min(max(min(subject.volume.spacing_mm), LATTICE_MM[0]), LATTICE_MM[1])
        top = min(float(centres[:, 2].max()) + BEYOND_MM[0], float(corners[:, 2].max()) - step)
        low = max(float(centres[:, 2].min()) - BEYOND_MM[1], float(corners[:, 2].min()) + step)
        if top - low < 10.0:
            raise ValueError(
                f"the CT shows {max(top - low, 0.0):.0f} mm of the back; wanted 10 mm or more behind the spine"
            )
        heights = torch.linspace(top, low, max(2, round(top - low)), device=centres.device)
        track = track_mm(spine, heights, self.probe)
        half = self.probe.width_mm / 2 + 2.0
        back = min(float(centres[:, 1].max()) + BEHIND_MM, float(corners[:, 1].max()) + 4.0)
        front = min(float(centres[:, 1].min()), back - 20.0) - DEEPEST_MM
        first = (float(track.max()) + half, back, top)
        return Lattice.between(first, (float(track.min()) - half, front, low), step)

    def _image(self, picture: Float[Tensor, "v u"], recording: Recording, fine: Lattice, wander: Tensor) -> Ultrasound:
        (h, w), (dv, du) = self.shape_px, self.pixel_spacing_mm
        steps = (fine.step_mm[1] / dv, fine.step_mm[2] / du)
        frames, lines = picture.shape
        first = ((h - 1 - (frames - 1) * steps[0]) / 2, (w - 1 - (lines - 1) * steps[1]) / 2)
        seen = (recording.sweep.contact > 0.02).to(picture.dtype)
        grey, scanned = place(torch.stack([picture, seen]), first, steps, (h, w), wander)
        echo = show(grey, (scanned > 0.5).to(grey.dtype), self.slab, self.pixel_spacing_mm)
        m = torch.zeros(4, 4, device=picture.device)
        m[0, 0], m[2, 1], m[1, 2], m[3, 3] = -du, -dv, -1.0, 1.0
        m[0, 3] = fine.first_mm[0] + first[1] * du
        m[1, 3] = fine.first_mm[1] - float(recording.sweep.reference_mm.mean())
        m[2, 3] = fine.first_mm[2] + first[0] * dv
        return Ultrasound(echo, self.pixel_spacing_mm, m)
