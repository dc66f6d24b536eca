"""The numberings of public label maps, each as a table from the file's value to ours (images.STRUCTURE_LABELS)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from spondyl.images import STRUCTURE_LABELS
from spondyl.spine import LEVEL_LABELS


def _all(values: Iterable[int], structure: str) -> dict[int, int]:
    return dict.fromkeys(values, STRUCTURE_LABELS[structure])


_C1_TO_L5 = (*(f"C{i}" for i in range(1, 8)), *(f"T{i}" for i in range(1, 13)), *(f"L{i}" for i in range(1, 6)))

# VerSe 2020 data description: 1-7 C1-C7, 8-19 T1-T12, 20-25 L1-L6, 26 sacrum, 27 coccyx, 28 T13.
_VERSE = {**{v: v for v in LEVEL_LABELS.values()}, 27: STRUCTURE_LABELS["coccyx"]}

# CTSpine1K numbers vertebrae like VerSe, 25 being L6 (Deng et al. 2021, arXiv 2105.14711). A few copies in circulation
# are said to use 25 for S1; no such file was at hand to confirm it, and S1 is not assumed.
_CTSPINE1K = {v: v for v in range(1, 26)}

# TotalSegmentator v2, task "total". Its S1 (26) is a slice of its sacrum (25): both become VerSe's sacrum, 26.
# 117 is costal cartilage; an older table of 118 classes has that at 118.
_TOTALSEGMENTATOR = {
    **_all((1, 2, 3, 4, 6, 7, 8, 9, 15, 17, 18, 19, 20, 21, 22, 23, 24), "organ"),
    5: STRUCTURE_LABELS["liver"],
    **_all(range(10, 15), "lung"),
    16: STRUCTURE_LABELS["gas"],  # the trachea: its label is the lumen
    25: STRUCTURE_LABELS["S1"],
    26: STRUCTURE_LABELS["S1"],
    **{27 + i: STRUCTURE_LABELS[level] for i, level in enumerate(reversed(_C1_TO_L5))},
    **_all((51, 61), "heart"),
    **_all((*range(52, 61), *range(62, 69)), "organ"),  # vessels
    **_all((69, 70), "humerus"),
    **_all((71, 72), "scapula"),
    **_all((73, 74), "clavicle"),
    **_all((75, 76), "femur"),
    **_all((77, 78), "pelvis"),
    **_all((79, 90), "organ"),  # spinal cord, brain
    **_all(range(80, 90), "muscle"),
    91: STRUCTURE_LABELS["skull"],
    **_all(range(92, 116), "rib"),
    116: STRUCTURE_LABELS["sternum"],
    **_all((117, 118), "cartilage"),
}

# Swin-X2S: 1-25 C1 to L6, 26-37 left ribs, 38-49 right ribs, 50 sacrum, 51 right and 52 left hip, 53 left and 54 right
# femur (the sides as found in a TotalSegmentator case that its authors relabelled).
_SWINX2S = {
    **{v: v for v in range(1, 26)},
    **_all(range(26, 50), "rib"),
    50: STRUCTURE_LABELS["S1"],
    **_all((51, 52), "pelvis"),
    **_all((53, 54), "femur"),
}

_SPONDYL = {v: v for v in STRUCTURE_LABELS.values() if v != 0}

SCHEMES: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {
        "verse": MappingProxyType(_VERSE),
        "spondyl": MappingProxyType(_SPONDYL),
        "totalsegmentator": MappingProxyType(_TOTALSEGMENTATOR),
        "ctspine1k": MappingProxyType(_CTSPINE1K),
        "swinx2s": MappingProxyType(_SWINX2S),
    }
)


@dataclass(frozen=True)
class Sides:
    """The file values that a scheme calls left and right, of the patient."""

    left: tuple[int, ...]
    right: tuple[int, ...]


SIDES: Mapping[str, Sides] = MappingProxyType(
    {
        "totalsegmentator": Sides(
            (3, 9, 10, 11, 69, 71, 73, 75, 77, 80, 82, 84, 86, 88, *range(92, 104)),
            (2, 8, 12, 13, 14, 70, 72, 74, 76, 78, 81, 83, 85, 87, 89, *range(104, 116)),
        ),
        "swinx2s": Sides((*range(26, 38), 52, 53), (*range(38, 50), 51, 54)),
    }
)
