"""One forward pass of a host, written down: which modules run, what they take and return."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from foveal.core.errors import FovealError
from foveal.surgery.example import check_host, default_example, placed, run_example, undisturbed
from foveal.surgery.feature import Feature, feature_of, first_tensor
from foveal.surgery.flow import Addition, Flow, Tag, set_tag, tag_of, tensors_in
from foveal.surgery.hook import Inserted


@dataclass(eq=False)
class Call:
    """One run of one module."""

    path: str
    module: nn.Module
    parent: Call | None
    children: list[Call] = field(default_factory=list)
    input: Feature | None = None
    inputs: list[Feature] = field(default_factory=list)
    """Every tensor that the module was given, in order."""
    output: Feature | None = None
    taken: Tag | None = None
    returned: Tag | None = None
    kind: str = "none"
    """What the module returned: tensor, tuple, mapping or none."""
    others: tuple[str, ...] = ()
    """Further tensors that the module was given, such as a mask, by name or position."""
    simple: bool = False
    """One tensor in, one tensor out, nothing else given."""


@dataclass
class Trace:
    """What one forward pass showed."""

    root: Call
    calls: dict[str, list[Call]]
    """The runs of each module, by its first path."""
    order: dict[Call, int]
    """When each call ended."""
    paths: dict[str, str]
    """Every path of a module to its first one; a module shared between parents has several."""
    additions: list[Addition]
    attending: set[Call]
    image: tuple[int, int] | None
    """Height and width of the example, if it is a picture."""
    example: Any


def trace(model: nn.Module, example_input: Any = None) -> Trace:
    """Run the model once in evaluation and write down what its modules did.

    Raises:
        FovealError: if the model takes no new modules (compiled, scripted, wrapped for several
            processes), or if its forward pass fails on the example.
    """
    check_host(model)
    example = placed(model, default_example(model) if example_input is None else example_input)
    recorder = _Recorder(model)
    with undisturbed(model):
        copy = placed(model, example)
        image = _mark(copy)
        recorder.batch = image.shape[0] if image is not None else None
        try:
            with recorder.flow:
                run_example(model, copy)
        except Exception as error:
            shapes = ", ".join(str(tuple(t.shape)) for t in tensors_in(example)) or "no tensor"
            raise FovealError(
                f"the forward pass fails on an example of shape {shapes}: {_short(error)}; "
                "give what the model takes as example_input="
            ) from error
        finally:
            recorder.detach()
    assert recorder.root is not None
    return Trace(
        root=recorder.root,
        calls=recorder.calls,
        order=recorder.order,
        paths=recorder.paths,
        additions=recorder.flow.additions,
        attending=set(recorder.flow.attending),
        image=(image.shape[2], image.shape[3]) if image is not None and image.ndim == 4 else None,
        example=example,
    )


class _Recorder:
    """Hooks on every module for the length of one forward pass."""

    def __init__(self, model: nn.Module):
        self.flow = Flow()
        self.batch: int | None = None
        self.root: Call | None = None
        self.calls: dict[str, list[Call]] = {}
        self.order: dict[Call, int] = {}
        self.paths: dict[str, str] = {}
        self.names: dict[nn.Module, str] = {}
        self.handles = []
        ours: set[nn.Module] = set()
        for path, module in model.named_modules(remove_duplicate=False):
            self.paths[path] = self.names.setdefault(module, path)
            if isinstance(module, Inserted):
                ours.update(module.modules())
        for module in self.names:
            if isinstance(module, torch.jit.ScriptModule):
                continue
            if isinstance(module, Inserted):
                self._hook(module, self._mute, self._unmute)
            elif module not in ours:
                self._hook(module, self._enter, self._leave)

    def _hook(self, module: nn.Module, before: Any, after: Any) -> None:
        self.handles += [
            module.register_forward_pre_hook(before, with_kwargs=True),
            module.register_forward_hook(after, with_kwargs=True),
        ]

    def detach(self) -> None:
        for handle in self.handles:
            handle.remove()

    def _mute(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        self.flow.muted += 1

    def _unmute(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        self.flow.muted -= 1

    def _enter(self, module: nn.Module, args: tuple, kwargs: dict) -> None:
        parent = self.flow.stack[-1] if self.flow.stack else None
        call = Call(self.names[module], module, parent)
        given = first_tensor((args, kwargs))
        if given is not None:
            call.taken = tag_of(given)
            call.inputs = [self._feature(tensor) for tensor in tensors_in((args, kwargs))]
            call.input = call.inputs[0]
            call.others = tuple(
                str(name)
                for name, value in [*enumerate(args), *kwargs.items()]
                if any(t is not given for t in tensors_in(value))
            )
            call.simple = len(args) == 1 and args[0] is given and not kwargs
        if parent is None:
            self.root = self.root or call
        else:
            parent.children.append(call)
        self.calls.setdefault(call.path, []).append(call)
        self.flow.stack.append(call)

    def _leave(self, module: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        call = self.flow.stack.pop()
        self.order[call] = len(self.order)
        tensor = first_tensor(output)
        if tensor is None:
            return
        call.kind = _kind(output)
        call.simple = call.simple and call.kind == "tensor"
        call.output = self._feature(tensor)
        call.returned = tag = tag_of(tensor)
        if tag is not None:
            passed = tensor is first_tensor((args, kwargs)) and tag is call.taken
            (tag.passed_by if passed else tag.made_by).append(call)

    def _feature(self, tensor: Tensor) -> Feature:
        prefix = next(
            (
                count
                for call in self.flow.stack
                if isinstance(count := getattr(call.module, "num_prefix_tokens", None), int)
            ),
            None,
        )
        return feature_of(tensor, self.batch, reversed(self.flow.sizes), prefix)


def _mark(example: Any) -> Tensor | None:
    """Tag the tensors of the input; the first one is the picture."""
    first = None
    for tensor in tensors_in(example):
        set_tag(tensor, Tag(0, 1 if tensor.ndim == 4 else None, tensor._version))
        first = tensor if first is None else first
    return first


def _kind(output: Any) -> str:
    if isinstance(output, Tensor):
        return "tensor"
    if isinstance(output, tuple | list):
        alone = all(item is None for item in output[1:]) and isinstance(output[0], Tensor)
        return f"tuple of {len(output)}, one tensor" if alone else "tuple"
    return "mapping"


def _short(error: Exception) -> str:
    """The first line of an error's message, with its type."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
