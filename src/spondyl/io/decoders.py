"""Which compressed DICOM pixels can be read with the packages that are installed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Decoder:
    """A pixel compression of DICOM (PS3.5 section 8.2) and whether an installed package decodes it."""

    name: str
    available: bool


def decoders() -> tuple[Decoder, ...]:
    """The compressions that CT and radiography files use. Raises ImportError where pydicom is not installed."""
    from pydicom import uid
    from pydicom.pixels.decoders.base import get_decoder

    syntaxes = (
        ("JPEG baseline", uid.JPEGBaseline8Bit),
        ("JPEG lossless", uid.JPEGLosslessSV1),
        ("JPEG-LS", uid.JPEGLSLossless),
        ("JPEG 2000", uid.JPEG2000Lossless),
        ("RLE", uid.RLELossless),
    )
    return tuple(Decoder(name, get_decoder(syntax).is_available) for name, syntax in syntaxes)
