"""SYSTEMS: the name of every system that can be trained, and its class."""

from spondyl.system import System
from spondyl.systems.ultrasound_to_landmarks import UltrasoundToLandmarks
from spondyl.systems.xray_to_corners import XrayToCorners

SYSTEMS: dict[str, type[System]] = {
    XrayToCorners.name: XrayToCorners,
    UltrasoundToLandmarks.name: UltrasoundToLandmarks,
}
