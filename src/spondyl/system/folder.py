"""The folder of a trained system: model.safetensors, config.json, card.md. No pickle, and no network unless asked for."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from spondyl import __version__
from spondyl.system.settings import Settings

WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "card.md"
HUB_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
NOTICE = "Research software, not a medical device. Images made with it are synthetic."


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` that becomes it when the block ends well, its bytes on the disk first. One writer a file.

    Raises:
        OSError: in one sentence, where it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0].lower()
        raise OSError(f"cannot write {path}: {reason}; choose another place or make room") from error
    finally:
        part.unlink(missing_ok=True)


def write_folder(
    folder: Path, name: str, config: Settings, weights: Mapping[str, Tensor], *, card: str, dtype: torch.dtype | None
) -> None:
    """Write the three files; the configuration last, because readers begin there."""
    from safetensors.torch import save_file

    stored = {key: _storable(value, dtype) for key, value in weights.items()}
    with replacing(folder / WEIGHTS) as part:
        save_file(stored, part)
    with replacing(folder / CARD) as part:
        part.write_text(f"# {name}\n\n{NOTICE}\n\n{card.strip() or 'No card was written.'}\n", encoding="utf-8")
    content = {"system": name, "spondyl": __version__, "model": config.model_dump(mode="json")}
    with replacing(folder / CONFIG) as part:
        part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _storable(value: Tensor, dtype: torch.dtype | None) -> Tensor:
    # a copy: safetensors refuses tensors that share memory, as tied weights do
    copy = value.detach().to("cpu", copy=True).contiguous()
    return copy.to(dtype) if dtype is not None and copy.is_floating_point() else copy


def resolve_folder(source: Path | str, *, offline: bool, revision: str | None) -> Path:
    """The local folder of a path or hub id."""
    if Path(source).is_dir():
        return Path(source)
    if isinstance(source, Path) or not HUB_ID.fullmatch(source):
        raise ValueError(f"{source} is not a folder; wanted one with {CONFIG} and {WEIGHTS}, or a hub id owner/name")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        found = snapshot_download(
            source, revision=revision, local_files_only=offline, allow_patterns=[WEIGHTS, CONFIG, CARD]
        )
    except LocalEntryNotFoundError as error:
        how = "allow the download with offline=False" if offline else "check the network"
        raise ValueError(f"{source} is neither a folder nor in this machine's cache; {how}") from error
    except HfHubHTTPError as error:
        raise ValueError(f"{source} could not be had from the hub ({str(error).splitlines()[0]})") from error
    return Path(found)


def read_config(folder: Path, name: str, kind: type[Settings]) -> Settings:
    """The model's settings in a folder, checked to be those of the system `name`."""
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} has no {CONFIG}; wanted a folder that training or save_pretrained wrote")
    try:
        content = json.loads(path.read_bytes())
    except (UnicodeDecodeError, json.JSONDecodeError):
        content = None
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise ValueError(f"{path} is damaged: it holds no settings of a model; get it again")
    if content.get("system") != name:
        raise ValueError(f"{folder} holds {content.get('system')!r}, not {name!r}; load it with the class of that name")
    try:
        return kind.model_validate(content["model"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(
            f"{path}: model.{where}: {first['msg'].lower()}; it was made by spondyl {content.get('spondyl')}"
        ) from error


def load_into(system: nn.Module, folder: Path) -> None:
    """Put the folder's weights into the system. Raises ValueError where they are damaged or of another network."""
    path = folder / WEIGHTS
    weights = read_tensors(path)
    own = system.state_dict()
    differing = [key for key in sorted({*own, *weights}) if _shape(own.get(key)) != _shape(weights.get(key))]
    if differing:
        there, here = _shape(weights.get(differing[0])), _shape(own.get(differing[0]))
        more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
        raise ValueError(f"{path} does not fit: {differing[0]} is {there} there, {here} here{more}; wrong {CONFIG}?")
    system.load_state_dict(weights)


def _shape(value: Tensor | None) -> str:
    return "missing" if value is None else str(tuple(value.shape))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises ValueError where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise ValueError(f"{path} is missing; wanted the weights there")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged or cut off; get it again") from error
