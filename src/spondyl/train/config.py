"""Settings of a run: a preset's row, then a YAML file, then `--set a.b=c`; every mistake is one line that names its place."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar, cast

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from spondyl.system import BatchT, Preset, Settings, System, Training

Tree = dict[str, object]
S = TypeVar("S", bound=Settings)


def preset_of(
    system: type[System[BatchT]], preset: str, *, file: Path | None = None, overrides: Sequence[str] = ()
) -> Preset:
    """The settings of model and training: the preset, changed by a YAML file, then by overrides "a.b=c".

    Keys begin with `model.` or `train.`; values are written as in YAML.

    Raises:
        ValueError: for an unknown preset or key, or a value that is refused: where it stands, what it was, what was wanted.
    """
    if preset not in system.presets:
        raise ValueError(f"preset is {preset!r}; {system.name} has {', '.join(system.presets) or 'none'}")
    row = system.presets[preset]
    tree: Tree = {"model": row.model.model_dump(), "train": row.train.model_dump(exclude_unset=False)}
    # what a player's own optimiser does not set comes from `optim`: written out in full it would no longer do so
    cast("Tree", tree["train"])["optim_of"] = {
        player: own.model_dump(exclude_unset=True) for player, own in row.train.optim_of.items()
    }
    where: dict[str, str] = {}
    if file is not None:
        _merge(tree, *_from_file(file), where)
    for override in overrides:
        _merge(tree, *_from_override(override), where)
    unknown = sorted(set(tree) - {"model", "train"})
    if unknown:
        raise ValueError(
            f"{unknown[0]}: not a setting{_at(unknown[0], where)}; wanted one that begins with model. or train."
        )
    return Preset(
        _checked(system.Config, tree["model"], "model", where), _checked(Training, tree["train"], "train", where)
    )


def _from_file(file: Path) -> tuple[Tree, dict[str, str]]:
    """The tree of a YAML file, and for every dotted key where it stands."""
    try:
        text = file.read_text(encoding="utf-8")
        node, tree = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is not a text file; wanted YAML") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" line {mark.line + 1}"
        raise ValueError(f"{file}{line}: {getattr(error, 'problem', None) or 'not YAML'}; correct it") from error
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ValueError(f"{file} holds no keys; wanted model: and train: with settings below them")
    places: dict[str, str] = {}
    _note_lines(node, "", str(file), places)
    return tree, places


def _note_lines(node: yaml.Node, prefix: str, file: str, places: dict[str, str]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{prefix}{key.value}"
        places[dotted] = f"{file} line {key.start_mark.line + 1}"
        _note_lines(value, f"{dotted}.", file, places)


def _from_override(override: str) -> tuple[Tree, dict[str, str]]:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ValueError(f"--set {override}: wanted a.b=c, for example --set train.optim.lr=0.0001")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"--set {override}: {text!r} cannot be read; quote it") from error
    tree: object = value
    for part in reversed(parts):
        tree = {part: tree}
    return cast("Tree", tree), {key.strip(): f"--set {override}"}


def _merge(tree: Tree, more: Mapping[str, object], places: Mapping[str, str], where: dict[str, str]) -> None:
    for key, value in more.items():
        old = tree.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value, {}, where)
        else:
            tree[key] = value
    where.update(places)


def _checked(kind: type[S], values: object, name: str, where: Mapping[str, str]) -> S:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(error.errors()[0], kind, name, where)) from error


def _sentence(fault: ErrorDetails, kind: type[Settings], name: str, where: Mapping[str, str]) -> str:
    dotted = ".".join([name, *(str(part) for part in fault["loc"])])
    place = _at(dotted, where)
    if fault["type"] == "extra_forbidden":
        known = _names_beside(kind, fault["loc"])
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        return f"{dotted}: not a setting{place}; {meant}wanted one of {', '.join(known) or 'none'}"
    wanted = fault["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"{dotted}: {fault['input']!r} given{place}; wanted {wanted}"


def _at(dotted: str, where: Mapping[str, str]) -> str:
    """Where the key, or the nearest one above it, was set last."""
    parts = dotted.split(".")
    for n in range(len(parts), 0, -1):
        if ".".join(parts[:n]) in where:
            return f" ({where['.'.join(parts[:n])]})"
    below = [place for key, place in where.items() if key.startswith(f"{dotted}.")]
    return f" ({below[-1]})" if below else ""


def _names_beside(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Names of the settings that could stand where the path ends."""
    here: type[BaseModel] = kind
    for part in path[:-1]:
        field = here.model_fields.get(str(part))
        if field is None:  # the key of a mapping, as a player's name
            continue
        inner = [a for a in (field.annotation, *getattr(field.annotation, "__args__", ())) if isinstance(a, type)]
        here = next((a for a in inner if issubclass(a, BaseModel)), here)
    return sorted(here.model_fields)
