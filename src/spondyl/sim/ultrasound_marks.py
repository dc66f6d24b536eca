"""What a reader clicks on a coronal ultrasound image: transverse processes, laminae and spinous tips, in pixels."""

import torch
from torch import Tensor

from spondyl.geometry import transform_points
from spondyl.images import Ultrasound
from spondyl.sim.patient.anatomy import LevelSize, level_size
from spondyl.sim.patient.landmarks import UltrasoundLandmarks
from spondyl.sim.patient.vertebra import Vertebra
from spondyl.spine import SpineCurve, UltrasoundMarks

SIDES = (1.0, -1.0)  # the patient's left, then right


def marks_of(landmarks: UltrasoundLandmarks, image: Ultrasound) -> UltrasoundMarks:
    """Landmarks in space (`patient.ultrasound_landmarks`, or `landmarks_of`) on the image of the same subject.

    Each is projected from behind to front, as the image is: breathing and the hand's tremor, which shift single frames by
    fractions of a millimetre, are left out.

    Raises:
        ValueError: where the image does not say where it lies, or is a batch.
    """
    m = image.world_from_pixel
    if m is None or tuple(m.shape) != (4, 4):
        raise ValueError("the image has no single world_from_pixel; wanted one simulated or tracked image")
    pixel_from_world = torch.linalg.inv(m.double().cpu()).to(torch.float32)

    def pixels(points_mm: Tensor) -> Tensor:
        uv = transform_points(pixel_from_world, points_mm.reshape(-1, 3).to(pixel_from_world))
        return uv[:, [1, 0]].reshape(*points_mm.shape[:-1], 2)

    return UltrasoundMarks(
        landmarks.levels,
        pixels(landmarks.transverse_tips_mm),
        pixels(landmarks.laminae_mm),
        pixels(landmarks.spinous_tips_mm),
    )


def landmarks_of(spine: SpineCurve) -> UltrasoundLandmarks:
    """Landmarks of a spine of which nothing but position, axes and size of the bodies is known, such as a scanned one.

    They are where an average arch would have them on bodies of this size; the tables' standard deviation is 5 mm along each
    process. For a virtual patient take `patient.ultrasound_landmarks`, which also knows how its spinous processes bend.
    """
    levels = tuple(level for level in spine.levels if level != "S1")
    vertebrae = [_vertebra(spine, level) for level in levels]
    return UltrasoundLandmarks(
        levels,
        torch.tensor([[v.transverse_tip(s).tolist() for s in SIDES] for v in vertebrae]).reshape(-1, 2, 3),
        torch.tensor([[v.lamina(s).tolist() for s in SIDES] for v in vertebrae]).reshape(-1, 2, 3),
        torch.tensor([v.spinous_tip().tolist() for v in vertebrae]).reshape(-1, 3),
    )


def _vertebra(spine: SpineCurve, level: str) -> Vertebra:
    i = spine.index(level)
    plates = spine.endplates_mm[i].double().cpu().numpy()
    centre, axes = (t[i].double().cpu().numpy() for t in (spine.centres_mm, spine.axes))
    return Vertebra(_size(spine, level), centre, axes, plates[0], plates[1])


def _size(spine: SpineCurve, level: str) -> LevelSize:
    """The table's vertebra of this level, as wide and as tall as this one; average where its size is not known."""
    average = level_size(level, 1.0, 1.0)
    width, _, height = spine.sizes_mm[spine.index(level)].tolist()
    wide = width / ((average.epwu + average.epwl) / 2) if width == width else 1.0
    tall = height / average.height if height == height else wide
    return level_size(level, tall, wide)
