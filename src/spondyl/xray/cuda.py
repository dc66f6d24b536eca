"""The fast CUDA projector: Joseph's sum in Triton, one program a tile of pixels, with its two derivatives.

The same sums as `reference.march`. The volume's gradient is spread with atomic additions, so its last bits may differ from
run to run. The kernels are tested on the CPU in Triton's interpreter; no figure on a GPU stands behind them yet.
"""

from typing import cast

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import FunctionCtx

from spondyl.xray.lines import Lines

TILE = 128


@triton.jit
def _place(lines, at, on, n, t):  # type: ignore[no-untyped-def]
    """Lower neighbour and fractions of every line of a tile in the plane at t."""
    x = tl.load(lines + at, mask=on, other=0.0) + t * tl.load(lines + n + at, mask=on, other=0.0)
    y = tl.load(lines + 2 * n + at, mask=on, other=0.0) + t * tl.load(lines + 3 * n + at, mask=on, other=0.0)
    xf, yf = tl.floor(x), tl.floor(y)
    return xf.to(tl.int32), yf.to(tl.int32), x - xf, y - yf


@triton.jit
def _corner(plane, i, j, on, na, nb, sa, sb):  # type: ignore[no-untyped-def]
    """Voxel (i, j) of a plane, zero outside the grid; and where it lies."""
    inside = on & (i >= 0) & (i < na) & (j >= 0) & (j < nb)
    offset = j.to(tl.int64) * sb + i.to(tl.int64) * sa
    return tl.load(plane + offset, mask=inside, other=0.0), offset, inside


@triton.jit
def _march_kernel(volume, lines, out, n, k_mid, nm, nb, na, sm, sb, sa, sc, tile: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * tile + tl.arange(0, tile)
    on = at < n
    channel = tl.program_id(1).to(tl.int64)
    plane = volume + channel * sc
    total = tl.zeros((tile,), dtype=tl.float32)
    for k in range(nm):
        i, j, fx, fy = _place(lines, at, on, n, k - k_mid)
        v00, _a, _b = _corner(plane, i, j, on, na, nb, sa, sb)
        v01, _a, _b = _corner(plane, i + 1, j, on, na, nb, sa, sb)
        v10, _a, _b = _corner(plane, i, j + 1, on, na, nb, sa, sb)
        v11, _a, _b = _corner(plane, i + 1, j + 1, on, na, nb, sa, sb)
        top, low = v00 + fx * (v01 - v00), v10 + fx * (v11 - v10)
        total += top + fy * (low - top)
        plane += sm
    tl.store(out + channel * n + at, total, mask=on)


@triton.jit
def _slopes_kernel(volume, lines, weight, out, n, k_mid, nm, nb, na, sm, sb, sa, sc, channels, tile: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * tile + tl.arange(0, tile)
    on = at < n
    gx = tl.zeros((tile,), dtype=tl.float32)
    gxt, gy, gyt = gx, gx, gx
    for c in range(channels):
        w = tl.load(weight + c * n + at, mask=on, other=0.0)
        plane = volume + c * sc
        for k in range(nm):
            t = k - k_mid
            i, j, fx, fy = _place(lines, at, on, n, t)
            v00, _a, _b = _corner(plane, i, j, on, na, nb, sa, sb)
            v01, _a, _b = _corner(plane, i + 1, j, on, na, nb, sa, sb)
            v10, _a, _b = _corner(plane, i, j + 1, on, na, nb, sa, sb)
            v11, _a, _b = _corner(plane, i + 1, j + 1, on, na, nb, sa, sb)
            sx = w * ((v01 - v00) + fy * ((v11 - v10) - (v01 - v00)))
            sy = w * ((v10 - v00) + fx * ((v11 - v01) - (v10 - v00)))
            gx += sx
            gxt += t * sx
            gy += sy
            gyt += t * sy
            plane += sm
    tl.store(out + at, gx, mask=on)
    tl.store(out + n + at, gxt, mask=on)
    tl.store(out + 2 * n + at, gy, mask=on)
    tl.store(out + 3 * n + at, gyt, mask=on)


@triton.jit
def _spread_kernel(out, lines, weight, n, k_mid, nm, nb, na, sm, sb, sa, sc, tile: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0) * tile + tl.arange(0, tile)
    on = at < n
    channel = tl.program_id(1).to(tl.int64)
    plane = out + channel * sc
    w = tl.load(weight + channel * n + at, mask=on, other=0.0)
    for k in range(nm):
        i, j, fx, fy = _place(lines, at, on, n, k - k_mid)
        _v, o00, m00 = _corner(plane, i, j, on, na, nb, sa, sb)
        _v, o01, m01 = _corner(plane, i + 1, j, on, na, nb, sa, sb)
        _v, o10, m10 = _corner(plane, i, j + 1, on, na, nb, sa, sb)
        _v, o11, m11 = _corner(plane, i + 1, j + 1, on, na, nb, sa, sb)
        tl.atomic_add(plane + o00, w * (1 - fx) * (1 - fy), mask=m00)
        tl.atomic_add(plane + o01, w * fx * (1 - fy), mask=m01)
        tl.atomic_add(plane + o10, w * (1 - fx) * fy, mask=m10)
        tl.atomic_add(plane + o11, w * fx * fy, mask=m11)
        plane += sm


def _layout(shape: torch.Size, axis: int) -> tuple[int, int, int, int, int, int, int]:
    """nm, nb, na and the strides sm, sb, sa, sc of a contiguous [m z y x] volume marched along `axis`."""
    _, nz, ny, nx = shape
    size, stride = (nx, ny, nz), (1, nx, nx * ny)
    a, b = ((1, 2), (0, 2), (0, 1))[axis]
    return size[axis], size[b], size[a], stride[axis], stride[b], stride[a], nx * ny * nz


class _March(torch.autograd.Function):
    """Sums along lines, as in `cpu._March`; first derivatives only."""

    @staticmethod
    def forward(ctx: FunctionCtx, channels: Tensor, coefficients: Tensor, axis: int, k_mid: float) -> Tensor:
        ctx.save_for_backward(channels, coefficients)
        ctx.setting = (axis, k_mid)  # type: ignore[attr-defined]
        n = coefficients[0].numel()
        out = channels.new_empty((channels.shape[0], *coefficients.shape[1:]))
        grid = (triton.cdiv(n, TILE), channels.shape[0])
        _march_kernel[grid](channels, coefficients, out, n, k_mid, *_layout(channels.shape, axis), tile=TILE)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: FunctionCtx, weight: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        channels, coefficients = ctx.saved_tensors  # type: ignore[attr-defined]
        axis, k_mid = ctx.setting  # type: ignore[attr-defined]
        weight = weight.contiguous()
        n, layout = coefficients[0].numel(), _layout(channels.shape, axis)
        by_volume = by_lines = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            by_volume = torch.zeros_like(channels)
            grid = (triton.cdiv(n, TILE), channels.shape[0])
            _spread_kernel[grid](by_volume, coefficients, weight, n, k_mid, *layout, tile=TILE)
        if ctx.needs_input_grad[1]:  # type: ignore[attr-defined]
            by_lines = torch.empty_like(coefficients)
            count = channels.shape[0]
            _slopes_kernel[(triton.cdiv(n, TILE),)](
                channels, coefficients, weight, by_lines, n, k_mid, *layout, count, tile=TILE
            )
        return by_volume, by_lines, None, None


def march(channels: Float[Tensor, "m z y x"], lines: Lines) -> Float[Tensor, "m h w"]:
    """`reference.march` in float32 on a CUDA device."""
    arguments = (channels.contiguous(), lines.coefficients.contiguous(), lines.axis, lines.k_mid)
    return cast(Tensor, _March.apply(*arguments))  # type: ignore[no-untyped-call]
