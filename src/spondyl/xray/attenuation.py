"""From Hounsfield units to X-ray attenuation: which material a voxel holds, how much of it, and what it stops at an energy.

A Hounsfield unit is attenuation over water's, averaged over the spectrum of the scanner: 120 kVp behind 7 mm Al and 20 cm
of water, energy-weighted, mean 77 keV. A radiograph has another, softer spectrum, in which bone stops more, fat less. So a
voxel is first written as grams per cm3 of a few basis materials whose scan average is its HU; what they stop at any other
energy then follows from tables. Three suffice: water, adipose and cortical bone mixed with non-negative weights give every
soft tissue and bone of ICRU Report 44 within 0.1 % between 25 and 120 keV (yellow marrow 2 %). The scan average of pure
cortical bone is 1665 HU, not the 1400 HU of one energy at 77 keV; 67.5 keV is the single energy that comes nearest.

HU here is 1000 (mu / mu_water - 1): -1000 stops nothing, so the box of air about a patient has no edge.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from spondyl.images import BONE_LABELS, STRUCTURE_LABELS, Volume
from spondyl.xray.table import read_table

WATER, ADIPOSE, BONE, METAL = "water", "adipose", "cortical bone", "titanium"
ENERGIES_KEV = (10.0, 150.0)

# Labelled structure -> tissue of tables/tissues.csv (or a basis material). Others, and unlabelled voxels, go by HU alone.
LABEL_TISSUE: dict[int, str] = {
    **dict.fromkeys(BONE_LABELS, "red marrow"),
    STRUCTURE_LABELS["lung"]: "lung",
    STRUCTURE_LABELS["heart"]: "blood",
    STRUCTURE_LABELS["liver"]: "liver",
    STRUCTURE_LABELS["gas"]: WATER,
    STRUCTURE_LABELS["muscle"]: "muscle",
    STRUCTURE_LABELS["organ"]: "muscle",
    STRUCTURE_LABELS["fat"]: ADIPOSE,
    STRUCTURE_LABELS["skin"]: "skin",
    STRUCTURE_LABELS["cartilage"]: "cartilage",
    STRUCTURE_LABELS["disc"]: "cartilage",
    STRUCTURE_LABELS["metal"]: METAL,
}

# Without a label, soft tissue passes into bone mineral between these HU (engineering choice: muscle, organs and discs
# lie below, cancellous bone of adolescents, 109-357 HU in Nagata 2024, above or on the ramp).
SOFT_TO_BONE_HU = (70.0, 150.0)
# 12-bit CT saturates at 3071 HU: a metal voxel there is solid titanium, whatever its true density would read.
SATURATED_HU = 3000.0

# Small enough for the processor's cache: 4 times faster than whole volumes, and no whole-body intermediates.
VOXELS_AT_ONCE = 1 << 20


@dataclass(frozen=True, eq=False)
class Materials:
    """How much of each basis material every voxel holds, on the grid of the volume it came from.

    Args:
        density_g_cm3: grams of each material per cm3 of voxel, never negative.
        names: the materials, rows of tables/materials.csv.
    """

    density_g_cm3: Float[Tensor, "m z y x"]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) != self.density_g_cm3.shape[0] or not self.names:
            raise ValueError(f"names are {self.names} for {self.density_g_cm3.shape[0]} channels; wanted one a channel")
        for name in self.names:
            read_table("materials").row(name)

    def to(self, device: torch.device | str) -> "Materials":
        """The same densities on another device."""
        return replace(self, density_g_cm3=self.density_g_cm3.to(device))


def mass_attenuation_cm2_g(name: str, energies_kev: Float[Tensor, "*e"]) -> Float[Tensor, "*e"]:
    """Mass attenuation coefficient mu/rho of a material at some energies, cm2/g, coherent scattering included.

    Log-log interpolation of NIST data (XCOM; compositions of ICRU 44). A K-edge stands in the table twice, so nothing is
    interpolated across it; at the edge itself the upper side counts.

    Raises:
        ValueError: for an unknown material, or an energy outside 10-150 keV.
    """
    low, high = ENERGIES_KEV
    if energies_kev.numel() and not bool(((energies_kev >= low) & (energies_kev <= high)).all()):
        raise ValueError(
            f"energies_kev run from {float(energies_kev.min()):g} to {float(energies_kev.max()):g}; the tables hold "
            f"{low:g} to {high:g} keV"
        )
    table = read_table("mass_attenuation")
    x = table.column("energy_kev").log().to(energies_kev.device)
    y = table.column(name).log().to(energies_kev.device)
    at = energies_kev.double().log()
    right = torch.searchsorted(x, at.contiguous(), right=True).clamp(1, len(x) - 1)
    share = (at - x[right - 1]) / (x[right] - x[right - 1])
    return torch.exp(torch.lerp(y[right - 1], y[right], share)).to(
        torch.promote_types(energies_kev.dtype, torch.float32)
    )


def scan_hu(materials: Materials) -> Float[Tensor, "z y x"]:
    """The Hounsfield units that a 120 kVp scan of these materials gives; the inverse of `materials`."""
    weights = materials.density_g_cm3.new_tensor([_relative(name) for name in materials.names])
    return torch.einsum("m,mzyx->zyx", weights, materials.density_g_cm3) * 1000 - 1000


def tissue_hu(name: str) -> float:
    """The Hounsfield units of a pure material or tissue at its own density, as a 120 kVp scan shows it."""
    table = read_table("materials")
    return 1000 * (float(table.row(name)[table.columns.index("density_g_cm3")]) * _relative(name) - 1)


def materials(volume: Volume) -> Materials:
    """The basis materials of a CT, voxel by voxel, such that a scan of them gives back its HU.

    Without a label: below 70 HU water of reduced or raised density (fat and lung included: at 90 kVp that overrates fat
    by 2 %, lung by nothing); above, cancellous bone of HU h is a volume fraction f = (h - 9) / (1665 - 9) of cortical
    mineral, the rest marrow counted as water; from 70 to 150 HU f grows from 0, so that muscle carries no mineral.
    There is no threshold at 350 HU: cancellous bone of an adolescent (227 HU) is 13 % mineral here.
    With a label: bone is red marrow with that same mineral fraction; fat, lung, muscle, liver, blood, skin, cartilage and
    disc are their own ICRU mixtures scaled to the voxel's HU; metal is titanium (solid where the HU scale is saturated).
    The mineral rule is within 1 % of ICRU's spongiosa between 50 and 110 keV; it stops 2 % more than ICRU's compact bone
    (1307 HU) at 60 keV, 5 % more at 50.

    Values below -1000 HU (padding) are air. Channels without content are left out; water always stays. Differentiable in HU.

    Raises:
        ValueError: for HU that are not finite.
    """
    names = _channels(volume)
    out = volume.hu.new_empty((len(names), *volume.hu.shape))
    if _compiled(volume):
        _fill(volume, names, out)
    else:
        for first, last, slab in _slabs(volume, names):
            out[:, first:last] = slab
    used = [i for i, name in enumerate(names) if name == WATER or bool(out[i].detach().any())]
    density = out if len(used) == len(names) else out[used]
    return Materials(density, tuple(names[i] for i in used))


def linear_attenuation_per_mm(volume: Volume, energy_kev: float) -> Float[Tensor, "z y x"]:
    """Linear attenuation coefficient of every voxel at one photon energy, 1/mm.

    HU at the scan's spectrum become densities (see `materials`), densities become attenuation at `energy_kev`. Exactly
    water's at 0 HU, zero at and below -1000 HU, and never falling with HU within one label. Differentiable in HU.

    Raises:
        ValueError: for an energy outside 10-150 keV, or HU that are not finite.
    """
    names = _channels(volume)
    energy = torch.tensor([energy_kev], dtype=torch.float64)
    per_mm = torch.cat([mass_attenuation_cm2_g(name, energy) for name in names]) / 10
    out = torch.empty_like(volume.hu)
    for first, last, slab in _slabs(volume, names):
        out[first:last] = torch.einsum("m,mzyx->zyx", per_mm.to(slab), slab)
    return out


def _channels(volume: Volume) -> tuple[str, ...]:
    """The basis materials that this volume can need, before anything is computed."""
    if not bool(
        torch.isfinite(volume.hu.detach().sum(dtype=torch.float64))
    ):  # one pass, nothing as large as the volume
        raise ValueError("hu holds NaN or infinite values; fill padding with -1000 first")
    tissues = {LABEL_TISSUE[label] for label in _present(volume) if label in LABEL_TISSUE}
    adipose = (ADIPOSE,) if tissues - {WATER, METAL} else ()
    metal = (METAL,) if METAL in tissues else ()
    return (WATER, *adipose, BONE, *metal)


def _slabs(volume: Volume, names: tuple[str, ...]) -> Iterator[tuple[int, int, Float[Tensor, "m z y x"]]]:
    """Densities of a few planes at a time; of all at once under autograd, which would copy the result for each slab."""
    planes = len(volume.hu) if volume.hu.requires_grad else max(1, VOXELS_AT_ONCE // volume.hu[0].numel())
    for first in range(0, volume.hu.shape[0], planes):
        last = min(first + planes, volume.hu.shape[0])
        labels = None if volume.labels is None else volume.labels[first:last]
        yield first, last, _densities(volume.hu[first:last], labels, names)


def _densities(
    hu: Float[Tensor, "z y x"], labels: Integer[Tensor, "z y x"] | None, names: tuple[str, ...]
) -> Float[Tensor, "m z y x"]:
    """Mineral first, then the tissue in which it lies takes what is left of the voxel's attenuation."""
    kinds = _kinds(names)
    index = torch.zeros(1, dtype=torch.long, device=hu.device) if labels is None else _kind_index(labels)
    relative = (1 + hu / 1000).clamp(min=0)
    if METAL in names:
        solid = 1 + tissue_hu(METAL) / 1000
        relative = torch.where(kinds.metal.to(hu.device)[index] & (hu >= SATURATED_HU), solid, relative)

    marrow_hu, bone_hu = tissue_hu("red marrow"), tissue_hu(BONE)
    soft, bone = SOFT_TO_BONE_HU
    in_marrow = ((hu - marrow_hu) / (bone_hu - marrow_hu)).clamp(min=0)
    from_soft = ((hu - soft) * ((bone - marrow_hu) / (bone_hu - marrow_hu) / (bone - soft))).clamp(min=0)
    by_hu = torch.minimum(in_marrow, from_soft)
    mineral = torch.where(kinds.by_hu.to(hu.device)[index], by_hu, in_marrow * kinds.bone.to(hu)[index])
    of_bone = torch.minimum(mineral * (1 + bone_hu / 1000), relative)  # above 1665 HU: bone, only denser

    rest = relative - of_bone
    share = kinds.g_cm3_per_relative.to(hu)
    density = [share[:, m][index] * rest for m in range(len(names))]
    at = names.index(BONE)
    density[at] = density[at] + of_bone / _relative(BONE)
    return torch.stack(density)


@dataclass(frozen=True, eq=False)
class _Kinds:
    """What each label value means, as columns to be looked up by voxel; row 0 is "by HU alone"."""

    g_cm3_per_relative: Float[Tensor, "k m"]
    bone: Bool[Tensor, "k"]
    by_hu: Bool[Tensor, "k"]
    metal: Bool[Tensor, "k"]


@cache
def _kinds(names: tuple[str, ...]) -> _Kinds:
    tissues = [LABEL_TISSUE.get(label) for label in range(max(LABEL_TISSUE) + 1)]
    shares = [[_grams_per_relative(tissue or WATER, name) for name in names] for tissue in tissues]
    return _Kinds(
        g_cm3_per_relative=torch.tensor(shares, dtype=torch.float64),
        bone=torch.tensor([tissue == "red marrow" for tissue in tissues]),
        by_hu=torch.tensor([tissue is None for tissue in tissues]),
        metal=torch.tensor([tissue == METAL for tissue in tissues]),
    )


def _kind_index(labels: Integer[Tensor, "z y x"]) -> Integer[Tensor, "z y x"]:
    return _known(labels).long()


def _present(volume: Volume) -> list[int]:
    """The labels that occur. torch.unique sorts, with eight bytes more for every voxel."""
    if volume.labels is None:
        return []
    if volume.labels.device.type != "cpu":
        on_device: list[int] = torch.unique(_known(volume.labels)).tolist()
        return on_device
    from spondyl.xray.densities_numba import kinds_present

    found = kinds_present(_known(volume.labels).to(torch.uint8).contiguous().view(-1).numpy())
    labels: list[int] = found.nonzero()[0].tolist()
    return labels


def _known(labels: Integer[Tensor, "z y x"]) -> Integer[Tensor, "z y x"]:
    """Labels that say nothing about attenuation as 0."""
    if labels.dtype == torch.uint8 and labels.numel() and int(labels.max()) <= max(LABEL_TISSUE):
        return labels
    return torch.where((labels >= 0) & (labels <= max(LABEL_TISSUE)), labels, 0)


def _compiled(volume: Volume) -> bool:
    """Whether the compiled pass can serve: the usual case, a scan in memory that nothing is differentiated by."""
    hu = volume.hu
    return hu.device.type == "cpu" and hu.dtype == torch.float32 and not hu.requires_grad


def _fill(volume: Volume, names: tuple[str, ...], out: Float[Tensor, "m z y x"]) -> None:
    from spondyl.xray.densities_numba import densities

    kinds = _kinds(names)
    labels = torch.zeros((), dtype=torch.uint8).expand(volume.hu.shape) if volume.labels is None else volume.labels
    marrow, bone = tissue_hu("red marrow"), tissue_hu(BONE)
    soft, dense = SOFT_TO_BONE_HU
    ramp = (
        marrow, 1 / (bone - marrow), soft, (dense - marrow) / (bone - marrow) / (dense - soft), 1 + bone / 1000,
        _relative(BONE), SATURATED_HU, 1 + tissue_hu(METAL) / 1000,
    )  # fmt: skip
    shares = kinds.g_cm3_per_relative.to(torch.float32).numpy()
    bone_flag, by_hu, metal = (flag.numpy() for flag in (kinds.bone, kinds.by_hu, kinds.metal))
    turn, row, flat = torch.tensor(ramp, dtype=torch.float32).numpy(), names.index(BONE), out.view(len(names), -1)
    # some planes at a time: a volume cut out of a larger one is copied to be contiguous
    plane = volume.hu[0].numel()
    planes = max(1, 8 * VOXELS_AT_ONCE // plane)
    for first in range(0, len(volume.hu), planes):
        hu = volume.hu[first : first + planes].contiguous().view(-1).numpy()
        kind = _known(labels[first : first + planes]).to(torch.uint8).contiguous().view(-1).numpy()
        part = flat[:, first * plane : first * plane + hu.size].numpy()
        densities(hu, kind, shares, bone_flag, by_hu, metal, turn, row, part)


def _relative(name: str) -> float:
    """Attenuation of 1 g/cm3 of a material in units of water's, averaged over the scan's spectrum."""
    scan = read_table("materials").column("scan_cm2_g")
    rows = read_table("materials").rows
    return float(scan[rows.index(name)] / scan[rows.index(WATER)])


def _grams_per_relative(tissue: str, name: str) -> float:
    """g/cm3 of one basis material in as much of a tissue as attenuates like water in a scan."""
    if tissue not in read_table("tissues").rows:
        return 1 / _relative(name) if tissue == name else 0.0
    mixture = read_table("tissues")
    whole = sum(float(mixture.row(tissue)[mixture.columns.index(b)]) * _relative(b) for b in (WATER, ADIPOSE, BONE))
    return float(mixture.row(tissue)[mixture.columns.index(name)]) / whole if name in mixture.columns else 0.0
