"""What parts of a host its modules play, read off a traced forward pass and not off class names.

*Stage*: a module whose blocks feed one another, the last of them giving the stage's output.
*Block*: a module of several weights that keeps height and width, of a class that occurs repeatedly
or that adds a shortcut, or one that stands in a row with such; it lies in no other block.
*Stage end*: the last block before the number of positions changes. *Residual branch*: what is added
to a shortcut inside a block.
"""

from collections.abc import Iterator
from itertools import groupby, pairwise

from torch import nn

from foveal.surgery.feature import Feature
from foveal.surgery.flow import Tag
from foveal.surgery.hook import Inserted
from foveal.surgery.trace import Call, Trace

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def is_container(module: nn.Module) -> bool:
    """Whether the module does nothing but run, or hold, its children."""
    return isinstance(module, _CONTAINERS)


def blocks(trace: Trace) -> list[Call]:
    """The runs of the blocks, in time order, none of them inside another."""
    stages = _stage_classes(trace)
    found = _block_classes(trace) - stages
    inner = {
        type(below.module)
        for call in _all_calls(trace)
        if type(call.module) in found
        for below in _descendants(call)
    }
    found -= inner  # such as the squeeze-and-excitation of every block

    def is_block(call: Call, row: bool) -> bool:
        cls = type(call.module)
        return cls in found or (row and _composite(call) and cls not in stages | inner)

    def walk(call: Call, row: bool = False) -> Iterator[Call]:
        holds = (type(below.module) in found for below in _descendants(call))
        row = is_container(call.module) and (row or any(holds))
        for child in call.children:
            if is_block(child, row):
                yield child
            else:
                yield from walk(child, row)

    return [call for call in walk(trace.root) if call.output and call.output.positions]


def stage_ends(trace: Trace) -> list[str]:
    """The path of the last module of each stage.

    In a host without blocks, such as VGG, the stages are the runs of layers between poolings.
    """
    units = blocks(trace) or [
        call
        for call in sorted(trace.order, key=trace.order.__getitem__)
        if not call.children and call.output and call.output.layout and call.output.positions != 1
    ]
    runs = [list(run) for _, run in groupby(units, key=_positions)]
    runs = [run for run in runs if any(weights(call.module) for call in run)]
    ends = (_outermost(run, units) if len(runs) > 1 else run[-1] for run in runs)
    return list(dict.fromkeys(call.path for call in ends))


def residual_ends(trace: Trace, path: str) -> list[str]:
    """The modules whose outputs end the residual branches of the block at `path`.

    A block with two branches, as in a transformer, has two; a stage gives those of its last block;
    a module that itself ends a branch gives itself.
    """
    ends: list[str] = []
    for call in trace.calls.get(path, []):
        inner = [
            addition
            for addition in trace.additions
            if addition.clear
            and _within(addition.owner, call)
            and call.output is not None
            and _is_of_shape(addition.shape, call)
        ]
        if not inner:
            continue
        last = inner[-1].owner
        for addition in (a for a in inner if a.owner is last):
            end = _end_of(addition.branch, addition.owner, trace)
            if end is not None:
                ends.append(end.path)
    if not ends and path in residual_branch_ends(trace):
        ends = [path]
    return list(dict.fromkeys(ends))


def residual_branch_ends(trace: Trace) -> set[str]:
    """The modules of the whole host that end a residual branch."""
    ends = (_end_of(a.branch, a.owner, trace) for a in trace.additions if a.clear)
    return {end.path for end in ends if end is not None}


def attention_layers(trace: Trace) -> set[str]:
    """The modules that compute a softmax over pairs, the innermost that has several weights."""
    found = set()
    for call in trace.attending:
        inner: Call | None = call
        while inner is not None and weights(inner.module) < 2:
            inner = inner.parent
        feature = inner.output if inner else None
        if inner is not None and inner.parent is not None and feature and feature.layout:
            found.add(inner.path)
    return found


def weights(module: nn.Module) -> int:
    """How many weights of two or more axes a module has, earlier insertions apart."""
    inside = {p for m in module.modules() if isinstance(m, Inserted) for p in m.parameters()}
    return sum(p.ndim >= 2 and p not in inside for p in module.parameters())


def _positions(call: Call) -> int | None:
    return call.output.positions if call.output else None


def _channels(feature: Feature | None) -> int | None:
    return feature.channels if feature else None


def _keeps_positions(call: Call) -> bool:
    return bool(call.input and call.input.positions and call.input.positions == _positions(call))


def _all_calls(trace: Trace) -> Iterator[Call]:
    for calls in trace.calls.values():
        yield from calls


def _composite(call: Call) -> bool:
    if call.parent is None or not call.children or is_container(call.module):
        return False
    return weights(call.module) >= 2


def _block_classes(trace: Trace) -> set[type[nn.Module]]:
    modules: dict[type[nn.Module], set[str]] = {}
    keeping, adding = set(), set()
    owners = {addition.owner for addition in trace.additions}
    for call in filter(_composite, _all_calls(trace)):
        modules.setdefault(type(call.module), set()).add(call.path)
        if _keeps_positions(call):
            keeping.add(type(call.module))
            if call in owners and _channels(call.input) == _channels(call.output):
                adding.add(type(call.module))
    return {cls for cls in keeping if len(modules[cls]) > 1 or cls in adding}


def _stage_classes(trace: Trace) -> set[type[nn.Module]]:
    adding = {addition.owner for addition in trace.additions}
    found = set()
    for call in filter(_composite, _all_calls(trace)):
        inner = [child for child in _through_containers(call) if _composite(child)]
        chained = any(
            type(a.module) is type(b.module) and a.returned is not None and a.returned is b.taken
            for a, b in pairwise(inner)
        )
        if chained and call not in adding and _hands_on(inner[-1], call):
            found.add(type(call.module))
    return found


def _hands_on(child: Call, call: Call) -> bool:
    """Whether the child's output is the call's, but for a change of layout."""
    a, b = child.output, call.output
    if a is None or b is None:
        return False
    return a.shape[0] == b.shape[0] and (_positions(child), a.channels) == (
        _positions(call),
        b.channels,
    )


def _descendants(call: Call) -> Iterator[Call]:
    for child in call.children:
        yield child
        yield from _descendants(child)


def _through_containers(call: Call) -> Iterator[Call]:
    for child in call.children:
        if is_container(child.module):
            yield from _through_containers(child)
        else:
            yield child


def _outermost(run: list[Call], units: list[Call]) -> Call:
    """The module that hands on the result of a run of blocks, where it is not the last block's own:
    a dense block joins the outputs of its layers."""
    end = run[-1]
    ancestor = end.parent
    while ancestor is not None and ancestor.parent is not None:
        inside = [unit for unit in units if _within(unit, ancestor)]
        if any(unit not in run for unit in inside) or _positions(ancestor) != _positions(end):
            break
        if ancestor.returned is not end.returned:
            end = ancestor
        ancestor = ancestor.parent
    return end


def _within(call: Call, ancestor: Call) -> bool:
    inner: Call | None = call
    while inner is not None:
        if inner is ancestor:
            return True
        inner = inner.parent
    return False


def _is_of_shape(shape: tuple[int, ...], call: Call) -> bool:
    """Whether a sum can be the block's result: as many channels and positions, in any layout."""
    assert call.output is not None
    return sorted(shape) == sorted(call.output.shape) or (
        call.output.layout is not None and call.output.channels in shape
    )


def _end_of(branch: Tag, owner: Call, trace: Trace) -> Call | None:
    """The module of the owner whose output the branch is; before a scale, if the scale is no
    module. A child of the owner is preferred to what lies deeper."""
    tag: Tag | None = branch
    while tag is not None:
        found = _best(tag.made_by, owner, trace)
        if found is not None:
            return found
        tag = tag.source
    return _best(branch.passed_by, owner, trace)


def _best(calls: list[Call], owner: Call, trace: Trace) -> Call | None:
    runs = len(trace.calls[owner.path])
    usable = [
        call
        for call in calls
        if call is not owner
        and _within(call, owner)
        and call.output is not None
        and call.output.layout is not None
        and len(trace.calls[call.path]) == runs  # else it also runs outside the branch
    ]
    return min(usable, key=_depth, default=None)


def _depth(call: Call) -> int:
    depth = 0
    parent = call.parent
    while parent is not None:
        depth, parent = depth + 1, parent.parent
    return depth
