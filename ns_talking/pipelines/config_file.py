"""Reading config.yml without executing it: nothing but the settings of Nerfstudio's classes and ours is accepted.

Nerfstudio writes its settings as YAML with Python objects and reads them with a loader that calls whatever the file
names. Here a tag may name a settings class, a path or a constant; what a setting builds (`_target`) is what its class
says, whatever the file says.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

_LARGEST_BYTES = 1 << 20
_PACKAGES = ("ns_talking.", "nerfstudio.")
_PATHS = {
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath")
}
_FUNCTIONS = {"nerfstudio.data.utils.nerfstudio_collate.nerfstudio_collate"}
"""What settings may name besides what they build."""
_PREFIX = "tag:yaml.org,2002:python/"


def read_config_file(path: Path) -> Any:  # Any: whatever the file holds.
    """Read a config.yml with nothing but known settings in it.

    Raises:
        ValueError: When the file is too large, no YAML, or names anything that is no setting.
    """
    size = path.stat().st_size
    if size > _LARGEST_BYTES:
        raise ValueError(f"{path} has {size} bytes, far more than any config of Nerfstudio. Name a config.yml.")
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # A kind of SafeLoader.
    except _RefusedError as error:
        raise ValueError(
            f"{path} cannot be read as a config of Nerfstudio: {error}, which is no setting of Nerfstudio or "
            "ns-talking and might execute code. Name a config.yml that `ns-train` wrote for a portrait, and do not use "
            "it with Nerfstudio's own commands, which would execute it."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be read as a config of Nerfstudio ({reason}). Name the config.yml that `ns-train` wrote, "
            "and use the version of ns-talking that trained it."
        ) from error


def settings_class(name: str) -> type:
    """Find a settings class of Nerfstudio or ours by its full name.

    Raises:
        ValueError: When it is no such class.
    """
    found = _import(name)
    if not (isinstance(found, type) and dataclasses.is_dataclass(found) and found.__name__.endswith("Config")):
        raise _RefusedError(f"it names {name!r}")
    return found


class _RefusedError(ValueError):
    """The file names what may not be named."""


class _Loader(yaml.SafeLoader):
    """YAML with settings classes."""


@dataclasses.dataclass(frozen=True)
class _Name:
    """What a file names; it is imported only where it may stand."""

    name: str


def _import(name: str) -> Any:  # Any: whatever bears the name.
    module, _, attribute = name.rpartition(".")
    parts = name.split(".")
    if not name.startswith(_PACKAGES) or any(part.startswith("_") for part in parts) or "scripts" in parts:
        raise _RefusedError(f"it names {name!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise _RefusedError(f"it names {name!r}, which this version does not have ({error})") from error


def _tuple(loader: _Loader, node: yaml.SequenceNode) -> tuple[Any, ...]:
    return tuple(loader.construct_sequence(node, deep=True))


def _named(loader: _Loader, suffix: str, node: yaml.Node) -> _Name:
    del loader, node
    return _Name(suffix)


def _applied(loader: _Loader, suffix: str, node: yaml.Node) -> Any:  # Any: a path or a constant.
    arguments = loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else None
    if arguments is not None and suffix in _PATHS and all(isinstance(part, str) for part in arguments):
        return Path(*arguments)
    if arguments is not None and len(arguments) == 1 and isinstance(arguments[0], (str, int)):
        kind = _import(suffix)
        if isinstance(kind, type) and issubclass(kind, Enum):
            return kind(arguments[0])
    raise _RefusedError(f"it calls {suffix!r}")


def _settings(loader: _Loader, suffix: str, node: yaml.Node) -> Iterator[Any]:  # Any: settings of any class.
    kind = settings_class(suffix)
    settings = object.__new__(kind)
    yield settings  # Anchors may refer to it before it is filled.
    if not isinstance(node, yaml.MappingNode):
        raise _RefusedError(f"it makes {suffix!r} of something else than settings")
    values = {}
    for name, value in loader.construct_mapping(node, deep=True).items():
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
            raise _RefusedError(f"it gives {suffix!r} a setting {name!r}")
        values[name] = _target(kind, value) if name == "_target" else _allowed(value)
    # As YAML's own loader does: classes of ours read what earlier versions wrote.
    take = getattr(settings, "__setstate__", vars(settings).update)
    take(values)


def _target(kind: type, value: Any) -> type:  # Any: what the file says.
    """Insist that settings build what their class builds."""
    (field,) = (field for field in dataclasses.fields(kind) if field.name == "_target")
    built: Any = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
    if not isinstance(value, _Name):
        raise _RefusedError(f"it lets {kind.__name__} build something of its own")
    if value.name != f"{built.__module__}.{built.__qualname__}" and _moved(value.name) is not built:
        raise _RefusedError(f"it lets {kind.__name__} build {value.name!r}")
    return built


def _moved(name: str) -> Any:  # Any: whatever bears the name.
    """Find a class by a name that it had in another version."""
    if name.startswith("torch.optim."):
        import torch

        return getattr(torch.optim, name.rpartition(".")[2], None)
    return _import(name)


def _allowed(value: Any) -> Any:  # Any: a setting.
    if isinstance(value, _Name):
        if value.name not in _FUNCTIONS:
            raise _RefusedError(f"it names {value.name!r}")
        return _import(value.name)
    if isinstance(value, (list, tuple, dict)) and any(isinstance(part, _Name) for part in _parts(value)):
        raise _RefusedError("it names Python objects in a list")
    return value


def _parts(value: Any) -> Iterator[Any]:  # Any: nested lists and mappings.
    for part in value.values() if isinstance(value, dict) else value:
        if isinstance(part, (list, tuple, dict)):
            yield from _parts(part)
        else:
            yield part


def _unknown(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    del loader, node
    raise _RefusedError(f"it holds a Python object ({suffix})")


_CONSTRUCTORS: dict[str, Callable[..., Any]] = {
    "name:": _named,
    "object/apply:": _applied,
    "object:": _settings,
    "": _unknown,
}
for _tag, _constructor in _CONSTRUCTORS.items():
    _Loader.add_multi_constructor(_PREFIX + _tag, _constructor)
_Loader.add_constructor(_PREFIX + "tuple", _tuple)
