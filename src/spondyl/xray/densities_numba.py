"""The material of every voxel in one compiled pass: what `attenuation` writes in torch, for float32 volumes on the CPU.

In torch the same takes a dozen passes over the volume and ten times its memory; a CT at 1 mm then costs more than all of its
radiographs.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Flags = NDArray[np.bool_]


def densities(
    hu: F32, kind: U8, rest_share: F32, bone: Flags, by_hu: Flags, metal: Flags, ramp: F32, bone_row: int, out: F32
) -> None:
    """Densities of all materials into `out` [m, n] for the voxels `hu` [n] of kinds `kind` [n]; see `attenuation._densities`.

    Args:
        rest_share: [k, m] grams per cm3 of each material where a kind attenuates like water.
        ramp: marrow HU, 1 / (bone - marrow HU), soft HU, slope from soft tissue, relative attenuation of bone, bone's
            attenuation per g/cm3, HU from which metal is solid, relative attenuation of solid metal.
        bone_row: which material is bone mineral.
    """
    # Threads of our own: numba's would be a second OpenMP beside torch's, and each spins while the other works.
    threads = torch.get_num_threads()
    edges = [hu.size * k // threads for k in range(threads + 1)]

    def part(first: int, last: int) -> None:
        own = slice(first, last)
        _densities(hu[own], kind[own], rest_share, bone, by_hu, metal, ramp, bone_row, out[:, own])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))


@njit(nogil=True, cache=True)
def _densities(
    hu: F32, kind: U8, rest_share: F32, bone: Flags, by_hu: Flags, metal: Flags, ramp: F32, bone_row: int, out: F32
) -> None:
    marrow, per_bone, soft, slope, of_pure, per_gram, saturated, solid = ramp
    zero, one = np.float32(0), np.float32(1)
    for i in range(hu.size):
        h, k = hu[i], kind[i]
        relative = max(one + h / np.float32(1000), zero)
        if metal[k] and h >= saturated:
            relative = solid
        in_marrow = max((h - marrow) * per_bone, zero)
        mineral = in_marrow if bone[k] else zero
        if by_hu[k]:
            mineral = min(in_marrow, max((h - soft) * slope, zero))
        of_bone = min(mineral * of_pure, relative)
        rest = relative - of_bone
        for m in range(out.shape[0]):
            out[m, i] = rest_share[k, m] * rest
        out[bone_row, i] += of_bone / per_gram


@njit(nogil=True, cache=True)
def kinds_present(kind: U8) -> Flags:
    """Which of the 256 kinds occur."""
    found = np.zeros(256, dtype=np.bool_)
    for k in kind:
        found[k] = True
    return found
