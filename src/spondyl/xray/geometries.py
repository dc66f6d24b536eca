"""Named X-ray machines: where source and detector stand about the patient, and views that frame a volume."""

import math
from dataclasses import dataclass, replace

import torch

from spondyl.geometry import Beam, View
from spondyl.images import Volume

MAX_PIXELS = 3000  # a side; a full spine of 90 cm at 0.3 mm


@dataclass(frozen=True)
class Geometry:
    """Source, patient and detector of one machine.

    Args:
        name: key in GEOMETRIES.
        beam: how rays spread, see `View`.
        source_to_detector_mm: along the beam's axis.
        source_to_frontal_mm: source to the patient's centre in a frontal view.
        source_to_lateral_mm: the same in a lateral view.
        pixel_spacing_mm: the detector's own pixel, along a row.
        field_mm: largest exposed field (v, u) on the detector; infinite where nothing limits it.
    """

    name: str
    beam: Beam
    source_to_detector_mm: float
    source_to_frontal_mm: float
    source_to_lateral_mm: float
    pixel_spacing_mm: float
    field_mm: tuple[float, float]

    def source_to_centre_mm(self, angle_deg: float) -> float:
        """Source to the patient's centre at an azimuth: the lateral distance where the view is nearer to a lateral."""
        a = math.radians(angle_deg)
        return self.source_to_lateral_mm if abs(math.sin(a)) > abs(math.cos(a)) else self.source_to_frontal_mm


GEOMETRIES: dict[str, Geometry] = {
    g.name: g
    for g in (
        # Full-spine radiograph: 180 cm, flat panel of 0.143 mm pixels, three stitched 43 cm exposures taken as one.
        # Source to patient 150 cm (engineering choice: half a trunk, grid and cover before the detector).
        Geometry("cone", "cone", 1800.0, 1500.0, 1500.0, 0.143, (1290.0, 430.0)),
        # Biplanar slot scanner (EOS): distances and pixel from its DICOM headers and Deschenes et al., Spine 35 (2010)
        # 989; a row is 1764 pixels. Only across the slot is the picture magnified.
        Geometry("slot", "slot", 1300.0, 987.0, 918.0, 0.254, (1750.0, 448.0)),
        # Mobile C-arm with a flat panel of 1536 x 1536 pixels (Siemens Cios Fusion; the distances that DeepDRR uses).
        Geometry("c-arm", "cone", 1020.0, 530.0, 530.0, 0.194, (298.0, 298.0)),
        # No machine: orthographic, size on the detector is size in the patient.
        Geometry("parallel", "parallel", 2000.0, 1000.0, 1000.0, 0.14, (math.inf, math.inf)),
    )
}


def view_for(
    volume: Volume, geometry: str = "cone", angle_deg: float = 0.0, *, pixel_spacing_mm: float | None = None
) -> View:
    """The view of an upright machine that frames a volume, as far as its field reaches.

    The central ray passes the volume's centre. The detector is as large as the shadow of the volume's eight corners, or the
    machine's field if that is smaller (a C-arm sees 15 cm of a spine). Where the volume would reach through the detector
    (wide volumes in oblique views), the patient stands nearer to the source than the machine's nominal distance.

    Args:
        volume: what is framed; only its grid counts.
        geometry: a key of GEOMETRIES.
        angle_deg: azimuth of the source, 0 PA, 90 left lateral; see `View.around`.
        pixel_spacing_mm: on the detector, along a row; along a column of a slot it is smaller by the magnification, so that
            pixels are square at the patient's centre. Default: the volume's finest voxel spacing magnified, and not less than
            the machine's own pixel.

    Raises:
        ValueError: for an unknown geometry, a spacing that is not positive, a volume too large to stand between source and
            detector, or a detector of more than 3000 pixels a side.
    """
    machine = machine_named(geometry)
    to_centre = _source_to_centre_mm(volume, machine, angle_deg)
    magnification = 1.0 if machine.beam == "parallel" else machine.source_to_detector_mm / to_centre
    finest = max(machine.pixel_spacing_mm, min(volume.spacing_mm) * magnification)
    pixel = finest if pixel_spacing_mm is None else pixel_spacing_mm
    if not (math.isfinite(pixel) and pixel > 0):
        raise ValueError(f"pixel_spacing_mm is {pixel}; wanted positive millimetres on the detector")
    central_ray = View.around(
        volume.centre_mm,
        angle_deg=angle_deg,
        source_to_detector_mm=machine.source_to_detector_mm,
        source_to_centre_mm=to_centre,
        pixel_spacing_mm=(pixel / magnification if machine.beam == "slot" else pixel, pixel),
        shape_px=(1, 1),
        beam=machine.beam,
    )
    return replace(central_ray, shape_px=_frame_px(volume, machine, central_ray))


def _source_to_centre_mm(volume: Volume, machine: Geometry, angle_deg: float) -> float:
    """The machine's nominal distance, or less where the volume would reach through the detector."""
    centre, corners = volume.centre_mm, volume.corners_mm()
    beam_axis = View.around(centre, angle_deg=angle_deg).world_from_detector[:3, 2].double()
    depth = (corners - corners.new_tensor(centre)) @ beam_axis
    to_centre = min(machine.source_to_centre_mm(angle_deg), machine.source_to_detector_mm - float(depth.max()))
    if to_centre + float(depth.min()) <= 0:
        raise ValueError(
            f"the volume is {float(depth.max() - depth.min()):.0f} mm deep, too much for {machine.name!r} with "
            f"{machine.source_to_detector_mm:.0f} mm from source to detector; crop it"
        )
    return to_centre


def _frame_px(volume: Volume, machine: Geometry, central_ray: View) -> tuple[int, int]:
    """Rows and columns that hold the shadow of the volume's corners about a one-pixel view on its centre."""
    reach_px = central_ray.to(dtype=torch.float64).project_points(volume.corners_mm()).abs().amax(dim=0).tolist()
    sizes = zip(reach_px, central_ray.pixel_spacing_mm, machine.field_mm, strict=True)
    # a thousandth of a pixel: corners come through float32 matrices
    rows, columns = (max(1, math.ceil(min(2 * reach, field / spacing) - 1e-3)) for reach, spacing, field in sizes)
    if max(rows, columns) > MAX_PIXELS:
        now = central_ray.pixel_spacing_mm[1]
        raise ValueError(
            f"the detector would have {rows} x {columns} pixels; give pixel_spacing_mm of "
            f"{now * max(rows, columns) / MAX_PIXELS:.2f} or more (now {now:.2f}), at most {MAX_PIXELS} a side are made"
        )
    return rows, columns


def machine_named(name: str) -> Geometry:
    """A machine of GEOMETRIES. Raises ValueError for an unknown name."""
    if name not in GEOMETRIES:
        raise ValueError(f"geometry is {name!r}; wanted one of {', '.join(GEOMETRIES)}")
    return GEOMETRIES[name]
