"""Settings of a model as JSON and back: classes by name, fields by name, and no Python objects."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ns_talking.pipelines.config_file import settings_class

_CLASS = "class"
_LARGEST_COUNT = 4096
"""A count may be this large, or eight times what the class itself takes."""
_LARGEST_NUMBER = 1e12
_LONGEST_TEXT = 500
_DEEPEST = 8


def settings_as_json(settings: Any) -> dict[str, Any]:  # Any: settings of any class, JSON.
    """Write settings as JSON; `_target`, what they build, is left out.

    Raises:
        ValueError: When a value is neither a number, a text, nor made of those.
    """
    kind = type(settings)
    content: dict[str, Any] = {_CLASS: f"{kind.__module__}.{kind.__qualname__}"}
    for field in dataclasses.fields(settings):
        if field.name != "_target":
            content[field.name] = _as_json(getattr(settings, field.name), f"{kind.__name__}.{field.name}")
    return content


def settings_from_json(content: Any, expected: type, depth: int = 0) -> Any:  # Any: JSON, settings of any class.
    """Read what `settings_as_json` wrote.

    Args:
        content: What stands in the file, whoever wrote it.
        expected: Class of the settings, or one that they inherit from.
        depth: Of settings in settings.

    Raises:
        ValueError: When it names another class, an unknown field, or a value that does not belong there.
    """
    if not isinstance(content, dict) or not isinstance(content.get(_CLASS), str) or depth > _DEEPEST:
        raise ValueError(f"the settings of {expected.__name__} are no settings")
    name = content[_CLASS]
    if not name.startswith("ns_talking."):
        raise ValueError(f"it names the class {name[:80]!r}, which is none of ns-talking")
    kind = settings_class(name)
    if not issubclass(kind, expected):
        raise ValueError(f"it names the class {kind.__name__} where a {expected.__name__} belongs")
    settings = kind()
    # A file of an earlier version lacks newer settings, and its portrait was trained without them.
    if (as_read := getattr(settings, "__setstate__", None)) is not None:
        as_read({})
    known = {field.name for field in dataclasses.fields(kind)} - {"_target"}
    for field, value in content.items():
        if field == _CLASS:
            continue
        if field not in known:
            raise ValueError(f"{kind.__name__} has no setting {field[:80]!r}")
        setattr(settings, field, _from_json(value, getattr(settings, field), f"{kind.__name__}.{field}", depth))
    return settings


def _as_json(value: Any, name: str) -> Any:  # Any: JSON.
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return settings_as_json(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_json(part, name) for part in value]
    if isinstance(value, dict):
        return {str(key): _as_json(part, name) for key, part in value.items()}
    raise ValueError(f"The setting {name} is a {type(value).__name__}, which a portable portrait cannot hold.")


def _from_json(value: Any, default: Any, name: str, depth: int) -> Any:  # Any: JSON; a setting.
    if dataclasses.is_dataclass(default):
        # Any of the class's own family: what it inherits from just above the settings that everything shares.
        family = [base for base in type(default).__mro__ if base.__module__.startswith("ns_talking.")]
        return settings_from_json(value, family[-1], depth + 1)
    if isinstance(default, (list, tuple)):
        if not isinstance(value, list) or len(value) > _LARGEST_COUNT:
            raise ValueError(f"{name} is no list")
        return type(default)(_scalar(part, default[0] if default else None, name) for part in value)
    if isinstance(value, dict) and (default is None or hasattr(default, "keys")):
        return {key: _scalar(part, 0.0, name) for key, part in value.items()}
    return _scalar(value, default, name)


def _scalar(value: Any, default: Any, name: str) -> Any:  # Any: None, a number or a text.
    if value is None and default is not None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, bool) or isinstance(default, bool):
        fits = isinstance(value, bool) and (default is None or isinstance(default, bool))
    elif isinstance(value, int):
        usual = abs(default) if isinstance(default, int) else 0
        fits = not isinstance(default, str) and abs(value) <= max(_LARGEST_COUNT, 8 * usual)
    elif isinstance(value, float):
        fits = not isinstance(default, (str, int)) and math.isfinite(value) and abs(value) <= _LARGEST_NUMBER
    elif isinstance(value, str):
        fits = (default is None or isinstance(default, str)) and len(value) <= _LONGEST_TEXT
    else:
        fits = value is None
    if not fits:
        raise ValueError(f"{name} is {str(value)[:40]!r}, which does not belong there")
    return float(value) if isinstance(default, float) else value
