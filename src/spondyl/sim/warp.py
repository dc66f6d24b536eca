"""The smooth motion that carries a body along when its vertebrae move rigidly: a flow, so it cannot fold.

Each vertebra turns and slides at constant speed from its frame in one SpineCurve to its frame in another. At every instant
a point moves with the weighted mean of the vertebrae's rigid velocities, the weights falling with the distance to each
vertebra where it is at that instant: poly-rigid motion (Arsigny, Commowick, Ayache, Pennec 2009, J Math Imaging Vis 33:222)
with weights that travel along, so bodies stay rigid however far they go. World LPS, mm.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.images import Volume
from spondyl.sim.bone_maps import REACH_MM, BoneMap, bone_maps
from spondyl.sim.rigid_shapes import ARCH_YIELDS_MM, ROD_MM, RigidPart, VertebraShapes, rigid_parts, vertebra_shapes
from spondyl.spine import SpineCurve

# weight = 1 / ((d + NEAR)^2 (1 + (d / FAR)^2)): nearly linear across a disc, and beside the spine a running mean over
# about as many levels as the point is far away, so ribs and skin follow softly [engineering; see docs on bent CTs].
NEAR_MM = 0.3
FAR_MM = 15.0
# Share of the spine's turning that tissue at distance d keeps is 1 / sqrt(1 + (d / FADE)^2): 0.6 at the back ribs, 0.3 at the
# flank, after the order vertebra > rib cage > back surface (Stokes 1989) and the shares of section B4 [engineering].
FADE_MM = 45.0
STEPS = 3
MOST_TURN_DEG = 120.0
CHUNK = 16384


@dataclass(frozen=True, eq=False)
class Warp:
    """A smooth invertible map of the world, rigid on every vertebra.

    Args:
        start_mm, end_mm: centre of each level before and after.
        start_axes, end_axes: its axes as rows, before and after.
        shapes: what is rigid about each level.
        parts: bones that hang on the first and last level.
        bones: where the labels of the levels are.
        steps: Runge-Kutta steps of the flow.
    """

    start_mm: Float[Tensor, "l 3"]
    end_mm: Float[Tensor, "l 3"]
    start_axes: Float[Tensor, "l 3 3"]
    end_axes: Float[Tensor, "l 3 3"]
    shapes: VertebraShapes
    parts: tuple[RigidPart, ...] = ()
    bones: tuple[BoneMap, ...] = ()
    steps: int = STEPS

    def forward(self, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Where points of the body go: skin, landmarks."""
        return _flow(self, points_mm, backward=False)

    def inverse(self, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Where points of the bent body came from."""
        return _flow(self, points_mm, backward=True)

    def volume_change(self, points_mm: Float[Tensor, "n 3"], step_mm: float = 0.5) -> Float[Tensor, "n"]:
        """Determinant of the Jacobian of `forward` at points, by central differences: 1 where rigid, 0 or less in a fold."""
        columns = []
        for axis in range(3):
            step = points_mm.new_zeros(3)
            step[axis] = step_mm
            columns.append((self.forward(points_mm + step) - self.forward(points_mm - step)) / (2 * step_mm))
        determinant: Tensor = torch.linalg.det(torch.stack(columns, dim=-1))
        return determinant

    def nearest(self, points_mm: Float[Tensor, "n 3"]) -> Float[Tensor, "2 n"]:
        """Distance of points of the bent body to the nearest vertebra, zero inside its body, and its row."""
        moment, levels = _moment(self, 1.0, points_mm.device), len(self.start_mm)
        found = [_distances(self, moment, p)[:, :levels].min(dim=1) for p in torch.split(points_mm, CHUNK)]
        return torch.stack([torch.cat([f.values for f in found]), torch.cat([f.indices for f in found]).float()])


def warp_between(volume: Volume, start: SpineCurve, end: SpineCurve) -> Warp:
    """The warp that takes the spine of a scan from `start` to `end`, which have the same levels.

    Raises:
        ValueError: where the levels differ, or a vertebra turns by more than MOST_TURN_DEG.
    """
    if start.levels != end.levels:
        raise ValueError(f"the spines have levels {' '.join(start.levels)} and {' '.join(end.levels)}; wanted the same")
    rotation = end.axes.double().mT @ start.axes.double()
    turn = torch.rad2deg(_rotation_vector(rotation).norm(dim=-1))
    if float(turn.max()) > MOST_TURN_DEG:
        level = start.levels[int(turn.argmax())]
        raise ValueError(
            f"{level} would turn by {float(turn.max()):.0f} degrees; wanted at most {MOST_TURN_DEG:.0f}: "
            "check that both spines face the same way"
        )
    return Warp(
        start.centres_mm.double().cpu(),
        end.centres_mm.double().cpu(),
        start.axes.double().cpu(),
        end.axes.double().cpu(),
        vertebra_shapes(start, volume),
        rigid_parts(start, volume),
        bone_maps(start, volume),
    )


@dataclass(frozen=True, eq=False)
class _Moment:
    """The vertebrae at one instant, on the points' device: affine forms in world coordinates, velocities, parts' maps.

    Forms come in ten blocks of one column a level: four of the body's planes; along each rod, two; squared distance to each
    rod's middle less |point|^2, two; half lengths are constants beside them.
    """

    forms: Float[Tensor, "3 f"]
    offsets: Float[Tensor, "f"]
    half_length_mm: Float[Tensor, "2 l"]
    spin: Float[Tensor, "p 3"]
    drift: Float[Tensor, "p 3"]
    slide: Float[Tensor, "p 3"]
    parts_from_world: tuple[Float[Tensor, "4 4"], ...]
    bones_from_world: tuple[Float[Tensor, "4 4"], ...]
    bone_middles_mm: tuple[Float[Tensor, "3"], ...]


def _moment(warp: Warp, time: float, device: torch.device) -> _Moment:
    """Everything that a velocity needs, at a time from 0 (start) to 1 (end)."""
    spin = _rotation_vector(warp.end_axes.mT @ warp.start_axes)
    slide = warp.end_mm - warp.start_mm
    turned = _rotation(spin * time)
    axes, centres = warp.start_axes @ turned.mT, warp.start_mm + time * slide
    forms, offsets = _forms(warp.shapes, axes, centres)
    rows = [*range(len(centres)), *(part.row for part in warp.parts)]
    drift = slide - torch.linalg.cross(spin, centres)
    back = torch.eye(4, dtype=torch.float64).repeat(len(centres), 1, 1)
    back[:, :3, :3] = turned.mT
    back[:, :3, 3] = warp.start_mm - (turned.mT @ centres[..., None])[..., 0]
    there = torch.linalg.inv(back)
    parts, bones = (
        tuple((m.map_from_world.double() @ back[m.row]).float().to(device) for m in maps)
        for maps in (warp.parts, warp.bones)
    )
    return _Moment(
        forms.reshape(-1, 3).T.float().to(device),
        offsets.reshape(-1).float().to(device),
        warp.shapes.rods_mm[:, :, 1].norm(dim=-1).T.float().to(device),
        spin[rows].float().to(device),
        drift[rows].float().to(device),
        slide[rows].float().to(device),
        parts,
        bones,
        tuple(transform_points(there[b.row], b.middle_mm[None])[0].float().to(device) for b in warp.bones),
    )


def _forms(
    shapes: VertebraShapes, axes: Float[Tensor, "l 3 3"], centres: Float[Tensor, "l 3"]
) -> tuple[Float[Tensor, "8 l 3"], Float[Tensor, "8 l"]]:
    """The shapes' forms in the world, by kind, then by level."""
    planes = (shapes.planes @ axes).transpose(0, 1)
    plane_offsets = shapes.offsets.T - (planes * centres).sum(-1)
    rods = (shapes.rods_mm @ axes[:, None]).permute(1, 2, 0, 3)
    middle = rods[:, 0] + centres
    along = torch.nn.functional.normalize(rods[:, 1], dim=-1)
    forms = torch.cat([planes, along, -2 * middle])
    return forms, torch.cat([plane_offsets, -(along * middle).sum(-1), middle.square().sum(-1)])


def _distances(warp: Warp, moment: _Moment, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n p"]:
    """Distance of every point to every vertebra and part, zero inside."""
    across, along, above, below, *rods = torch.addmm(moment.offsets, points, moment.forms).chunk(8, dim=1)
    beside = (torch.sqrt(across * across + along * along) - 1).clamp_min_(0) * warp.shapes.radius_mm.to(points)
    beyond = torch.maximum(above, below).clamp_min_(0)
    nearest = torch.sqrt(beside * beside + beyond * beyond)
    square = (points * points).sum(dim=1, keepdim=True)
    for k, radius in enumerate(ROD_MM):
        past = (rods[k].abs() - moment.half_length_mm[k]).clamp_min_(0)
        to_rod = (rods[2 + k] + square).addcmul_(rods[k], rods[k], value=-1).addcmul_(past, past)
        nearest = torch.minimum(nearest, to_rod.clamp_min_(0).sqrt_().sub_(radius).clamp_min_(0).add_(ARCH_YIELDS_MM))
    for bone, middle, place in zip(warp.bones, moment.bone_middles_mm, moment.bones_from_world, strict=True):
        simple = nearest[:, bone.row]
        close = torch.nonzero((points - middle).square().sum(dim=1) < bone.radius_mm**2)[:, 0]
        to_label = _sampled(bone.distance_mm, place, points[close])
        share = (2 - to_label * (2 / REACH_MM)).clamp_(0, 1)
        # The simple shape may claim what is no bone: beyond reach of the label it is at least that far.
        nearest[close, bone.row] = torch.lerp(simple[close].clamp_min(REACH_MM), to_label, share)
    if not warp.parts:
        return nearest
    parts = [_sampled(p.distance_mm, m, points) for p, m in zip(warp.parts, moment.parts_from_world, strict=True)]
    return torch.cat([nearest, torch.stack(parts, dim=1)], dim=1)


def _sampled(
    distance_mm: Float[Tensor, "z y x"], map_from_world: Float[Tensor, "4 4"], points: Float[Tensor, "n 3"]
) -> Float[Tensor, "n"]:
    """A distance map at points, linear between its nodes, at its border beyond."""
    size = points.new_tensor(list(reversed(distance_mm.shape)))
    at = torch.addmm(map_from_world[:3, 3], points, map_from_world[:3, :3].T)
    grid = (2 * at + 1) / size - 1
    image = distance_mm.to(points)[None, None]
    found = torch.nn.functional.grid_sample(image, grid[None, None, None], padding_mode="border", align_corners=False)
    return found[0, 0, 0, 0]


def _velocity(warp: Warp, moment: _Moment, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Weighted mean of the rigid velocities spin x point + drift, the spin fading with the distance from all of them."""
    d = _distances(warp, moment, points)
    near = d + NEAR_MM
    weight = ((d * (1 / FAR_MM)).square_().add_(1) * near.square_()).reciprocal_()
    weight = weight / weight.sum(dim=1, keepdim=True)
    kept = (d.amin(dim=1, keepdim=True) / FADE_MM).square_().add_(1).rsqrt_()
    turning = torch.linalg.cross(weight @ moment.spin, points) + weight @ moment.drift
    velocity: Tensor = kept * turning + (1 - kept) * (weight @ moment.slide)
    return velocity


def _flow(warp: Warp, points: Float[Tensor, "n 3"], *, backward: bool) -> Float[Tensor, "n 3"]:
    """Points carried through the motion by the classical Runge-Kutta method of fourth order."""
    if len(points) == 0 or (torch.equal(warp.start_mm, warp.end_mm) and torch.equal(warp.start_axes, warp.end_axes)):
        return points.clone()
    times = [k / (2 * warp.steps) for k in range(2 * warp.steps + 1)]
    moments = [_moment(warp, t, points.device) for t in (reversed(times) if backward else times)]
    step = (-1.0 if backward else 1.0) / warp.steps
    carried = []
    for chunk in torch.split(points.float(), CHUNK):
        x = chunk
        for k in range(warp.steps):
            first, middle, last = moments[2 * k : 2 * k + 3]
            v1 = _velocity(warp, first, x)
            v2 = _velocity(warp, middle, x + step / 2 * v1)
            v3 = _velocity(warp, middle, x + step / 2 * v2)
            v4 = _velocity(warp, last, x + step * v3)
            x = x + step / 6 * (v1 + 2 * v2 + 2 * v3 + v4)
        carried.append(x)
    return torch.cat(carried).to(points.dtype)


def _rotation_vector(rotation: Float[Tensor, "l 3 3"]) -> Float[Tensor, "l 3"]:
    """Axis times angle, radians, of rotations by less than a half turn."""
    twice = torch.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        dim=-1,
    )
    sine = twice.norm(dim=-1) / 2
    angle = torch.atan2(sine, (rotation.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)
    return twice / 2 * torch.where(sine > 1e-9, angle / sine.clamp_min(1e-12), torch.ones_like(sine))[:, None]


def _rotation(vector: Float[Tensor, "l 3"]) -> Float[Tensor, "l 3 3"]:
    """The rotations of rotation vectors."""
    x, y, z = vector.unbind(-1)
    o = torch.zeros_like(x)
    skew = torch.stack([o, -z, y, z, o, -x, -y, x, o], dim=-1).reshape(-1, 3, 3)
    turned: Tensor = torch.linalg.matrix_exp(skew)
    return turned
