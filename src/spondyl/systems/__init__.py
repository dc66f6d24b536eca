"""SYSTEMS: the name of every system that can be trained, and its class."""

from spondyl.system import System

SYSTEMS: dict[str, type[System]] = {}
