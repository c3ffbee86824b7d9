"""YAML into dataclasses, with the line in every error."""

import types
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from foveal.core.errors import FovealError, did_you_mean, require

T = TypeVar("T")


class FieldError(FovealError):
    """A value of a configuration that breaks a rule; `field` is the key it stands under."""

    def __init__(self, field: str, message: str):
        super().__init__(message)
        self.field = field


def from_yaml(text: str, cls: type[T], file: str) -> T:
    """Build a dataclass from YAML.

    Keys are the fields' names, values are checked against their annotations, and rules of a class
    itself (a `FieldError` from `__post_init__`) are told with the line of the value.

    Raises:
        FovealError: `FILE:LINE: what is wrong`.
    """
    yaml = require("yaml", "cli")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise FovealError(f"{file}: the file is empty; a study has at least name and variants")
        return _Reader(yaml, loader, file).build(node, cls, cls.__name__)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise FovealError(f"{file}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    finally:
        loader.dispose()


def plain_content(text: str) -> Any:
    """What a YAML holds, as plain data; None for what is no YAML, which `from_yaml` then says."""
    yaml = require("yaml", "cli")
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None


class _Reader:
    def __init__(self, yaml: Any, loader: Any, file: str):
        self.yaml, self.loader, self.file = yaml, loader, file

    def fail(self, node: Any, message: str) -> FovealError:
        return FovealError(f"{self.file}:{node.start_mark.line + 1}: {message}")

    def build(self, node: Any, cls: type, where: str) -> Any:
        """A dataclass from a mapping."""
        if not isinstance(node, self.yaml.MappingNode):
            raise self.fail(node, f"{where} must be keys with values, such as key: value")
        known = {f.name: f for f in fields(cls)}
        hints = get_type_hints(cls)
        nodes: dict[str, Any] = {}
        values: dict[str, Any] = {}
        for key, value in node.value:
            name = key.value if isinstance(key, self.yaml.ScalarNode) else None
            if name not in known:
                near = did_you_mean(str(name), known)
                listed = f" The keys here: {', '.join(known)}" * near.startswith(".")
                raise self.fail(key, f"there is no key {name!r}{near}{listed}")
            if name in nodes:
                raise self.fail(key, f"the key {name!r} stands twice")
            nodes[name] = value
            values[name] = self.value(value, hints[name], name)
        for name, f in known.items():
            if name not in values and f.default is MISSING and f.default_factory is MISSING:
                raise self.fail(node, f"the key {name!r} is missing")
        try:
            return cls(**values)
        except FieldError as error:
            raise self.fail(nodes.get(error.field, node), str(error)) from error

    def value(self, node: Any, hint: Any, name: str) -> Any:
        """A value of an annotated type."""
        origin, arguments = get_origin(hint), get_args(hint)
        if origin in (Union, types.UnionType):
            return self.one_of(node, arguments, name)
        if is_dataclass(hint):
            return self.build(node, hint, name)  # pyright: ignore[reportArgumentType]
        if origin is list:
            if not isinstance(node, self.yaml.SequenceNode):
                raise self.fail(node, f"{name} must be a list")
            return [self.value(item, arguments[0], name) for item in node.value]
        try:
            plain = self.loader.construct_object(node, deep=True)
        except (self.yaml.YAMLError, ValueError, TypeError) as error:
            raise self.fail(node, f"{name} cannot be read: {error}") from error
        if origin is dict:
            if not isinstance(plain, dict) or not all(isinstance(k, str) for k in plain):
                raise self.fail(node, f"{name} must be keys with values")
            return plain
        if hint is float and isinstance(plain, int | str) and not isinstance(plain, bool):
            try:
                return float(plain)  # YAML 1.1 reads 1e-3 as text
            except ValueError:
                pass
        if type(plain) is not hint:
            raise self.fail(node, f"{name}={_shown(plain)} must be {_words(hint)}")
        return plain

    def one_of(self, node: Any, hints: tuple[Any, ...], name: str) -> Any:
        if type(None) in hints and node.tag == "tag:yaml.org,2002:null":
            return None
        hints = tuple(h for h in hints if h is not type(None))
        listed = isinstance(node, self.yaml.SequenceNode)
        fitting = [h for h in hints if (get_origin(h) is list) == listed]
        if not fitting:
            raise self.fail(node, f"{name} must be {' or '.join(map(_words, hints))}")
        return self.value(node, fitting[0], name)


def _words(hint: Any) -> str:
    plain = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    return plain.get(hint, "a list" if get_origin(hint) is list else str(hint))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
