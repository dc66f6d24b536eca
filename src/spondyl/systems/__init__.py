"""SYSTEMS: the name of every system that can be trained, and its class."""

from typing import cast

from spondyl.system import System
from spondyl.systems.ultrasound_to_landmarks import UltrasoundToLandmarks
from spondyl.systems.xray_to_corners import XrayToCorners

SYSTEMS: dict[str, type[System]] = {
    # each has batches of its own kind, which only it and the loop's `collate` see
    XrayToCorners.name: cast("type[System]", XrayToCorners),
    UltrasoundToLandmarks.name: cast("type[System]", UltrasoundToLandmarks),
}
