"""How a radiograph was exposed, or how its simulation was: what a DICOM header tells beside the view."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Exposure:
    """The exposure of one radiograph. All numbers of a simulated one are those of the simulation.

    Args:
        kvp: peak tube voltage, kV; None where none was simulated (a monochromatic or a learned image).
        mas: tube current times time, mAs; None where unknown.
        filter_text: filtration in words, for example "0.1 mm Cu + 1 mm Al"; "" where none.
        source_to_patient_mm: source to the plane of the patient for which lengths shall be right (the spine), along the
            central ray; None where unknown.
        geometry_name: the arrangement in words, for example "full spine 180 cm" or "biplanar slot scanner".
        view_name: the view in words, for example "PA"; the header's View Position is taken from the geometry instead.
    """

    kvp: float | None
    mas: float | None
    filter_text: str
    source_to_patient_mm: float | None
    geometry_name: str
    view_name: str

    def __post_init__(self) -> None:
        for name, value in (("kvp", self.kvp), ("mas", self.mas), ("source_to_patient_mm", self.source_to_patient_mm)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; wanted a positive number, or None where it is unknown")

    def sentence(self) -> str:
        """The simulated beam in words; empty where nothing is known."""
        parts = [
            "" if self.kvp is None else f"{self.kvp:g} kV",
            "" if self.mas is None else f"{self.mas:g} mAs",
            self.filter_text.strip(),
            self.geometry_name.strip(),
        ]
        known = ", ".join(part for part in parts if part)
        return f"Simulated exposure: {known}." if known else ""
