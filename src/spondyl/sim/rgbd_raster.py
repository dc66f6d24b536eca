"""A z-buffer in plain tensor operations: which face of a mesh each pixel sees, at what depth, and with which normal.

Every (face, pixel) pair inside a face's box is tested at once. The nearest hit is a minimum over whole numbers (depth above,
face below), which does not depend on the order of work: the same picture on any device and any number of threads.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from spondyl.sim.rgbd_camera import Pinhole

NEAR_MM = 100.0  # a face with a corner nearer than this, or behind the lens, is left out
# Faces reach this share of themselves over their edges, so that rounding opens no crack between two of them.
OVERLAP = 1e-4
PAIRS = 4_000_000  # (face, pixel) pairs tested in one go: about 300 MB
NORMAL_STEPS = 2.0**24  # normals are summed as whole numbers: no order of addition changes the sum


@dataclass(frozen=True, eq=False)
class Hits:
    """What each pixel of a picture sees of a mesh.

    Args:
        face: index of the face; -1 where there is none.
        depth_mm: distance of the surface from the camera plane; infinite where there is none.
        weights: of the face's three corners at the point seen (perspective-correct, sum 1); zero where there is none.
    """

    face: Integer[Tensor, "h w"]
    depth_mm: Float[Tensor, "h w"]
    weights: Float[Tensor, "3 h w"]

    @property
    def seen(self) -> Bool[Tensor, "h w"]:
        """Pixels that see the mesh."""
        return self.face >= 0

    def interpolate(self, values: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"]) -> Float[Tensor, "3 h w"]:
        """Values at the vertices, at each pixel's point; zero where nothing is seen."""
        pixel = self.seen.reshape(-1).nonzero()[:, 0]
        corners = faces[self.face.reshape(-1)[pixel]]
        weights = self.weights.reshape(3, -1)[:, pixel]
        out = torch.zeros_like(self.weights).reshape(3, -1)
        out[:, pixel] = (values[corners] * weights.T[:, :, None]).sum(1).T
        return out.reshape(3, *self.face.shape)


def rasterise_faces(points_mm: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"], pinhole: Pinhole) -> Hits:
    """The nearest front face at every pixel centre.

    Args:
        points_mm: vertices in the camera's frame.
        faces: counter-clockwise from outside; faces that look away from the camera are not seen.
        pinhole: only its lens and its grid count here.
    """
    h, w = pinhole.shape_px
    nothing = torch.iinfo(torch.int64).max
    nearest = torch.full((h * w,), nothing, dtype=torch.int64, device=points_mm.device)
    corners, inverse = _screen(points_mm, faces, pinhole)
    chosen, low, size = _boxes(corners, inverse, (h, w))
    table = _table(corners[chosen], inverse[chosen])
    counts = size[:, 0] * size[:, 1]
    ends = counts.cumsum(0)
    first = 0
    while first < len(chosen):
        done = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(torch.searchsorted(ends, done + PAIRS, right=True)))
        part = slice(first, last)
        _test_pairs(nearest, chosen[part], low[part], size[part], table[part], w)
        first = last
    face = torch.where(nearest == nothing, -1, nearest & 0xFFFFFFFF).reshape(h, w)
    return Hits(face, *_at_hits(face, corners, inverse))


def unit(vectors: Float[Tensor, "3 *s"]) -> Float[Tensor, "3 *s"]:
    """Vectors of length 1, components first; zero stays zero. (torch's own norm over a first axis is ten times slower.)"""
    x, y, z = vectors
    scale: Tensor = (x * x + y * y + z * z).clamp(min=1e-24).rsqrt()
    return vectors * scale


def vertex_normals(points_mm: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"]) -> Float[Tensor, "n 3"]:
    """Unit normals at the vertices: the mean of the faces around, weighted by their area."""
    a, b, c = (points_mm[faces[:, k]] for k in range(3))
    area = torch.linalg.cross(b - a, c - a)
    # the largest face is 2^24 steps: the sum of millions of faces stays far below 2^63
    whole = (area * (NORMAL_STEPS / area.abs().amax().clamp(min=1e-6))).round().to(torch.int64)
    total = torch.zeros(len(points_mm), 3, dtype=torch.int64, device=points_mm.device)
    for k in range(3):
        total.index_add_(0, faces[:, k], whole)
    return torch.nn.functional.normalize(total.to(torch.float32), dim=-1)


def _screen(points_mm: Tensor, faces: Tensor, pinhole: Pinhole) -> tuple[Tensor, Tensor]:
    """Pixel positions (v, u) of the faces' corners (m 3 2) and one over their depths (m 3); NaN for corners too near."""
    z = torch.where(points_mm[:, 2] > NEAR_MM, points_mm[:, 2], torch.full_like(points_mm[:, 2], torch.nan))
    scale = pinhole.focal_px / z
    v = points_mm[:, 1] * scale + pinhole.centre_px[0]
    u = points_mm[:, 0] * scale + pinhole.centre_px[1]
    return torch.stack([v, u], -1)[faces], (1 / z)[faces]


def _boxes(corners: Tensor, inverse: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Faces that look at the camera and meet a pixel centre's box: their indices, first pixel and size (v, u) of the box."""
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    towards = (
        one[:, 1] * two[:, 0] - one[:, 0] * two[:, 1] < 0
    )  # y runs down: a front face turns clockwise on the screen
    top = corners.new_tensor([n - 1 for n in shape])
    slack = 1e-3
    low = (corners.amin(1) - slack).ceil().clamp(min=0)
    high = torch.minimum((corners.amax(1) + slack).floor(), top)
    size = high - low + 1
    kept = towards & torch.isfinite(inverse).all(1) & (size > 0).all(1)
    chosen = kept.nonzero()[:, 0]
    return chosen, low[chosen].to(torch.int64), size[chosen].to(torch.int64)


def _table(corners: Tensor, inverse: Tensor) -> Tensor:
    """What a test needs of each face, ten numbers: corner 0, edges over the area, one over depth and its slopes."""
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = (one[:, 1] * two[:, 0] - one[:, 0] * two[:, 1])[:, None]
    rest = [inverse[:, :1], inverse[:, 1:2] - inverse[:, :1], inverse[:, 2:] - inverse[:, :1]]
    return torch.cat([corners[:, 0], two / area, one / area, *rest], -1)


def _test_pairs(nearest: Tensor, chosen: Tensor, low: Tensor, size: Tensor, table: Tensor, width: int) -> None:
    """Lower `nearest` to the hits of these faces."""
    counts = size[:, 0] * size[:, 1]
    owner = torch.repeat_interleave(torch.arange(len(chosen), device=chosen.device), counts)
    within = torch.arange(len(owner), device=owner.device) - (counts.cumsum(0) - counts)[owner]
    columns = size[:, 1][owner]
    row = torch.div(within, columns, rounding_mode="floor")
    v, u = low[:, 0][owner] + row, low[:, 1][owner] + within - row * columns
    t = table.T[:, owner]
    dv, du = v - t[0], u - t[1]
    b1, b2 = du * t[2] - dv * t[3], dv * t[5] - du * t[4]
    hit = ((b1 >= -OVERLAP) & (b2 >= -OVERLAP) & (b1 + b2 <= 1 + OVERLAP)).nonzero()[:, 0]
    t, b1, b2 = t[6:, hit], b1[hit], b2[hit]
    depth = 1 / (t[0] + b1 * t[1] + b2 * t[2])
    # positive floats order as their bits do
    key = (depth.view(torch.int32).to(torch.int64) << 32) | chosen[owner[hit]]
    nearest.scatter_reduce_(0, (v * width + u)[hit], key, "amin")


def _at_hits(face: Tensor, corners: Tensor, inverse: Tensor) -> tuple[Tensor, Tensor]:
    """Depth and perspective-correct weights at the pixels that see a face."""
    h, w = face.shape
    depth = torch.full((h * w,), torch.inf, device=face.device)
    weights = torch.zeros(3, h * w, device=face.device)
    pixel = (face.reshape(-1) >= 0).nonzero()[:, 0]
    if len(pixel):
        mine = face.reshape(-1)[pixel]
        t = _table(corners[mine], inverse[mine]).T
        row = torch.div(pixel, w, rounding_mode="floor")
        dv, du = row - t[0], pixel - row * w - t[1]
        b1, b2 = du * t[2] - dv * t[3], dv * t[5] - du * t[4]
        z = 1 / (t[6] + b1 * t[7] + b2 * t[8])
        depth[pixel] = z
        shares = torch.stack([1 - b1 - b2, b1, b2]) * inverse[mine].T * z
        weights[:, pixel] = shares
    return depth.reshape(h, w), weights.reshape(3, h, w)
