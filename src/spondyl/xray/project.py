"""Line integrals through a volume: the one door to the projector, and the one place that chooses its backend."""

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.geometry import View
from spondyl.images import Radiograph, Volume
from spondyl.xray import cpu, reference
from spondyl.xray.lines import lines_of

BACKENDS = ("cuda", "native", "numba", "reference")
# Beyond this many values (half a gigabyte) the copy that a march along x reads is made for one channel at a time.
SWAPPED_VALUES = 2**27


@dataclass(frozen=True)
class Backend:
    """One way to project: its name, whether it can run here, and why or why not."""

    name: str
    available: bool
    reason: str


@lru_cache(maxsize=1)
def backends() -> tuple[Backend, ...]:
    """Every backend in order of preference, with the reason for its state on this machine."""
    cuda = torch.cuda.is_available() and find_spec("triton") is not None
    native = cpu.library() is not None
    numba = find_spec("numba") is not None
    return (
        Backend("cuda", cuda, "Triton kernels" if cuda else "no CUDA device, or no triton package"),
        Backend("native", native, _native_reason() if native else "no C compiler when the package was installed"),
        Backend("numba", numba, "compiled on first use" if numba else "numba is not installed"),
        Backend("reference", True, "plain torch, any device, double backward"),
    )


def _native_reason() -> str:
    library = cpu.library()
    wide = library is not None and bool(library.spondyl_has_avx512())
    return "compiled C, AVX-512" if wide else "compiled C, portable"


def choose_backend(channels: Tensor) -> str:
    """The backend that serves these channels.

    cuda: for tensors on a CUDA device, float32. native, numba: for float32 on the CPU with planes that 32-bit offsets
    reach. reference: everything else (float64, other devices).
    """
    usable = {b.name for b in backends() if b.available}
    small = channels[0].numel() < 2**31
    if channels.dtype == torch.float32 and small:
        if channels.is_cuda and "cuda" in usable:
            return "cuda"
        if channels.device.type == "cpu":
            return next(name for name in ("native", "numba", "reference") if name in usable)
    return "reference"


def project_channels(
    channels: Float[Tensor, "m z y x"],
    world_from_voxel: Float[Tensor, "4 4"],
    view: View,
    *,
    backend: str | None = None,
) -> Float[Tensor, "*b m h w"]:
    """Line integrals of every channel along every ray, all channels in one pass.

    Args:
        channels: m quantities on one grid, for instance attenuation in 1/mm, or densities of materials.
        world_from_voxel: the grid's affine, world LPS mm; any invertible one.
        view: one view or a batch. The source must lie outside the grid; what lies behind the detector is summed too.
        backend: one of BACKENDS, or None to choose (see `choose_backend`).

    Returns:
        Unit of the channels times mm. Differentiable in `channels` and in the view; twice with backend "reference".

    Raises:
        ValueError: for a source inside the grid, an unknown backend or one that cannot run here.
    """
    name = choose_backend(channels) if backend is None else backend
    if name not in BACKENDS:
        raise ValueError(f"backend is {name!r}; wanted one of {', '.join(BACKENDS)}")
    state = next(b for b in backends() if b.name == name)
    if not state.available:
        raise ValueError(f"backend {name!r} cannot run here: {state.reason}; leave it out to let spondyl choose")
    if len(view.batch_shape) > 1:
        raise ValueError(f"view is a batch of shape {tuple(view.batch_shape)}; wanted one batch dimension at most")
    flat = [view[i] for i in range(len(view.world_from_detector))] if view.batch_shape else [view]
    swapped: dict[int, Tensor] = {}  # a march along x reads a swapped copy: made once for all views that need it
    images = [_project_one(channels, world_from_voxel, v, name, swapped) for v in flat]
    return torch.stack(images) if view.batch_shape else images[0]


def _project_one(
    channels: Tensor, world_from_voxel: Tensor, view: View, backend: str, swapped: dict[int, Tensor]
) -> Tensor:
    _check_source_outside(channels, world_from_voxel, view)
    shape = (channels.shape[1], channels.shape[2], channels.shape[3])
    moving = view.world_from_detector.requires_grad or view.source_to_detector_mm.requires_grad
    if backend == "native" and not (moving and torch.is_grad_enabled()):
        lines = cpu.native_lines(view, world_from_voxel, shape)
    else:
        precise = torch.float64 if channels.dtype == torch.float64 else torch.float32
        lines = lines_of(view, world_from_voxel, shape, precise)
    if backend == "reference":
        sums = reference.march(channels, lines)
    elif backend == "cuda":
        from spondyl.xray import cuda

        sums = cuda.march(channels, lines)
    else:
        key = min(lines.axis, 1)
        form: cpu.Form = "native" if backend == "native" else "numba"
        if key == 0 and channels.numel() > SWAPPED_VALUES and not channels.requires_grad:
            parts = [cpu.march(cpu.planes_for(channel[None], lines.axis), lines, form) for channel in channels]
            return torch.cat(parts) * lines.step_mm
        if key not in swapped:
            swapped[key] = cpu.planes_for(channels, lines.axis)
        sums = cpu.march(swapped[key], lines, form)
    return sums * lines.step_mm


def _check_source_outside(channels: Tensor, world_from_voxel: Tensor, view: View) -> None:
    if view.beam == "parallel":
        return
    with torch.no_grad():
        m = view.world_from_detector.double()
        source = m[:3, 3] - m[:3, 2] * view.source_to_detector_mm.double()
        inverse = torch.linalg.inv(world_from_voxel.to(m))
        voxel = inverse[:3, :3] @ source + inverse[:3, 3]
        shape = torch.tensor(channels.shape[:0:-1], device=m.device)
        if bool(((voxel > -0.5) & (voxel < shape - 0.5)).all()):
            raise ValueError(
                f"the source lies inside the volume (voxel {voxel.round().tolist()}); move it further away"
            )


def project(volume: Volume, view: View, *, energy_kev: float = 70.0, backend: str | None = None) -> Radiograph:
    """The ideal radiograph at one photon energy: optical depth, no scatter, no blur, no noise.

    Differentiable in `volume.hu` and in the view. `expose` in `spondyl.xray.expose` is the measured one.
    """
    from spondyl.xray.attenuation import linear_attenuation_per_mm

    mu = linear_attenuation_per_mm(volume, energy_kev)
    depth = project_channels(mu[None], volume.world_from_voxel, view, backend=backend)
    return Radiograph(depth[..., 0, :, :], view)
