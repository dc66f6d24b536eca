"""Where the weights that ship with the package lie: one folder a system, with model.safetensors, config.json and card.md."""

from pathlib import Path

MODEL = "model.safetensors"
HERE = Path(__file__).parent


def weights_folder(name: str) -> Path:
    """The folder of a system's shipped weights.

    Raises:
        ValueError: where this installation has none of that name.
    """
    folder = HERE / name
    if not (folder / MODEL).is_file():
        raise ValueError(
            f"this installation has no weights of {name}; install a release that ships them, or give --weights"
        )
    return folder
