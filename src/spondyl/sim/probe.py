"""The probe's way up the back: where its face lies, where it touches, and what its beams meet first."""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.sim.back import Back, Lattice, smooth
from spondyl.sim.redraw import between, check_settings
from spondyl.sim.ultrasound_marks import landmarks_of
from spondyl.spine import SpineCurve

FACE_SIGMA_MM = 10.0  # the probe's holder rides over what is shorter than this
REFERENCE_SIGMA_MM = 20.0  # smoothing of the lamina's depth along the spine (Cheung 2015: the slab follows the spine)
LAMINA_MM = (4.0, 16.0)  # distance from the spine's midline at which a lamina's back surface is met
LIGAMENT_SIGMA_MM = 2.5  # half of a spinous process's width (B1: tips 5 mm wide)
SPINOUS_SEARCH_MM = 14.0
APERTURE_MM = 8.0  # elements that form one line


@dataclass(frozen=True)
class Probe:
    """A linear probe and the hand that leads it.

    Args:
        width_mm: length of its row of elements.
        follow_share: how much of the spine's lateral deviation the hand follows.
        roll_share: how much of the back's axial slope the hand follows; the rest lifts one end off the skin.
        compression_mm: how deep the face is pressed into the highest skin.
        gel_mm: gap between face and skin that gel still fills.
        sweep_mm_s: speed of the sweep, cranially (Scolioscan: a spine in 37 s).
        breathing_mm: amplitude of the chest's movement under the tracked slab.
        breathing_period_s: one breath.
        tracking_mm: random lateral error of the tracked position, frame by frame, standard deviation.
        gain_db: standard deviation of the frames' gain.
    """

    width_mm: float = field(default=100.0, metadata=between(88.0, 108.0))
    follow_share: float = field(default=0.6, metadata=between(0.2, 0.9))
    roll_share: float = field(default=0.6, metadata=between(0.3, 0.9))
    compression_mm: float = field(default=4.0, metadata=between(2.0, 6.0))
    gel_mm: float = field(default=5.0, metadata=between(3.0, 8.0))
    sweep_mm_s: float = field(default=13.0, metadata=between(9.0, 18.0))
    breathing_mm: float = field(default=1.5, metadata=between(0.5, 3.0))
    breathing_period_s: float = field(default=3.5, metadata=between(3.0, 4.5))
    tracking_mm: float = field(default=0.25, metadata=between(0.1, 0.5))
    gain_db: float = field(default=0.8, metadata=between(0.3, 1.5))

    def __post_init__(self) -> None:
        check_settings(self, positive=("width_mm", "sweep_mm_s", "breathing_period_s"))


@dataclass(frozen=True, eq=False)
class Sweep:
    """One sweep over one back, on the fine lattice of frames (v) and lines (u); depths in the back's own s.

    Args:
        back: what was swept; absorption counts from the probe's face, for the hand presses the tissue before it away.
        face_mm: the probe's face.
        contact: share of the sound that enters, 0 where the probe is in the air.
        surface_mm: the first surface that lets (almost) nothing pass, infinite where there is none.
        facing: cosine between beam and that surface's normal.
        is_bone: whether the surface is bone; gas otherwise.
        loss_db: absorption on the way to that surface and back.
        reference_mm: the depth of the laminae, smoothed along the spine; the slab follows it.
        ligament_mm: depth of the line through the spinous tips; ligaments fill the gaps between the processes.
        ligament_share: share of a line's sound that meets them.
    """

    back: Back
    face_mm: Float[Tensor, "v u"]
    contact: Float[Tensor, "v u"]
    surface_mm: Float[Tensor, "v u"]
    facing: Float[Tensor, "v u"]
    is_bone: Float[Tensor, "v u"]
    loss_db: Float[Tensor, "v u"]
    reference_mm: Float[Tensor, "v"]
    ligament_mm: Float[Tensor, "v"]
    ligament_share: Float[Tensor, "v u"]


def interpolate(at: Float[Tensor, "n"], x: Float[Tensor, "k"], y: Float[Tensor, "k"]) -> Float[Tensor, "n"]:
    """Values at `at` of the polyline through (x, y), x rising; held constant beyond its ends."""
    if len(x) == 1:
        return y.expand(len(at)).clone()
    i = torch.searchsorted(x.contiguous(), at.contiguous()).clamp(1, len(x) - 1)
    part = ((at - x[i - 1]) / (x[i] - x[i - 1])).clamp(0, 1)
    return y[i - 1] + part * (y[i] - y[i - 1])


def blur_rows(values: Float[Tensor, "v"], sigma: float, weight: Float[Tensor, "v"] | None = None) -> Float[Tensor, "v"]:
    """A Gaussian average along the rows (sigma in rows) of the values that have weight."""
    w = torch.ones_like(values) if weight is None else weight
    reach = min(math.ceil(3 * sigma), 4 * len(values))
    x = torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype)
    kernel = torch.exp(-(x**2) / (2 * max(sigma, 1e-3) ** 2))[None, None]
    both = torch.stack([values * w, w])[:, None]
    sums: Tensor = functional.conv1d(both, kernel, padding=reach)
    return sums[0, 0] / sums[1, 0].clamp(min=1e-9)


def spine_line_mm(spine: SpineCurve, heights_mm: Float[Tensor, "v"]) -> Float[Tensor, "v"]:
    """World x of the spine at each height."""
    centres = spine.centres_mm.to(heights_mm).flip(0)
    order = centres[:, 2].argsort()
    return interpolate(heights_mm, centres[order, 2], centres[order, 0])


def track_mm(spine: SpineCurve, heights_mm: Float[Tensor, "v"], probe: Probe) -> Float[Tensor, "v"]:
    """World x of the probe's middle at each height: a share of the spine's deviation from its straight line, smoothed."""
    x = spine_line_mm(spine, heights_mm)
    straight = torch.linspace(0, 1, len(x), device=x.device)
    straight = x[0] + straight * (x[-1] - x[0])
    step = float((heights_mm[0] - heights_mm[-1]).abs()) / max(len(x) - 1, 1)
    return blur_rows(straight + probe.follow_share * (x - straight), 25.0 / step)


def sweep(back: Back, spine: SpineCurve, probe: Probe, shape: tuple[int, int]) -> Sweep:
    """The sweep of a probe over a back, on a lattice of `shape` (frames, lines) that covers the back's own.

    Raises:
        ValueError: where the probe finds no skin.
    """
    coarse = back.lattice
    offset = (
        coarse.columns_mm(back.skin_mm.device) - track_mm(spine, coarse.heights_mm(back.skin_mm.device), probe)[:, None]
    )
    under = (offset.abs() <= probe.width_mm / 2).to(torch.float32)
    face = _face_mm(back, offset, under, probe)
    gap = (back.skin_mm - face).clamp(max=100.0)
    touching = torch.sigmoid((probe.gel_mm - gap) / 0.8)
    size = max(1, round(APERTURE_MM / coarse.step_mm[2])) // 2 * 2 + 1
    whole = functional.avg_pool2d(touching[None], (1, size), stride=1, padding=(0, size // 2), count_include_pad=False)[
        0
    ]
    edge = (probe.width_mm / 2 - _fine(offset, shape).abs()) / 0.5 + 0.5
    contact = _fine(whole, shape) * edge.clamp(0, 1)
    back = _from_face(back, face)
    face = _fine(face, shape)
    surface, is_bone = first_surface_mm(back, face)
    facing, loss = _at_surface(back, surface)
    reference = _reference_mm(back, spine, surface, is_bone)
    ligament = _ligament(coarse.refined(*shape), spine, surface, reference)
    return Sweep(back, face, contact, surface, facing, is_bone, loss, reference, *ligament)


def _face_mm(back: Back, offset: Tensor, under: Tensor, probe: Probe) -> Tensor:
    """A straight face on every row: it leans with part of the back's slope and rests on the highest skin."""
    weight = under * torch.isfinite(back.skin_mm)
    if not bool((weight.sum(1) > 0).any()):
        raise ValueError("the probe finds no skin behind the spine; wanted a CT that shows the back's surface")
    skin = torch.where(weight > 0, back.skin_mm, 0.0)
    n = weight.sum(1).clamp(min=1)
    middle_u, middle_s = (weight * offset).sum(1) / n, (weight * skin).sum(1) / n
    du = (offset - middle_u[:, None]) * weight
    slope = (du * (skin - middle_s[:, None])).sum(1) / (du * du).sum(1).clamp(min=1.0)
    rows = FACE_SIGMA_MM / back.lattice.step_mm[1]
    seen = (weight.sum(1) > 0).to(skin.dtype)
    lean = blur_rows(slope * probe.roll_share, rows, seen)[:, None] * offset
    highest = torch.where(weight > 0, back.skin_mm - lean, math.inf).amin(1)
    highest = blur_rows(torch.where(seen > 0, highest, 0.0), rows, seen)
    return highest[:, None] + lean + probe.compression_mm


def _from_face(back: Back, face_mm: Tensor) -> Back:
    n, step = back.lattice.shape[0], back.lattice.step_mm[0]
    position = (face_mm / step).clamp(0, n - 1.001)
    first = position.floor().long()[None]
    near, far = back.loss_db.gather(0, first), back.loss_db.gather(0, first + 1)
    return replace(back, loss_db=(back.loss_db - near - (position - first) * (far - near)).clamp_(min=0))


def _fine(rows: Tensor, shape: tuple[int, int]) -> Tensor:
    return functional.interpolate(rows[None, None], size=shape, mode="bilinear", align_corners=True)[0, 0]


def first_surface_mm(back: Back, face_mm: Float[Tensor, "v u"]) -> tuple[Float[Tensor, "v u"], Float[Tensor, "v u"]]:
    """Depth of the first bone or gas below the probe's face on each line, and whether it is bone (1) or gas (0)."""
    shape, step = (face_mm.shape[0], face_mm.shape[1]), back.lattice.step_mm[0]
    depth = torch.full_like(face_mm, math.inf)
    is_bone = torch.zeros_like(face_mm)
    before = torch.zeros_like(face_mm)
    for j in range(back.bone.shape[0]):
        bone, gas = (_fine(part[j], shape) for part in (back.bone, back.gas))
        now = torch.maximum(bone, gas)
        hit = (now >= 0.5) & torch.isinf(depth) & (face_mm < j * step)
        part = ((0.5 - before) / (now - before).clamp(min=1e-3)).clamp(0, 1)
        depth = torch.where(hit, (j - 1 + part) * step, depth)
        is_bone = torch.where(hit & (bone > 0.3), 1.0, is_bone)
        before = now
    return depth, is_bone


def _at_surface(back: Back, surface_mm: Tensor) -> tuple[Tensor, Tensor]:
    """The cosine between beam and surface normal, from the gradient of the smoothed solid, and the absorption down to it."""
    solid = smooth(torch.maximum(back.bone, back.gas), 1.0)
    n, step = back.lattice.shape, back.lattice.step_mm
    (rows, columns), device = surface_mm.shape, surface_mm.device
    u = torch.linspace(-1, 1, columns, device=device).expand(rows, columns)
    v = torch.linspace(-1, 1, rows, device=device)[:, None].expand(rows, columns)
    s = torch.where(torch.isfinite(surface_mm), surface_mm, 0.0) / step[0] * (2 / (n[0] - 1)) - 1
    at = torch.stack([u, v, s], dim=-1)
    gradient = []
    for axis in range(3):  # u, v, s
        shift = torch.zeros(3, device=device)
        shift[axis] = 2 / (n[2 - axis] - 1)
        grid = torch.stack([at + shift, at - shift])[None]
        high, low = functional.grid_sample(solid[None, None], grid, padding_mode="border", align_corners=True)[0, 0]
        gradient.append((high - low) / step[2 - axis])
    length = torch.stack(gradient).norm(dim=0).clamp(min=1e-6)
    loss = functional.grid_sample(back.loss_db[None, None], at[None, None], padding_mode="border", align_corners=True)
    return (gradient[2] / length).clamp(0, 1), loss[0, 0, 0]


def _reference_mm(back: Back, spine: SpineCurve, surface: Tensor, is_bone: Tensor) -> Tensor:
    lattice = back.lattice.refined(surface.shape[0], surface.shape[1])
    aside = (
        lattice.columns_mm(surface.device) - spine_line_mm(spine, lattice.heights_mm(surface.device))[:, None]
    ).abs()
    lamina = (aside >= LAMINA_MM[0]) & (aside <= LAMINA_MM[1]) & (is_bone > 0)
    median = torch.where(lamina, surface, math.nan).nanquantile(0.35, dim=1)
    seen = torch.isfinite(median).to(surface.dtype) * lamina.sum(1).clamp(max=8) / 8
    if not bool((seen > 0).any()):
        raise ValueError("no bone lies behind the spine's line; wanted labels or HU that show the laminae")
    rows = torch.arange(len(median), device=median.device, dtype=median.dtype)
    known = torch.isfinite(median) & (seen >= 0.5)
    filled = interpolate(rows, rows[known], median[known]) if int(known.sum()) > 1 else torch.nan_to_num(median)
    return blur_rows(filled, REFERENCE_SIGMA_MM / lattice.step_mm[1])


def _ligament(lattice: Lattice, spine: SpineCurve, surface: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
    """Depth of the ligaments between the spinous processes on every row, and how much of each line they cover.

    The processes are found as the shallowest bone near where an average vertebra has its own; gaps are bridged.
    """
    heights, columns = lattice.heights_mm(surface.device), lattice.columns_mm(surface.device)
    tips = landmarks_of(spine).spinous_tips_mm.to(heights)
    if not len(tips):
        return torch.full_like(heights, math.inf), torch.zeros_like(surface)
    tips = tips[tips[:, 2].argsort()]
    expected = interpolate(heights, tips[:, 2], tips[:, 0])
    near = (columns - expected[:, None]).abs() < SPINOUS_SEARCH_MM
    depth = torch.where(near, surface, math.inf).clamp(max=1e3)
    top = depth.amin(1)
    weight = torch.exp(-(depth - top[:, None]) / 1.5)
    middle = (weight * columns).sum(1) / weight.sum(1).clamp(min=1e-6)
    seen = (top < reference - 4.0) & (heights > tips[0, 2] - 6.0) & (heights < tips[-1, 2] + 6.0)
    rows = torch.arange(len(heights), device=surface.device, dtype=heights.dtype)
    if int(seen.sum()) > 1:
        expected, top = (interpolate(rows, rows[seen], part[seen]) for part in (middle, top))
    sigma = 5.0 / lattice.step_mm[1]
    aside = columns - blur_rows(expected, sigma)[:, None]
    return blur_rows(top, sigma), torch.exp(-(aside**2) / (2 * LIGAMENT_SIGMA_MM**2))
