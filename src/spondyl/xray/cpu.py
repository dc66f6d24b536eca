"""The fast CPU projector: Joseph's sum in compiled code, with its adjoint and its derivative by the lines.

Two compiled forms of one sum, chosen by `project.py`: "native" is C, built when the package is installed where a compiler
was found (AVX-512 where the processor has it); "numba" compiles on first use and needs no compiler. Threads: as many as
`torch.get_num_threads()`. Neither changes the answer of `reference.march` beyond float32 rounding.
"""

import ctypes
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View
from spondyl.xray.lines import Lines, aim

Form = Literal["native", "numba"]


class Grid(ctypes.Structure):
    """march_t of _march.c: how the volume's memory is seen as planes, and where lines, sums and weights lie."""

    _fields_ = (
        ("volume", ctypes.c_void_p),
        ("channel_stride", ctypes.c_int64),
        ("sm", ctypes.c_int64),
        ("sb", ctypes.c_int64),
        ("channels", ctypes.c_int32),
        ("nm", ctypes.c_int32),
        ("nb", ctypes.c_int32),
        ("na", ctypes.c_int32),
        ("lines", ctypes.c_void_p),
        ("h", ctypes.c_int32),
        ("w", ctypes.c_int32),
        ("k_mid", ctypes.c_float),
        ("out", ctypes.c_void_p),
        ("weight", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("next", ctypes.POINTER(ctypes.c_int32)),
    )


class Swap(ctypes.Structure):
    """swap_t of _march.c."""

    _fields_ = (
        ("inward", ctypes.c_void_p),
        ("outward", ctypes.c_void_p),
        ("slices", ctypes.c_int32),
        ("rows", ctypes.c_int32),
        ("columns", ctypes.c_int32),
        ("next", ctypes.POINTER(ctypes.c_int32)),
    )


class Aim(ctypes.Structure):
    """aim_t of _march.c."""

    _fields_ = (
        ("turn", ctypes.c_double * 9),
        ("origin", ctypes.c_double * 3),
        ("pitch_u", ctypes.c_double),
        ("pitch_v", ctypes.c_double),
        ("sdd", ctypes.c_double),
        ("k_mid", ctypes.c_double),
        ("h", ctypes.c_int32),
        ("w", ctypes.c_int32),
        ("fan_u", ctypes.c_int32),
        ("fan_v", ctypes.c_int32),
        ("lines", ctypes.c_void_p),
        ("step", ctypes.c_void_p),
        ("next", ctypes.POINTER(ctypes.c_int32)),
    )


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """The compiled library beside this file, or None where none was built."""
    suffix = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
    path = Path(__file__).with_name(f"_march{suffix}")
    try:
        return ctypes.CDLL(str(path)) if path.exists() else None
    except OSError:
        return None  # built for another machine; `spondyl doctor` says which path serves


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="spondyl-march")


def _run(name: str, call: Grid | Swap | Aim) -> None:
    """Run one C function in every thread; they share a job counter. ctypes releases the interpreter lock meanwhile."""
    counter = ctypes.c_int32(0)
    call.next = ctypes.pointer(counter)
    function = cast(Callable[[object], None], getattr(library(), name))
    threads = torch.get_num_threads()
    others = [_pool(threads).submit(function, ctypes.byref(call)) for _ in range(threads - 1)]
    function(ctypes.byref(call))
    for other in others:
        other.result()


def _large(shape: torch.Size) -> Tensor:
    """An uninitialised float32 tensor on large pages where the system has them."""
    out = torch.empty(shape, dtype=torch.float32)
    if (native := library()) is not None:
        native.spondyl_large_pages(ctypes.c_void_p(out.data_ptr()), ctypes.c_int64(out.numel() * 4))
    return out


def native_lines(view: View, world_from_voxel: Float[Tensor, "4 4"], shape_voxels: tuple[int, int, int]) -> Lines:
    """`lines_of` in C, without derivatives: a dozen small torch calls a view cost as much as a third of the march."""
    axis, turn, origin, k_mid = aim(view, world_from_voxel, shape_voxels)
    (h, w), (pitch_v, pitch_u) = view.shape_px, view.pixel_spacing_mm
    coefficients, step_mm = torch.empty((4, h, w)), torch.empty((h, w))
    call = Aim(
        (ctypes.c_double * 9)(*turn.flatten().tolist()),
        (ctypes.c_double * 3)(*origin.tolist()),
        pitch_u,
        pitch_v,
        float(view.source_to_detector_mm),
        k_mid,
        h,
        w,
        int(view.beam != "parallel"),
        int(view.beam == "cone"),
        coefficients.data_ptr(),
        step_mm.data_ptr(),
    )
    _run("spondyl_aim", call)
    return Lines(axis, coefficients, step_mm, k_mid)


def swap_inner(channels: Float[Tensor, "m z y x"]) -> Float[Tensor, "m z x y"]:
    """A contiguous copy with y innermost, so that a march along x reads runs of voxels."""
    if library() is None:
        return channels.mT.contiguous()
    m, nz, ny, nx = channels.shape
    out = _large(torch.Size((m, nz, nx, ny)))
    _run("spondyl_swap", Swap(channels.data_ptr(), out.data_ptr(), m * nz, ny, nx))
    return out


def _grid(planes: Tensor, axis: int, coefficients: Tensor, k_mid: float) -> Grid:
    """Strides of a contiguous [m z y x] (axis 1, 2) or [m z x y] (axis 0) volume, marched along `axis`."""
    m, n0, n1, n2 = planes.shape
    h, w = coefficients.shape[1:]
    nm, nb, sm, sb = (n0, n1, n1 * n2, n2) if axis == 2 else (n1, n0, n2, n1 * n2)
    grid = Grid(planes.data_ptr(), n0 * n1 * n2, sm, sb, m, nm, nb, n2, coefficients.data_ptr(), h, w, k_mid)
    return grid


def _march(form: Form, planes: Tensor, axis: int, coefficients: Tensor, k_mid: float) -> Tensor:
    out = planes.new_empty((planes.shape[0], *coefficients.shape[1:]))
    grid = _grid(planes, axis, coefficients, k_mid)
    grid.out = out.data_ptr()
    if form == "native":
        _run("spondyl_march", grid)
    else:
        from spondyl.xray import cpu_numba

        cpu_numba.march(planes, _strides(grid), coefficients, k_mid, out)
    return out


def _slopes(form: Form, planes: Tensor, axis: int, coefficients: Tensor, k_mid: float, weight: Tensor) -> Tensor:
    out = torch.empty_like(coefficients)
    grid = _grid(planes, axis, coefficients, k_mid)
    grid.out, grid.weight = out.data_ptr(), weight.data_ptr()
    if form == "native":
        _run("spondyl_slopes", grid)
    else:
        from spondyl.xray import cpu_numba

        cpu_numba.slopes(planes, _strides(grid), coefficients, k_mid, weight, out)
    return out


def _spread(form: Form, shape: torch.Size, axis: int, coefficients: Tensor, k_mid: float, weight: Tensor) -> Tensor:
    out = _large(shape) if form == "native" else torch.zeros(shape)
    grid = _grid(out, axis, coefficients, k_mid)
    grid.spread, grid.weight = out.data_ptr(), weight.data_ptr()
    if form == "native":
        _run("spondyl_spread", grid)
    else:
        from spondyl.xray import cpu_numba

        cpu_numba.spread(out, _strides(grid), coefficients, k_mid, weight)
    return out


def _strides(grid: Grid) -> tuple[int, int, int, int, int, int]:
    return (grid.sm, grid.sb, grid.nm, grid.nb, grid.na, grid.channel_stride)


class _March(torch.autograd.Function):
    """Sums along lines: linear in the planes, differentiable in the lines' coefficients. First derivatives only."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        planes: Tensor,
        coefficients: Tensor,
        axis: int,
        k_mid: float,
        form: Form,
    ) -> Tensor:
        ctx.save_for_backward(planes, coefficients)
        ctx.setting = (axis, k_mid, form)  # type: ignore[attr-defined]
        return _march(form, planes, axis, coefficients, k_mid)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: torch.autograd.function.FunctionCtx, weight: Tensor
    ) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        planes, coefficients = ctx.saved_tensors  # type: ignore[attr-defined]
        axis, k_mid, form = ctx.setting  # type: ignore[attr-defined]
        weight = weight.contiguous()
        by_planes = by_lines = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            by_planes = _spread(form, planes.shape, axis, coefficients, k_mid, weight)
        if ctx.needs_input_grad[1]:  # type: ignore[attr-defined]
            by_lines = _slopes(form, planes, axis, coefficients, k_mid, weight)
        return by_planes, by_lines, None, None, None


class _SwapInner(torch.autograd.Function):
    """`swap_inner` with its transpose as derivative."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, channels: Tensor) -> Tensor:
        return swap_inner(channels)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: torch.autograd.function.FunctionCtx, weight: Tensor) -> Tensor:
        return swap_inner(weight.contiguous())


def planes_for(channels: Float[Tensor, "m z y x"], axis: int) -> Float[Tensor, "m p q r"]:
    """The volume in the memory order that a march along `axis` wants: itself, or a swapped copy for axis 0."""
    channels = channels.contiguous()
    return cast(Tensor, _SwapInner.apply(channels)) if axis == 0 else channels  # type: ignore[no-untyped-call]


def march(planes: Float[Tensor, "m p q r"], lines: Lines, form: Form) -> Float[Tensor, "m h w"]:
    """`reference.march` on `planes_for(channels, lines.axis)`, float32 on the CPU."""
    coefficients = lines.coefficients
    # detector rows should run along the innermost axis: a rolled detector is marched column by column
    x_mid = coefficients[0].detach()
    along_u = (x_mid[0, -1] - x_mid[0, 0]).abs() / max(1, x_mid.shape[1] - 1)
    along_v = (x_mid[-1, 0] - x_mid[0, 0]).abs() / max(1, x_mid.shape[0] - 1)
    rolled = bool(along_v > along_u)
    used = coefficients.mT.contiguous() if rolled else coefficients.contiguous()
    out = cast(Tensor, _March.apply(planes, used, lines.axis, lines.k_mid, form))  # type: ignore[no-untyped-call]
    return out.mT if rolled else out
