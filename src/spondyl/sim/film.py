"""From a radiograph to a stored film: the grey that a workstation exports, with the choices that hospitals make differently."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from spondyl.images import Radiograph
from spondyl.sim.redraw import between, check_settings, redraw
from spondyl.xray.detector import body_window, display, equalise, filter_image, gaussian


@dataclass(frozen=True)
class FilmLook:
    """How optical depth is shown: the plain sigmoid of `xray.detector.display` by default.

    The ranges hold what full-spine films of several hospitals show by eye [engineering choice]; the flattening's are those
    usual for skeletal pictures (0.4 to 0.7, sigma 8 to 30 mm) with less at the lower end, and the detail's keep the mean slope
    of the power spectrum between a film without it, which is too smooth, and one with twice as much, which is too rough.

    Args:
        flattening: share of the slow variations that is taken away, [0, 1).
        slow_mm: what counts as slow, sigma on the detector.
        detail: by how much detail is amplified.
        detail_mm: what counts as detail: finer than this sigma on the detector.
        darkest, brightest: quantiles of the body between which the window lies.
        black, white: grey of the window's ends, as an exported picture has them.
    """

    flattening: float = field(default=0.0, metadata=between(0.0, 0.6))
    slow_mm: float = field(default=20.0, metadata=between(12.0, 30.0))
    detail: float = field(default=0.0, metadata=between(0.0, 0.8))
    detail_mm: float = field(default=3.0, metadata=between(1.5, 5.0))
    darkest: float = field(default=0.1, metadata=between(0.05, 0.4))
    brightest: float = field(default=0.98, metadata=between(0.96, 1.0))
    black: float = field(default=0.0, metadata=between(0.0, 0.06))
    white: float = field(default=1.0, metadata=between(0.5, 1.0))

    def __post_init__(self) -> None:
        check_settings(self, positive=("slow_mm", "detail_mm"))
        if not self.flattening < 1:
            raise ValueError(f"flattening is {self.flattening}; wanted a value in [0, 1)")
        if not (0 <= self.darkest < self.brightest <= 1 and 0 <= self.black < self.white <= 1):
            raise ValueError("the window's quantiles or greys are not rising within [0, 1]; see FilmLook")

    def __call__(self, radiograph: Radiograph) -> Float[Tensor, "h w"]:
        """Grey in [0, 1], bone bright, rows and columns of the radiograph.

        Raises:
            ValueError: where no pixel shows a body.
        """
        depth, spacing = radiograph.optical_depth, radiograph.view.pixel_spacing_mm
        if self.flattening > 0:
            depth = equalise(depth, spacing, sigma_mm=self.slow_mm, gain=self.flattening)
        if self.detail > 0:
            smooth = filter_image(depth, spacing, gaussian(self.detail_mm), margin_mm=3 * self.detail_mm)
            depth = depth + self.detail * (depth - smooth)
        shown = display(depth, body_window(depth, low=self.darkest, high=self.brightest))
        return self.black + (self.white - self.black) * shown

    def randomised(self, *, generator: torch.Generator) -> "FilmLook":
        """Another hospital's workstation."""
        return redraw(self, generator=generator)
