"""Anterior, middle and posterior heights of the vertebral bodies of a labelled CT."""

from dataclasses import dataclass

from spondyl.images import Volume
from spondyl.measure.curve import Reading, curve_from_labels


@dataclass(frozen=True)
class BodyHeights:
    """Heights of one vertebral body along its own axis, mm: near its front wall, in its middle, near its back wall.

    Each is the median over the middle third of the body's width and a seventh of its depth, 8 to 22 % of the depth away
    from the wall, so the rounded rim has no part in it. Concave endplates make the middle the lowest.
    """

    level: str
    anterior_mm: float
    middle_mm: float
    posterior_mm: float

    @property
    def loss(self) -> float:
        """Height lost at the lowest of the three against the higher of front and back, 0 to 1.

        Genant (1993, J Bone Miner Res 8:1137) calls 0.20 to 0.25 a mild, to 0.40 a moderate, beyond it a severe
        deformity, by eye and beside the neighbours; normal concavity alone takes 0.05 to 0.15 here.
        """
        return 1 - min(self.anterior_mm, self.middle_mm, self.posterior_mm) / max(self.anterior_mm, self.posterior_mm)


def body_heights(source: Reading | Volume) -> tuple[BodyHeights, ...]:
    """Heights of every body that could be read, cranial to caudal; a body without all three is left out.

    Raises:
        ValueError: as `curve_from_labels`, where a volume is given.
    """
    reading = curve_from_labels(source) if isinstance(source, Volume) else source
    rows = zip(reading.spine.levels, reading.heights_mm.tolist(), strict=True)
    return tuple(BodyHeights(level, *h) for level, h in rows if all(x == x for x in h))
