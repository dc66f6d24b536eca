"""One radiograph into the files that a user asked for, each marked as synthetic."""

from dataclasses import replace
from pathlib import Path

import torch

from spondyl import __version__
from spondyl.images import Radiograph, Volume
from spondyl.io.nifti import write_nifti
from spondyl.io.png import write_png
from spondyl.io.source import Source
from spondyl.pipeline.exposing import Shot

# One grey scale for every PNG: optical depth 0 (open field) black, 8 (45 cm of water at 60 keV) white.
PNG_WINDOW = (0.0, 8.0)
DERIVATION = f"Radiograph computed from a CT by ray casting with spondyl {__version__}"


def write_shot(
    folder: Path, shot: Shot, *, source: Source, formats: tuple[str, ...], source_to_patient_mm: float | None
) -> list[str]:
    """Write a radiograph in every format that is wanted, and name the files in the order of writing.

    `name.dcm` is a DX image; `name.png` 16-bit grey with `name.json` beside it; `name_depth.nii.gz` optical depth as
    float32, a slice in the plane of the detector, with `name_depth.json`.

    Args:
        source_to_patient_mm: depth of the plane for which the DICOM file's Pixel Spacing shall be right.
    """
    written: list[str] = []
    if "dicom" in formats:
        from spondyl.io.dicom_write import write_dx

        exposure = replace(shot.exposure, source_to_patient_mm=source_to_patient_mm)
        write_dx(shot.radiograph, folder / f"{shot.name}.dcm", source=source, exposure=exposure, derivation=DERIVATION)
        written.append(f"{shot.name}.dcm")
    if "png" in formats:
        text = {"Description": f"{shot.exposure.view_name}. {shot.exposure.sentence()}", "Software": DERIVATION}
        write_png(shot.radiograph, folder / f"{shot.name}.png", window=PNG_WINDOW, text=text)
        written += [f"{shot.name}.png", f"{shot.name}.json"]
    if "nifti" in formats:
        mark: dict[str, str | float | list[str]] = {
            "SyntheticData": "YES",
            "Description": f"{DERIVATION}; {shot.exposure.sentence()}",
            "Quantity": "optical depth, -ln(transmission)",
        }
        write_nifti(_slice(shot.radiograph), folder / f"{shot.name}_depth.nii.gz", sidecar=mark)
        written += [f"{shot.name}_depth.nii.gz", f"{shot.name}_depth.json"]
    return written


def _slice(radiograph: Radiograph) -> Volume:
    """The picture as a grid of one slice, 1 mm thick, where the detector stands; its numbers are no HU."""
    view = radiograph.view
    (h, w), (dv, du) = view.shape_px, view.pixel_spacing_mm
    detector_from_pixel = torch.diag(torch.tensor([du, dv, 1.0, 1.0], dtype=torch.float64))
    detector_from_pixel[:2, 3] = torch.tensor([-(w - 1) / 2 * du, -(h - 1) / 2 * dv])
    return Volume(radiograph.optical_depth[None], view.world_from_detector.double() @ detector_from_pixel)
