"""The tree beneath a unit, grown level by level: all nodes of a level in one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torchlurk.anatomy import INPUT, Contribution, TreeNode, UnitPath
from torchlurk.hierarchy.inspector import Inspector


def most_children(of_root: int, level: int) -> int:
    """How many children a node has at most: half as many at each level further down, and never none."""
    return max(1, of_root >> level)


def grow(inspector: Inspector, root: UnitPath, *, children: int, depth: int, method: str) -> TreeNode:
    """The root with its strongest children, theirs, and so on, `depth` levels down or to the first layer.

    `children` are as `most_children` has them; the network's input is none. Pictures are by `method`; which nodes there are
    does not depend on it.
    """
    made = nodes(inspector, [root], {}, children, method)
    levels = [made]
    for level in range(1, depth + 1):
        wanted = [
            (node.branch.to(one.unit), one)
            for node in levels[-1]
            for one in node.makeup.strongest[: most_children(children, level - 1)]
            if one.unit.layer != INPUT
        ]
        if not wanted:
            break
        levels.append(nodes(inspector, [branch for branch, _ in wanted], dict(wanted), most_children(children, level), method))
    below: list[TreeNode] = []
    for made in reversed(levels):
        below = [
            replace(node, children=tuple(one for one in below if one.branch.units[:-1] == node.branch.units)) for node in made
        ]
    return below[0]


def nodes(
    inspector: Inspector,
    branches: Sequence[UnitPath],
    contributions: Mapping[UnitPath, Contribution],
    children: int,
    method: str,
) -> list[TreeNode]:
    """One node, without its children, for each branch; `contributions` says what each gives to its parent, if it has one."""
    makeups = inspector.makeups(branches, most=children)
    pictures = inspector.pictures(branches, method=method)
    found = []
    for branch, makeup, picture in zip(branches, makeups, pictures, strict=True):
        contribution = contributions.get(branch)
        position = branch.position if contribution is None else contribution.position
        found.append(
            TreeNode(
                branch=branch,
                activation=inspector.activation(branch.last, position),
                position=position,
                box=None if position is None else inspector.box(branch.last, position),
                contribution=contribution,
                makeup=makeup,
                picture=picture,
            )
        )
    return found
