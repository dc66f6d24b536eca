"""The loss of a reader: what its maps should say of the cells of one picture."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from spondyl.reading.marks import UNKNOWN, Marks
from spondyl.reading.net import UNIT_PX, Maps, cell_centres_px

PEAK = 0.28  # SD of the bump at a vertebra's middle, in half axes of its patch
CENTRE_WEIGHT = 4.0  # few cells are middles
LINE_WEIGHT = 12.0  # tilts are what is measured in the end, and small beside the other terms
NEAR = 0.25  # least weight of an offset at the rim of a patch


def reader_loss(maps: Maps, truths: Sequence[Marks], lateral: Sequence[float | None]) -> Float[Tensor, ""]:
    """Mean over pictures of five terms: middles and insides (cross-entropy), level (cross-entropy inside), points (Laplace
    likelihood inside, nearer to the middle more), and the lines between points of a pair (absolute difference).

    Args:
        lateral: for each picture 1 from the side, 0 from front or back, None where that is not said.
    """
    parts = [_one(maps, i, marks, lateral[i]) for i, marks in enumerate(truths)]
    return torch.stack(parts).mean()


def _one(maps: Maps, i: int, marks: Marks, lateral: float | None) -> Float[Tensor, ""]:
    h, w = maps.centre.shape[-2:]
    cells = cell_centres_px(h, w, maps.centre.device)
    a, b = local(cells, marks.patches)
    bump = torch.exp(-(a.square() + b.square()) / (2 * PEAK**2))
    within = (a.abs() <= 1) & (b.abs() <= 1)
    # bodies overlap a little in oblique pictures: a cell belongs to the vertebra whose middle is nearer
    far = torch.where(within, a.square() + b.square(), torch.inf)
    nearest, whose = (
        far.min(dim=0) if len(far) else (torch.full((h, w), torch.inf), torch.zeros(h, w, dtype=torch.long))
    )
    inside = torch.isfinite(nearest)
    heat = bump.amax(dim=0) if len(bump) else torch.zeros(h, w, device=cells.device)
    weight = 1 + CENTRE_WEIGHT * heat
    found = functional.binary_cross_entropy_with_logits(maps.centre[i], heat, weight=weight)
    found = 4 * found + functional.binary_cross_entropy_with_logits(maps.inside[i], inside.float())
    if not bool(inside.any()):
        return found
    which, near = whose[inside], (1 - nearest[inside] / 2).clamp_min(NEAR)
    near = near / near.sum()
    truth = marks.levels.to(which.device)[which]
    level = functional.cross_entropy(maps.level[i][:, inside].mT, truth, ignore_index=UNKNOWN, reduction="none")
    total = found + 0.5 * (level * near).sum()
    if lateral is not None:
        sees = maps.lateral[i][inside]
        side = functional.binary_cross_entropy_with_logits(sees, torch.full_like(sees, lateral), reduction="none")
        total = total + 0.1 * (side * near).sum()
    wanted = (marks.points.to(cells)[which] - cells[:, inside].mT[:, None]) / UNIT_PX  # n k 2
    seen = torch.isfinite(wanted)
    got, log_b = (x[i][..., inside].permute(2, 0, 1) for x in (maps.offset_px / UNIT_PX, maps.log_spread))
    error = (got - wanted.nan_to_num()).abs() * seen
    points = ((error * torch.exp(-log_b) + log_b) * seen).mean((1, 2))
    total = total + (points * near).sum() + 3 * (error.mean((1, 2)) * near).sum()
    paired = got.shape[1] // 2 * 2
    off = (got - wanted.nan_to_num())[:, :paired]
    line = off[:, 1::2] - off[:, ::2]
    whole = seen[:, 1:paired:2] & seen[:, :paired:2]
    total = total + LINE_WEIGHT * ((line.abs() * whole).mean((1, 2)) * near).sum()
    return total


def local(
    cells: Float[Tensor, "2 h w"], patches: Float[Tensor, "n 3 2"]
) -> tuple[Float[Tensor, "n h w"], Float[Tensor, "n h w"]]:
    """Place of every cell in the axes of every patch: along the endplates and along the spine, 1 at the rim."""
    patches = patches.to(cells)
    (cv, cu), (av, au), (dv, du) = (patches[:, k].mT[:, :, None, None] for k in range(3))
    v, u = cells[0] - cv, cells[1] - cu
    det = av * du - au * dv
    det = torch.where(det.abs() < 1e-3, torch.full_like(det, 1e-3), det)
    return (v * du - u * dv) / det, (av * u - au * v) / det
