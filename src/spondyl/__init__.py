"""spondyl: cross-modal spine imaging. The public words and verbs, each imported when first used."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what a type checker sees; at run time the names come from __getattr__
    from spondyl.geometry import View as View
    from spondyl.images import BackImage as BackImage
    from spondyl.images import Radiograph as Radiograph
    from spondyl.images import Ultrasound as Ultrasound
    from spondyl.images import Volume as Volume
    from spondyl.pairs import Pair as Pair
    from spondyl.pairs import Subject as Subject
    from spondyl.simulate import simulate_pairs as simulate_pairs
    from spondyl.spine import LEVELS as LEVELS
    from spondyl.spine import Cobb as Cobb
    from spondyl.spine import Corners as Corners
    from spondyl.spine import Sagittal as Sagittal
    from spondyl.spine import SpineCurve as SpineCurve

__version__ = "0.1.0"

_WHERE: dict[str, str] = {
    "BackImage": "spondyl.images",
    "Cobb": "spondyl.spine",
    "Corners": "spondyl.spine",
    "LEVELS": "spondyl.spine",
    "Pair": "spondyl.pairs",
    "Radiograph": "spondyl.images",
    "Sagittal": "spondyl.spine",
    "SpineCurve": "spondyl.spine",
    "Subject": "spondyl.pairs",
    "Ultrasound": "spondyl.images",
    "View": "spondyl.geometry",
    "Volume": "spondyl.images",
    "simulate_pairs": "spondyl.simulate",
}

__all__ = sorted(_WHERE)


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that `import spondyl` stays free of torch."""
    if name not in _WHERE:
        raise AttributeError(f"module 'spondyl' has no attribute {name!r}")
    value: object = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
