"""The surface that is photographed: the subject's skin, and plain stand-ins for what a patient's mesh does not hold.

The stand-ins (head with hair up, rounded shoulders and elbows, folded forearms, legs in shorts) carry no truth. They are there so
that the picture ends where a photograph would; the skin between neck and waistband is the subject's, vertex by vertex.
"""

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Integer
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from spondyl.pairs import Skin
from spondyl.sim.redraw import between, check_settings
from spondyl.sim.rgbd_raster import vertex_normals
from spondyl.spine import SpineCurve

SKIN, CLOTH, HAIR = 0, 1, 2
LID_CORNERS = 24  # a vertex with this many faces is the middle of a tube's lid
LID_MM = 6.0  # head and cloth begin this far inside the mesh's ends, clear of its lids
# A virtual patient's trunk is rounded off below the hips; there the legs begin this much higher, under the shorts.
LEGS_UP_MM, HIPS_MM = 42.0, 100.0
NECK_MM, NECK_LONG_MM = (60.0, 190.0), 120.0  # widths of a section that a head fits on, and how far above C7 it may lie
# Skull and back of the head, on a neck of 58 mm half-width: height over the head's middle, half axes (estimate).
HEAD_MM = ((30.0, (74.0, 94.0, 84.0)), (-12.0, (68.0, 84.0, 98.0)))
NECK_HALF_MM = 58.0
HAIRLINE_MM = 8.0  # above the end of the neck; below it the head is skin
LEG_STEPS, LEG_STEP_MM = 12, 60.0
FOREARM_BALLS = 20
SMOOTHINGS = 3  # rounds in which a normal becomes the mean of its neighbours: about 8 mm on a patient's mesh


@dataclass(frozen=True)
class Outfit:
    """What the patient wears, and the hair.

    Args:
        waist_below_s1_mm: how far the shorts' upper edge lies below the middle of the sacral endplate.
        cloth_mm: thickness of the shorts.
        folds_mm: depth of their folds, standard deviation.
        cloth_grey, cloth_tint: albedo of the cloth, and its colour from red (-1) over grey to blue (1).
        hair_grey: albedo of the hair of a light-skinned patient; a darker skin has darker hair.
        bun_mm: radius of the knot of hair; below 12 mm there is none.
    """

    waist_below_s1_mm: float = field(default=45.0, metadata=between(25.0, 75.0))
    cloth_mm: float = field(default=2.0, metadata=between(1.0, 3.0))
    folds_mm: float = field(default=1.2, metadata=between(0.5, 2.5))
    cloth_grey: float = field(default=0.12, metadata=between(0.03, 0.5))
    cloth_tint: float = field(default=0.4, metadata=between(-1.0, 1.0))
    hair_grey: float = field(default=0.05, metadata=between(0.02, 0.22))
    bun_mm: float = field(default=32.0, metadata=between(0.0, 38.0))

    def __post_init__(self) -> None:
        check_settings(self)
        if not -1 <= self.cloth_tint <= 1:
            raise ValueError(f"cloth_tint is {self.cloth_tint}; wanted -1 (red) to 1 (blue)")


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles with smooth normals; `kind` of each face is SKIN, CLOTH or HAIR."""

    vertices_mm: Float[Tensor, "n 3"]
    faces: Integer[Tensor, "m 3"]
    normals: Float[Tensor, "n 3"]
    kind: Integer[Tensor, "m"]

    @classmethod
    def of(cls, pieces: list[tuple[Tensor, Tensor, int]]) -> "Mesh":
        """One mesh of several: vertices, faces and kind of each."""
        starts = np.cumsum([0, *(len(v) for v, _, _ in pieces)])
        vertices = torch.cat([v for v, _, _ in pieces]).to(torch.float32)
        faces = torch.cat([f + int(s) for (_, f, _), s in zip(pieces, starts, strict=False)])
        kind = torch.cat([torch.full((len(f),), k, dtype=torch.int64, device=f.device) for _, f, k in pieces])
        return cls(vertices, faces, smoothed(vertex_normals(vertices, faces), faces), kind)


@dataclass(frozen=True, eq=False)
class Figure:
    """The trunk with legs and head, the limbs (None where the skin has none of its own), and the heights of hairline and cloth."""

    trunk: Mesh
    limbs: Mesh | None
    hairline_mm: float
    cloth_mm: float


def height_mm(spine: SpineCurve, level: str) -> float | None:
    """Height of a level's centre; None where the spine does not show it."""
    return float(spine.centres_mm[spine.index(level), 2]) if level in spine.levels else None


def figure_of(skin: Skin, outfit: Outfit, spine: SpineCurve) -> Figure:
    """The photographed surface of a skin: with a head where the mesh ends in a neck not far above C7, and a cloth from its lower
    end down, which has two legs where the mesh reaches below the hips.
    """
    vertices, faces = skin.vertices_mm.to(torch.float32), skin.faces.to(torch.int64)
    tubes = limb_faces(faces, len(vertices))
    own = faces[~tubes]
    body = vertices[own.reshape(-1)]
    low, high = float(body[:, 2].min()), float(body[:, 2].max()) - LID_MM
    neck, seat = height_mm(spine, "C7"), height_mm(spine, "S1")
    hips = seat is not None and low + LEGS_UP_MM < seat - HIPS_MM
    cloth = low + (LEGS_UP_MM if hips else LID_MM)
    pieces = [(vertices, own, SKIN), (*hanging(vertices, own, cloth, legs=hips), CLOTH)]
    ring = section(vertices, own, high)[0]
    slender = len(ring) > 0 and NECK_MM[0] < float(ring[:, 0].max() - ring[:, 0].min()) < NECK_MM[1]
    if slender and neck is not None and high - neck < NECK_LONG_MM:
        pieces += head(ring, outfit)
    if not bool(tubes.any()):
        return Figure(Mesh.of(pieces), None, high + HAIRLINE_MM, cloth)
    middle = float(body[:, 0].mean())
    limbs = faces[tubes]
    open_ended = limbs[~lids(limbs, len(vertices))[limbs].any(1)]
    arms = Mesh.of([(vertices, open_ended, SKIN), *rounded(vertices, limbs, middle)])
    return Figure(Mesh.of(pieces), arms, high + HAIRLINE_MM, cloth)


def smoothed(normals: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"]) -> Float[Tensor, "n 3"]:
    """Normals after SMOOTHINGS rounds of averaging over the faces around a vertex; sums of whole numbers, in any order."""
    for _ in range(SMOOTHINGS):
        whole = (normals[faces].sum(1) * 2**20).round().to(torch.int64)
        total = torch.zeros(len(normals), 3, dtype=torch.int64, device=normals.device)
        for k in range(3):
            total.index_add_(0, faces[:, k], whole)
        normals = torch.nn.functional.normalize(total.to(torch.float32), dim=-1)
    return normals


def limb_faces(faces: Integer[Tensor, "m 3"], count: int) -> Tensor:
    """Faces of the pieces that are tubes with two lids: the upper arms of a virtual patient."""
    f = faces.cpu().numpy()
    links = coo_matrix(
        (np.ones(2 * len(f), dtype=np.int8), (f[:, [0, 1]].ravel(), f[:, [1, 2]].ravel())), (count, count)
    )
    _, piece = connected_components(links, directed=False)
    of_face = piece[f[:, 0]]
    largest = int(np.bincount(of_face).argmax())
    ends = lids(faces, count).cpu().numpy()
    tubes = np.flatnonzero(np.bincount(piece[ends], minlength=int(piece.max()) + 1) == 2)
    return torch.from_numpy(np.isin(of_face, tubes[tubes != largest])).to(faces.device)


def lids(faces: Integer[Tensor, "m 3"], count: int) -> Tensor:
    """Vertices that are the middle of a lid: many faces meet there."""
    return torch.bincount(faces.reshape(-1), minlength=count) >= LID_CORNERS


def section(vertices: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"], z_mm: float) -> tuple[Tensor, Tensor]:
    """The outline of a closed mesh at one height: points (k 3), and pairs of them (s 2), left before right from outside."""
    above = vertices[:, 2] > z_mm
    number = above[faces].sum(1)
    lone_above, lone_below = faces[number == 1], faces[number == 2]
    alone = torch.cat([above[lone_above], ~above[lone_below]]).to(torch.int64).argmax(1)
    crossing = torch.cat([lone_above, lone_below])
    a, b, c = (crossing.gather(1, ((alone + k) % 3)[:, None])[:, 0] for k in range(3))
    flip = torch.arange(len(crossing), device=faces.device) >= len(lone_above)
    left, right = torch.where(flip, c, b), torch.where(flip, b, c)
    edges = torch.cat([_edge(a, left, len(vertices)), _edge(a, right, len(vertices))])
    keys, at = torch.unique(edges, return_inverse=True)
    p, q = vertices[torch.div(keys, len(vertices), rounding_mode="floor")], vertices[keys % len(vertices)]
    share = ((z_mm - p[:, 2]) / (q[:, 2] - p[:, 2]))[:, None]
    return p + (q - p) * share, at.reshape(2, -1).T


def _edge(a: Tensor, b: Tensor, count: int) -> Tensor:
    return torch.minimum(a, b) * count + torch.maximum(a, b)


def hanging(
    vertices: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"], z_mm: float, *, legs: bool
) -> tuple[Tensor, Tensor]:
    """The outline at a height drawn down towards the floor, with a furrow between the legs or, without them, straight."""
    ring, pairs = section(vertices, faces, z_mm)
    n = len(ring)
    if n == 0:
        return ring, pairs.new_zeros(0, 3)
    middle = (ring.amax(0) + ring.amin(0)) / 2
    half = (ring.amax(0) - ring.amin(0)) / 2
    aside = (ring - middle) / half.clamp(min=1.0)
    rings = []
    for step in range(LEG_STEPS + 1):
        down = step * LEG_STEP_MM
        furrow = 0.6 * legs * min(down / 150.0, 1.0) * torch.exp(-((aside[:, 0] / 0.22) ** 2) / 2)
        thin = 1 - 0.12 * min(down / 400.0, 1.0)
        y = middle[1] + (ring[:, 1] - middle[1]) * (1 - furrow) * thin
        x = middle[0] + (ring[:, 0] - middle[0]) * thin
        rings.append(torch.stack([x, y, torch.full_like(x, z_mm - down)], -1))
    left, right = pairs.unbind(1)
    found = []
    for step in range(LEG_STEPS):
        p, q = left + step * n, right + step * n
        found += [torch.stack([p, p + n, q + n], -1), torch.stack([p, q + n, q], -1)]
    return torch.cat(rings), torch.cat(found)


def head(ring: Float[Tensor, "k 3"], outfit: Outfit) -> list[tuple[Tensor, Tensor, int]]:
    """Hair, ears and a knot of hair on a neck whose outline is known."""
    top, low = ring.amax(0), ring.amin(0)
    k = float(top[0] - low[0]) / 2 / NECK_HALF_MM
    middle = (top + low) / 2 + ring.new_tensor([0.0, -14.0 * k, 72.0 * k])
    found = [
        (*ball(middle + ring.new_tensor([0.0, 0.0, at]) * k, ring.new_tensor(half) * k), HAIR) for at, half in HEAD_MM
    ]
    for sign in (-1.0, 1.0):
        ear = ring.new_tensor([sign * 74.0, -4.0, -18.0]) * k
        found.append((*ball(middle + ear, ring.new_tensor([7.0, 15.0, 29.0]) * k), SKIN))
    if outfit.bun_mm >= 12:
        knot = ring.new_tensor([0.0, 88.0, 52.0]) * k
        found.append((*ball(middle + knot, ring.new_tensor([1.15, 0.9, 0.95]) * outfit.bun_mm * k), HAIR))
    return found


def rounded(
    vertices: Float[Tensor, "n 3"], faces: Integer[Tensor, "m 3"], middle_mm: float
) -> list[tuple[Tensor, Tensor, int]]:
    """Balls over both ends of each tube, and a forearm from its lower end towards the opposite collar bone."""
    found: list[tuple[Tensor, Tensor, int]] = []
    for lid in lids(faces, len(vertices)).nonzero()[:, 0]:
        fan = faces[(faces == lid).any(1)].reshape(-1)
        end, rim = vertices[lid], vertices[fan[fan != lid]]
        radius = float((rim - end).norm(dim=-1).mean())
        found.append((*ball(end, end.new_tensor([radius] * 3)), SKIN))
        others = vertices[faces.reshape(-1)]
        mine = others[(others[:, 0] - middle_mm) * (end[0] - middle_mm) > 0]
        if float(end[2]) < float(mine[:, 2].mean()):
            hand = torch.stack([middle_mm + (end[0] - middle_mm) * 0.3, end[1] + 10.0, end[2] + 100.0])
            # close enough together that their outline is a tube's
            for share in torch.linspace(0, 1, FOREARM_BALLS + 1)[1:].tolist():
                axes = end.new_tensor([radius * (1 - 0.25 * share)] * 3)
                found.append((*ball(end + (hand - end) * share, axes, 12, 24), SKIN))
    return found


def ball(
    centre: Float[Tensor, "3"], axes: Float[Tensor, "3"], rings: int = 24, around: int = 40
) -> tuple[Tensor, Tensor]:
    """An ellipsoid with its axes along the world's, faces counter-clockwise from outside."""
    polar = torch.linspace(0, math.pi, rings + 1, device=centre.device)[:, None]
    turn = torch.arange(around, device=centre.device) * (2 * math.pi / around)
    unit = torch.stack([polar.sin() * turn.cos(), polar.sin() * turn.sin(), polar.cos().expand(-1, around)], -1)
    i = torch.arange(rings, device=centre.device)[:, None] * around
    j = torch.arange(around, device=centre.device)
    a, b = i + j, i + (j + 1) % around
    c, d = a + around, b + around
    faces = torch.cat([torch.stack([a, c, d], -1).reshape(-1, 3), torch.stack([a, d, b], -1).reshape(-1, 3)])
    return centre + unit.reshape(-1, 3) * axes, faces
