"""The march in numba: the same sums as _march.c for machines without a C compiler. Plain loops, one line a ray."""

import os

import numba
import numpy as np
import torch
from numba import njit, prange
from numpy.typing import NDArray
from torch import Tensor

Strides = tuple[int, int, int, int, int, int]  # sm, sb, nm, nb, na, channel stride
F32 = NDArray[np.float32]


def march(planes: Tensor, strides: Strides, coefficients: Tensor, k_mid: float, out: Tensor) -> None:
    """Sums of bilinear samples into `out` [m, h, w]."""
    _threads()
    _march(_flat(planes), strides, _pixels(coefficients), np.float32(k_mid), _flat(out).reshape(planes.shape[0], -1))


def slopes(planes: Tensor, strides: Strides, coefficients: Tensor, k_mid: float, weight: Tensor, out: Tensor) -> None:
    """Weighted sums of in-plane slopes and of their moments into `out` [4, h, w]."""
    _threads()
    weights = _flat(weight).reshape(planes.shape[0], -1)
    _slopes(_flat(planes), strides, _pixels(coefficients), np.float32(k_mid), weights, _pixels(out))


def spread(out: Tensor, strides: Strides, coefficients: Tensor, k_mid: float, weight: Tensor) -> None:
    """The adjoint of `march`: weights spread into `out`, which starts at zero. Threads own planes."""
    _threads()
    weights = _flat(weight).reshape(out.shape[0], -1)
    _spread(_flat(out), strides, _pixels(coefficients), np.float32(k_mid), weights)


def _threads() -> None:
    numba.set_num_threads(max(1, min(torch.get_num_threads(), os.cpu_count() or 1)))


def _flat(t: Tensor) -> F32:
    flat: F32 = t.detach().numpy().reshape(-1)
    return flat


def _pixels(t: Tensor) -> F32:
    return _flat(t).reshape(4, -1)


@njit(fastmath=True, inline="always")
def _corner(v: F32, at: int, i: int, j: int, na: int, nb: int) -> np.float32:
    return v[at] if 0 <= i < na and 0 <= j < nb else np.float32(0)


@njit(parallel=True, fastmath=True, cache=True)
def _march(v: F32, strides: Strides, lines: F32, k_mid: np.float32, out: F32) -> None:
    sm, sb, nm, nb, na, channel_stride = strides
    for pixel in prange(lines.shape[1]):
        x0, dx, y0, dy = lines[0, pixel], lines[1, pixel], lines[2, pixel], lines[3, pixel]
        for c in range(out.shape[0]):
            total = np.float32(0)
            for k in range(nm):
                t = np.float32(k) - k_mid
                x, y = x0 + t * dx, y0 + t * dy
                if x <= -1 or x >= na or y <= -1 or y >= nb:
                    continue
                i, j = int(np.floor(x)), int(np.floor(y))
                fx, fy = x - np.float32(i), y - np.float32(j)
                at = c * channel_stride + k * sm + j * sb + i
                if 0 <= i < na - 1 and 0 <= j < nb - 1:
                    top = v[at] + fx * (v[at + 1] - v[at])
                    low = v[at + sb] + fx * (v[at + sb + 1] - v[at + sb])
                else:
                    a, b = _corner(v, at, i, j, na, nb), _corner(v, at + 1, i + 1, j, na, nb)
                    d, e = _corner(v, at + sb, i, j + 1, na, nb), _corner(v, at + sb + 1, i + 1, j + 1, na, nb)
                    top, low = a + fx * (b - a), d + fx * (e - d)
                total += top + fy * (low - top)
            out[c, pixel] = total


@njit(parallel=True, fastmath=True, cache=True)
def _slopes(v: F32, strides: Strides, lines: F32, k_mid: np.float32, weight: F32, out: F32) -> None:
    sm, sb, nm, nb, na, channel_stride = strides
    for pixel in prange(lines.shape[1]):
        x0, dx, y0, dy = lines[0, pixel], lines[1, pixel], lines[2, pixel], lines[3, pixel]
        g0, g1, g2, g3 = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for c in range(weight.shape[0]):
            w = weight[c, pixel]
            for k in range(nm):
                t = np.float32(k) - k_mid
                x, y = x0 + t * dx, y0 + t * dy
                if x <= -1 or x >= na or y <= -1 or y >= nb:
                    continue
                i, j = int(np.floor(x)), int(np.floor(y))
                fx, fy = x - np.float32(i), y - np.float32(j)
                at = c * channel_stride + k * sm + j * sb + i
                a, b = _corner(v, at, i, j, na, nb), _corner(v, at + 1, i + 1, j, na, nb)
                d, e = _corner(v, at + sb, i, j + 1, na, nb), _corner(v, at + sb + 1, i + 1, j + 1, na, nb)
                sx = w * ((b - a) + fy * ((e - d) - (b - a)))
                sy = w * ((d - a) + fx * ((e - b) - (d - a)))
                g0 += sx
                g1 += t * sx
                g2 += sy
                g3 += t * sy
        out[0, pixel], out[1, pixel], out[2, pixel], out[3, pixel] = g0, g1, g2, g3


@njit(fastmath=True, inline="always")
def _add(v: F32, at: int, i: int, j: int, na: int, nb: int, amount: np.float32) -> None:
    if 0 <= i < na and 0 <= j < nb:
        v[at] += amount


@njit(parallel=True, fastmath=True, cache=True)
def _spread(v: F32, strides: Strides, lines: F32, k_mid: np.float32, weight: F32) -> None:
    sm, sb, nm, nb, na, channel_stride = strides
    planes_a_job = 8
    slabs = (nm + planes_a_job - 1) // planes_a_job
    for job in prange(slabs * weight.shape[0]):
        c, first = job // slabs, job % slabs * planes_a_job
        for pixel in range(lines.shape[1]):
            x0, dx, y0, dy = lines[0, pixel], lines[1, pixel], lines[2, pixel], lines[3, pixel]
            w = weight[c, pixel]
            for k in range(first, min(first + planes_a_job, nm)):
                t = np.float32(k) - k_mid
                x, y = x0 + t * dx, y0 + t * dy
                if x <= -1 or x >= na or y <= -1 or y >= nb:
                    continue
                i, j = int(np.floor(x)), int(np.floor(y))
                fx, fy = x - np.float32(i), y - np.float32(j)
                low, at = w * fy, c * channel_stride + k * sm + j * sb + i
                top = w - low
                _add(v, at, i, j, na, nb, top - top * fx)
                _add(v, at + 1, i + 1, j, na, nb, top * fx)
                _add(v, at + sb, i, j + 1, na, nb, low - low * fx)
                _add(v, at + sb + 1, i + 1, j + 1, na, nb, low * fx)
