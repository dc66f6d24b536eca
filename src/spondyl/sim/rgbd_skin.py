"""The colour of skin, cloth and hair: linear RGB albedo of points on the body, and what a near-infrared camera sees of them."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from spondyl.pairs import Skin
from spondyl.sim.redraw import between, check_settings
from spondyl.sim.rgbd_body import CLOTH, HAIR, SKIN, Outfit
from spondyl.sim.rgbd_texture import texture
from spondyl.spine import SpineCurve

# Linear RGB albedo of Fitzpatrick's skin types I to VI (an estimate; to be checked against measured spectra).
SKIN_ALBEDO = (
    (0.80, 0.62, 0.54),
    (0.74, 0.54, 0.44),
    (0.66, 0.45, 0.34),
    (0.53, 0.34, 0.24),
    (0.36, 0.21, 0.14),
    (0.20, 0.11, 0.08),
)
# What a unit of more pigment or blood takes from the log of red, green and blue: melanin absorbs as wavelength^-3.33 (Jacques 2013)
# at 610, 545 and 465 nm; haemoglobin in green and blue, hardly in red (shares estimated).
MELANIN = (0.68, 1.0, 1.70)
BLOOD = (0.08, 1.0, 0.85)
# Near-infrared albedo: skin 0.6 in type I to 0.5 in type VI, nearly independent of its colour; cloth and hair are estimates.
NIR_SKIN = (0.60, 0.50)
NIR_CLOTH, NIR_HAIR = 0.45, 0.22
RED_PLACES = (("T4", 85.0), ("T7", 85.0), ("C7", 0.0))  # level, and how far aside of it skin is rubbed or tense, mm
BAND_MM = 26.0  # height of the elastic of the shorts


@dataclass(frozen=True)
class Complexion:
    """The patient's skin.

    Args:
        skin_type: Fitzpatrick 1 to 6; numbers between are skins between.
        melanin: unevenness of the pigment over some centimetres, share of the albedo.
        redness: unevenness of the blood; shoulder blades, C7 and the skin above the waistband are redder.
        nevi: expected number of moles on the back.
        tan: darkening of neck and arms, share of the albedo.
        fine: unevenness over some millimetres.
    """

    skin_type: float = field(default=2.5, metadata=between(1.0, 6.0))
    melanin: float = field(default=0.05, metadata=between(0.03, 0.09))
    redness: float = field(default=0.06, metadata=between(0.03, 0.14))
    nevi: float = field(default=22.0, metadata=between(10.0, 40.0))
    tan: float = field(default=0.1, metadata=between(0.0, 0.3))
    fine: float = field(default=0.025, metadata=between(0.015, 0.04))

    def __post_init__(self) -> None:
        check_settings(self)
        if not 1 <= self.skin_type <= 6:
            raise ValueError(f"skin_type is {self.skin_type}; wanted 1 to 6 (Fitzpatrick)")

    def albedo(self) -> Float[Tensor, "3"]:
        """Mean linear RGB albedo of this skin type; between two types the logs are mixed."""
        logs = torch.tensor(SKIN_ALBEDO).log()
        low = min(int(self.skin_type) - 1, len(SKIN_ALBEDO) - 2)
        return torch.lerp(logs[low], logs[low + 1], self.skin_type - 1 - low).exp()

    def near_infrared(self) -> float:
        """Albedo at the depth camera's wavelength (850 nm)."""
        first, last = NIR_SKIN
        return first + (last - first) * (self.skin_type - 1) / 5

    def hair_share(self) -> float:
        """How light the hair is beside that of skin types I to III."""
        return min(max((6.5 - self.skin_type) / 3.5, 0.3), 1.0)


def body_albedo(
    points_mm: Float[Tensor, "n 3"],
    kind: Integer[Tensor, "n"],
    waist_mm: Float[Tensor, "n"],
    complexion: Complexion,
    outfit: Outfit,
    spine: SpineCurve,
    skin: Skin,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "3 n"]:
    """Linear RGB albedo of points on the body.

    Args:
        points_mm, kind: where, world mm, and whether SKIN, CLOTH or HAIR.
        waist_mm: height of each point above the edge of the shorts.
        spine, skin: to place redness and moles; the same generator places them alike on the same person.
    """
    albedo = torch.empty(3, len(points_mm), device=points_mm.device)
    for what in (SKIN, CLOTH, HAIR):
        here = (kind == what).nonzero()[:, 0]
        at, above = points_mm[here], waist_mm[here]
        if what == SKIN:
            colour = skin_albedo(at, above, complexion, spine, skin, generator=generator)
        elif what == CLOTH:
            colour = cloth_albedo(at, above, outfit, generator=generator)
        else:
            colour = hair_albedo(at, outfit.hair_grey * complexion.hair_share(), generator=generator)
        albedo[:, here] = colour
    return albedo.clamp_(0.005, 0.95)


def skin_albedo(
    points_mm: Float[Tensor, "n 3"],
    waist_mm: Float[Tensor, "n"],
    complexion: Complexion,
    spine: SpineCurve,
    skin: Skin,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "3 n"]:
    """Skin: the type's albedo, darkened by melanin and blood that vary over the body (Beer-Lambert)."""

    def uneven(cell_mm: float) -> Tensor:
        return texture(points_mm, cell_mm, generator=generator)

    c = complexion
    melanin = c.melanin * (0.8 * uneven(140.0) + 0.6 * uneven(45.0)) + c.fine * (0.7 * uneven(9.0) + 0.7 * uneven(3.5))
    blood = c.redness * (0.7 * uneven(60.0) + 0.5 * uneven(22.0) + 0.35 * uneven(7.0))
    blood = 0.8 * blood.clamp(min=-c.redness) + 1.6 * c.redness * _rubbed(points_mm, waist_mm, spine)
    melanin = melanin + 0.8 * c.tan * _bare(points_mm, spine) + _moles(points_mm, c, skin, generator=generator)
    # darker skin shows its blood less
    blood = blood * (1.1 - 0.13 * c.skin_type)
    mean = c.albedo().to(points_mm)[:, None]
    lost = mean.new_tensor(MELANIN)[:, None] * melanin + mean.new_tensor(BLOOD)[:, None] * blood
    return mean * torch.exp(-lost)


def cloth_albedo(
    points_mm: Float[Tensor, "n 3"], waist_mm: Float[Tensor, "n"], outfit: Outfit, *, generator: torch.Generator
) -> Float[Tensor, "3 n"]:
    """Shorts of one colour: weave, wear, and an elastic band with ribs at the upper edge."""
    weave = 0.06 * texture(points_mm, 3.0, generator=generator) + 0.05 * texture(points_mm, 40.0, generator=generator)
    band = ((waist_mm > -BAND_MM) & (waist_mm <= 0)).to(points_mm.dtype)
    seam = torch.exp(-(((waist_mm + BAND_MM) / 1.5) ** 2))
    shade = (weave + 0.12 * band - 0.35 * seam).exp()
    t = outfit.cloth_tint
    colour = points_mm.new_tensor([1 - 0.55 * max(t, 0.0), 1 - 0.45 * abs(t), 1 + 0.6 * min(t, 0.0)])
    return colour[:, None] * (outfit.cloth_grey * shade)


def hair_albedo(points_mm: Float[Tensor, "n 3"], grey: float, *, generator: torch.Generator) -> Float[Tensor, "3 n"]:
    """Hair combed upwards: strands a few millimetres wide; light hair is warmer than dark hair."""
    strands = texture(points_mm, (5.0, 5.0, 60.0), generator=generator) + texture(
        points_mm, (2.5, 2.5, 30.0), generator=generator
    )
    warm = min(grey / 0.2, 1.0)
    colour = points_mm.new_tensor([1.15, 0.92 - 0.12 * warm, 0.80 - 0.35 * warm])
    return colour[:, None] * (grey * (0.30 * strands).exp())


def _rubbed(points_mm: Tensor, waist_mm: Tensor, spine: SpineCurve) -> Tensor:
    """Where skin is redder, 0 to 1: over shoulder blades and C7, and in the mark above the waistband."""
    total = 0.7 * torch.exp(-(((waist_mm - 14.0) / 9.0) ** 2))
    for level, aside in RED_PLACES:
        if level in spine.levels:
            x, _, z = spine.centres_mm[spine.index(level)].tolist()
            off = ((points_mm[:, 0] - x).abs() - aside) ** 2 + (points_mm[:, 2] - z) ** 2
            total = total + torch.exp(-off / (2 * 32.0**2))
    return total.clamp(max=1.0)


def _bare(points_mm: Tensor, spine: SpineCurve) -> Tensor:
    """Skin that a T-shirt leaves bare, 0 to 1: above the collar, and the arms beyond the sleeve."""
    if "C7" not in spine.levels or "T3" not in spine.levels:
        return torch.zeros_like(points_mm[:, 0])
    x, _, z = spine.centres_mm[spine.index("C7")].tolist()
    collar = torch.sigmoid((points_mm[:, 2] - z - 6.0 + 0.0015 * (points_mm[:, 0] - x) ** 2) / 4.0)
    return torch.maximum(
        collar * torch.sigmoid((130.0 - (points_mm[:, 0] - x).abs()) / 4.0),
        torch.sigmoid(((points_mm[:, 0] - x).abs() - 215.0) / 5.0),
    )


def _moles(points_mm: Tensor, complexion: Complexion, skin: Skin, *, generator: torch.Generator) -> Tensor:
    """Melanin of the moles: Poisson in number, spread evenly over the skin that looks backwards."""
    device = generator.device
    count = int(torch.poisson(torch.tensor([complexion.nevi], device=device), generator=generator))
    shares = torch.rand(count, 5, generator=generator, device=device).cpu()
    v = skin.vertices_mm.to(torch.float32)
    a, b, c = (v[skin.faces[:, k]] for k in range(3))
    backwards = torch.linalg.cross(b - a, c - a)[:, 1].clamp(min=0).double().cpu().cumsum(0)
    total = torch.zeros_like(points_mm[:, 0])
    if count == 0 or float(backwards[-1]) <= 0:
        return total
    chosen = torch.searchsorted(backwards, shares[:, 0].double() * backwards[-1]).clamp(max=len(backwards) - 1)
    for (_, s, t, wide, dark), face in zip(shares.tolist(), chosen.tolist(), strict=True):
        s, t = (1 - s, 1 - t) if s + t > 1 else (s, t)
        place = a[face] + (b[face] - a[face]) * s + (c[face] - a[face]) * t
        radius = 0.8 + 2.2 * wide**3
        off = (points_mm - place).square_().sum(1).sqrt_()
        total = total + (0.4 + 0.9 * dark) * torch.sigmoid((radius - off) / 0.5)
    return total
