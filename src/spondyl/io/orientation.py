"""Does a volume lie the way its header says? Warnings for one that looks mirrored, turned or upside down.

A header that lies about left and right makes a left curve a right one, and nothing downstream can notice. Anatomy can:
vertebrae are numbered downwards, arches stand behind bodies, the liver lies on the right, ribs fall towards the front.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Integer
from scipy import ndimage

from spondyl.images import STRUCTURE_LABELS, Volume
from spondyl.io.body_orientation import body_warnings
from spondyl.io.label_shape import LabelShape, label_shapes, thinned
from spondyl.spine import LEVEL_LABELS, LEVELS

# Arch test: how far the mean of a vertebra lies behind its deepest point (the body's middle), in standard deviations
# along y. In eleven label maps of real patients, C3 to L5: +0.5 to +1.05 upright, the mirror of that reversed; body-only
# masks 0.0 to 0.1. Vertebrae cut by the edge of the scan are left out.
_ARCH_BEHIND = 0.3
_ARCH_VOTES = 0.6
# The liver's centre lay 70 mm right of the spine and 44, the heart's 38 left, in the labelled scans at hand.
_LIVER_LEFT_MM, _HEART_RIGHT_MM = 20.0, 10.0
_MIN_ORGAN_CM3 = 30.0


def flip_warnings(volume: Volume) -> tuple[str, ...]:
    """Sentences about axes along which the anatomy contradicts the header; empty where nothing does.

    With vertebra labels: their order along z, arches behind bodies along y, the sides of liver and heart along x where
    they are labelled. Without: bone at the back of the trunk along y, and the slope of the ribs along z, in volumes that
    show the trunk from skin to skin and are in HU; left and right are not judged then. Each sentence says how sure it is.
    A missing warning is no proof: a narrow field of view or a single body-only mask tells little.
    """
    affine = volume.world_from_voxel.detach().double().cpu().numpy()
    if volume.labels is None:
        return body_warnings(volume.hu.detach().cpu().numpy(), affine)
    labels = volume.labels.cpu().numpy()
    if int(labels.min()) < 0 or not bool(np.isin(np.arange(1, 29), labels[::2, ::2, ::2]).any()):
        return body_warnings(volume.hu.detach().cpu().numpy(), affine)
    shapes = label_shapes(labels, affine)
    centres = {
        level: shapes[value].centre_mm
        for level, value in LEVEL_LABELS.items()
        if value in shapes and bool(np.isfinite(shapes[value].centre_mm).all())
    }
    order = sorted(centres, key=LEVELS.index)
    cm3 = abs(float(np.linalg.det(affine[:3, :3]))) / 1000
    found = (_level_warning(order, centres), _arch_warning(labels, affine), _organ_warning(shapes, centres, cm3))
    return tuple(sentence for sentence in found if sentence)


def _level_warning(order: list[str], centres: Mapping[str, Float[np.ndarray, "3"]]) -> str:
    if len(order) < 2:
        return ""
    points = np.stack([centres[level] for level in order])
    extent = np.ptp(points, axis=0)
    axis = int(extent.argmax())
    if axis != 2 and len(order) > 3 and extent[2] < 0.5 * extent[axis]:
        along = ("left to right", "front to back")[axis]
        return f"the spine runs {along} ({order[0]} to {order[-1]}): the volume's axes are exchanged (sure)"
    falls = np.diff(points[:, 2]) < 0
    if falls.mean() >= 0.8:
        return ""
    if falls.mean() > 0.2:
        return (
            f"vertebra labels {order[0]} to {order[-1]} do not follow each other from head to foot: check the label map"
        )
    return f"{order[0]} lies below {order[-1]}: the volume is upside down, or its labels are numbered the other way round (sure)"


def _arch_warning(labels: Integer[np.ndarray, "z y x"], affine: Float[np.ndarray, "4 4"]) -> str:
    scores = _arch_scores(labels, affine)
    if not scores or float(np.median(scores)) > -_ARCH_BEHIND or np.mean(np.array(scores) < 0) < _ARCH_VOTES:
        return ""
    plural = "e" if len(scores) > 1 else ""
    sure = "sure" if len(scores) > 2 else "fairly sure"
    return (
        f"the arches of {len(scores)} vertebra{plural} lie in front of their bodies: front and back are exchanged, so the volume "
        f"is mirrored or turned about its long axis, and left and right cannot be trusted ({sure})"
    )


def _arch_scores(labels: Integer[np.ndarray, "z y x"], affine: Float[np.ndarray, "4 4"]) -> list[float]:
    """One number a whole vertebra from C3 to L6: how far its mean lies behind its deepest point; see _ARCH_BEHIND."""
    thin, thin_affine = thinned(labels, affine, 2.0)
    wanted = [v for level, v in LEVEL_LABELS.items() if level not in ("C1", "C2", "S1")]
    vertebrae = np.where(np.isin(thin, wanted), thin, 0).astype(np.int32)
    spacing = np.linalg.norm(thin_affine[:3, :3], axis=0)[::-1]
    scores = []
    for value, box in enumerate(ndimage.find_objects(vertebrae), start=1):
        if box is None or any(s.start == 0 or s.stop == n for s, n in zip(box, thin.shape, strict=True)):
            continue
        mask = np.pad(vertebrae[box] == value, 1)
        points = np.argwhere(mask)[:, ::-1].astype(np.float64)
        if len(points) < 50:
            continue
        depth = ndimage.distance_transform_edt(mask, sampling=spacing)
        deepest = np.argwhere(depth >= 0.8 * depth.max())[:, ::-1].mean(axis=0)
        y = points @ thin_affine[1, :3]
        scores.append(float((y.mean() - deepest @ thin_affine[1, :3]) / max(float(y.std()), 1e-6)))
    return scores


def _organ_warning(shapes: Mapping[int, LabelShape], centres: Mapping[str, Float[np.ndarray, "3"]], cm3: float) -> str:
    """Liver on the left or heart on the right of the spine."""
    if not centres:
        return ""
    middle = float(np.mean([c[0] for c in centres.values()]))
    wrong: list[str] = []
    right: list[str] = []
    for organ, side, limit_mm in (("liver", 1.0, _LIVER_LEFT_MM), ("heart", -1.0, _HEART_RIGHT_MM)):
        shape = shapes.get(STRUCTURE_LABELS[organ])
        if shape is None or shape.voxels * cm3 < _MIN_ORGAN_CM3 or not bool(np.isfinite(shape.centre_mm).all()):
            continue
        (wrong if side * (float(shape.centre_mm[0]) - middle) > limit_mm else right).append(organ)
    if not wrong or (right and "liver" in right):
        return ""
    sure = "sure but for one person in ten thousand" if "liver" in wrong else "fairly sure"
    where = " and ".join("the liver lies on the left" if o == "liver" else "the heart lies on the right" for o in wrong)
    return f"{where}: left and right are exchanged, the volume is mirrored or turned about its long axis ({sure})"
