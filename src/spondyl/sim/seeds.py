"""Seeds by name: what a case, or one of its parts, draws is a function of words and numbers, never of the order of work."""

import hashlib

import torch


def seed_of(*parts: int | float | str) -> int:
    """A seed in [0, 2^63) from the SHA-256 of the parts; the same on every machine and in every version of Python."""
    digest = hashlib.sha256("\n".join(repr(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def share_of(*parts: int | float | str) -> float:
    """A number in [0, 1) from the same hash: for splits, which must not move when something else is drawn."""
    return seed_of(*parts) / 2**63


def generator_of(*parts: int | float | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator with the seed of these parts."""
    return torch.Generator(device=device).manual_seed(seed_of(*parts))
