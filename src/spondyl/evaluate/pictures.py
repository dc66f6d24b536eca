"""Small pictures for the page: the image that a system saw, and made images beside the true ones, as addresses that hold JPEGs."""

import base64
import io

import torch
from jaxtyping import Float
from PIL import Image as Pillow
from torch import Tensor
from torch.nn import functional

from spondyl.evaluate.case import EvaluationCase, MarksTruth, SpineTruth
from spondyl.images import BackImage, Layers, Radiograph, Ultrasound, Volume
from spondyl.pairs import Image
from spondyl.spine import Corners, UltrasoundMarks
from spondyl.system import Word

HEIGHT_PX, QUALITY = 560, 82
PERCENTILES = (0.02, 0.995)  # grey runs between these of the true image: metal and open field are few pixels
MOST_COUNTED = 2**20  # torch.quantile takes no more than 2^24
Scale = tuple[float, float]


def picture(image: Image) -> str:
    """One image HEIGHT_PX rows high at most, as the address of a JPEG."""
    return _address(_grey(image, _scale(image)))


def triple(source: Image, made: Word, real: Image) -> str:
    """Source, made and true image side by side; the last two in one grey scale, which the true one sets."""
    if isinstance(made, Corners | UltrasoundMarks):
        raise ValueError(f"the answer is {type(made).__name__}; wanted an image")
    scale = _scale(real)
    parts = [_high(_grey(source, _scale(source))), _high(_grey(made, scale)), _high(_grey(real, scale))]
    gap = torch.ones(1, HEIGHT_PX, 4)
    return _address(torch.cat([x for part in parts for x in (part, gap)][:-1], dim=2))


def drawing(case: EvaluationCase, word: Corners | UltrasoundMarks | None) -> str:
    """Lines over the picture of a case as SVG in its pixels: what is right (class t) and what was said (class s)."""
    truth = case.truth
    if isinstance(truth, SpineTruth):
        said = word.corners_px if isinstance(word, Corners) else None
        return _lines(truth.corners.corners_px.reshape(-1, 2, 2), "t") + (
            "" if said is None else _lines(said.reshape(-1, 2, 2), "s")
        )
    if isinstance(truth, MarksTruth):
        right = torch.cat([truth.marks.transverse_px, truth.marks.laminae_px])
        if not isinstance(word, UltrasoundMarks):
            return _lines(right, "t")
        return _lines(right, "t") + _lines(torch.cat([word.transverse_px, word.laminae_px]), "s")
    return ""


def _lines(ends: Float[Tensor, "n 2 2"], kind: str) -> str:
    """All lines between two points (v, u) as one path; those that were not seen are left out."""
    seen = ends[torch.isfinite(ends).flatten(1).all(dim=1)] + 0.5
    steps = "".join(f"M{a[1]:.1f} {a[0]:.1f}L{b[1]:.1f} {b[0]:.1f}" for a, b in seen.tolist())
    return f'<path class="{kind}" d="{steps}"/>' if steps else ""


def shape_of(image: Image) -> tuple[int, int]:
    """Rows and columns of an image's picture."""
    rows, columns = _grey(image, (0.0, 1.0)).shape[1:]
    return (rows, columns)


def _scale(image: Image) -> Scale:
    """(black, white) in the image's own unit."""
    if isinstance(image, Ultrasound | BackImage):
        return (0.0, 1.0)
    values = _plane(image).flatten()
    low, high = torch.quantile(values[:: max(1, len(values) // MOST_COUNTED)], torch.tensor(PERCENTILES)).tolist()
    return (low, max(high, low + 1e-3))


def _plane(image: Image) -> Float[Tensor, "v u"]:
    """One picture of numbers: of a CT the middle coronal section, of layers their sum."""
    if isinstance(image, Volume):
        return image.hu.flip(0)[:, image.hu.shape[1] // 2].detach().cpu().float()
    if isinstance(image, Layers):
        return image.optical_depth.sum(0).detach().cpu().float()
    values = (
        image.optical_depth
        if isinstance(image, Radiograph)
        else image.echo
        if isinstance(image, Ultrasound)
        else image.rgb
    )
    return values.reshape(-1, *values.shape[-2:])[0].detach().cpu().float()


def _grey(image: Image, scale: Scale) -> Float[Tensor, "c v u"]:
    if isinstance(image, BackImage):
        return image.rgb.reshape(-1, *image.rgb.shape[-3:])[0].detach().cpu().float().clamp(0, 1)
    low, high = scale
    return ((_plane(image) - low) / (high - low)).clamp(0, 1)[None]


def _high(picture: Float[Tensor, "c v u"]) -> Float[Tensor, "1 h w"]:
    width = max(1, round(HEIGHT_PX * picture.shape[2] / picture.shape[1]))
    size = (HEIGHT_PX, width)
    return functional.interpolate(picture.mean(0)[None, None], size=size, mode="bilinear", align_corners=False)[0]


def _address(picture: Float[Tensor, "c v u"]) -> str:
    if picture.shape[1] > HEIGHT_PX:
        width = max(1, round(HEIGHT_PX * picture.shape[2] / picture.shape[1]))
        picture = functional.interpolate(picture[None], size=(HEIGHT_PX, width), mode="area")[0]
    pixels = (picture * 255).round().to(torch.uint8).permute(1, 2, 0).squeeze(-1).numpy()
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
