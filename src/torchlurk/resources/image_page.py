"""What is found of one image, as JSON documents; undefined numbers are null, pictures and maps are not in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torchlurk.anatomy import Contribution, Effect, Feed, Makeup, Prediction, Response, TreeNode, UnitPath, Use
from torchlurk.resources.documents import number
from torchlurk.store import queries
from torchlurk.store.reading import Reader


def gallery(reader: Reader, examples: Sequence[int]) -> list[dict[str, Any]]:
    """Examples with their pictures' places in the tree of resources."""
    files = queries.picture_files(reader, examples)
    return [
        {"example": one.index, "path": one.path, "class": one.class_index, "picture": f"pictures/{files[one.index]}"}
        for one in reader.examples(examples)
    ]


def predictions(found: Iterable[Prediction]) -> list[dict[str, Any]]:
    """Outputs, highest first."""
    return [prediction(one) for one in found]


def prediction(found: Prediction) -> dict[str, Any]:
    """One output."""
    return {
        "index": found.index,
        "label": found.label,
        "output": number(found.output),
        "probability": number(found.probability),
        "kind": found.kind,
    }


def responses(found: Iterable[Response]) -> list[dict[str, Any]]:
    """The units of a layer that stand out, most outstanding first."""
    return [
        {
            "unit": str(one.unit),
            "activation": number(one.activation),
            "position": list(one.position),
            "box": _list(one.box),
            "percentile": number(one.percentile),
            "standing": number(one.standing),
        }
        for one in found
    ]


def branch(found: UnitPath) -> dict[str, Any]:
    """A way down, as it is asked for and as it is answered."""
    return {"units": [str(unit) for unit in found.units], "position": _list(found.position)}


def makeup(found: Makeup) -> dict[str, Any]:
    """What a node is made of."""
    return {
        **branch(found.branch),
        "value": number(found.value),
        "rest": number(found.rest),
        "children": [contribution(one) for one in found.strongest],
        "feeds": [_feed(one) for one in found.feeds],
    }


def contribution(found: Contribution) -> dict[str, Any]:
    """What one unit gives to another."""
    return {
        "unit": str(found.unit),
        "contribution": number(found.contribution),
        "share": number(found.share),
        "bypasses": found.bypasses,
        "activation": number(found.activation),
        "position": _list(found.position),
        "box": _list(found.box),
    }


def uses(found: Mapping[str, Sequence[Use]]) -> dict[str, Any]:
    """The units that a unit feeds, by layer."""
    return {
        layer: [
            {
                "unit": str(one.unit),
                "contribution": number(one.contribution),
                "activation": number(one.activation),
                "position": list(one.position),
                "box": _list(one.box),
            }
            for one in users
        ]
        for layer, users in found.items()
    }


def effect(found: Effect) -> dict[str, Any]:
    """What changes did."""
    return {
        "before": [number(one) for one in found.before],
        "after": [number(one) for one in found.after],
        "predictions": {"before": predictions(found.predictions_before), "after": predictions(found.predictions_after)},
    }


def tree(found: TreeNode) -> dict[str, Any]:
    """A node and all below it."""
    given = found.contribution
    return {
        "unit": str(found.branch.last),
        "activation": number(found.activation),
        "position": _list(found.position),
        "box": _list(found.box),
        "contribution": None if given is None else number(given.contribution),
        "share": None if given is None else number(given.share),
        "bypasses": given is not None and given.bypasses,
        "picture_box": list(found.picture.box),
        "makeup": makeup(found.makeup),
        "children": [tree(one) for one in found.children],
    }


def _feed(found: Feed) -> dict[str, Any]:
    return {
        "layer": found.layer,
        "units": found.count,
        "contribution": number(found.contribution),
        "share": number(found.share),
        "bypasses": found.bypasses,
    }


def _list(found: Sequence[int] | None) -> list[int] | None:
    return None if found is None else list(found)
