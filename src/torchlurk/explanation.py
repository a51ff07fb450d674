"""`explain`: one image through a network, as a document, a tree and a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import Image
from torch import Tensor, nn

from torchlurk.anatomy import Prediction, Response, TreeNode, UnitPath
from torchlurk.errors import ModelError, OptionError, UnitError
from torchlurk.files import write_whole
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.hierarchy.tree_builder import grow
from torchlurk.model_session import ModelSession, told_preprocessing
from torchlurk.models.loading.load import check_no_weights
from torchlurk.models.survey.expected_input import check_takes_pictures
from torchlurk.models.taps.invocation import FurtherInputs
from torchlurk.option_values import as_declared, as_position, shown
from torchlurk.options import ExplainOptions, InputOptions, ScanOptions, fitting
from torchlurk.records import MethodCheck
from torchlurk.rendering.labels import checked, number, off, percent
from torchlurk.rendering.labels import prediction as said
from torchlurk.rendering.tree import draw_tree, mean_of
from torchlurk.resources import image_page
from torchlurk.store.given import reader_of
from torchlurk.units import Unit

SVG = (".svg",)
"""How the name of a drawing ends."""

BATCH_AXES = 4
"""Of several images: image, channel, height and width."""

Shown = Shaped[Tensor, "..."] | Shaped[np.ndarray, "..."] | Image.Image | str | Path
"""An image, as the items of data sets are read: floats as the model takes them, bytes as a picture is prepared, a picture, or
the file of one.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Hierarchy:
    """One image in a network, or the mean over several: what it says, which units stand out in each layer, and the tree
    beneath one of them.

    `image` is what the network saw, the mean of `images` many; `exemplars` what the tree's units usually respond to, where a
    study tells. A notebook draws it by itself.
    """

    model: str
    image: UInt8[np.ndarray, "height width channel"]
    predictions: tuple[Prediction, ...]
    strongest: Mapping[str, tuple[Response, ...]]
    root: TreeNode
    exemplars: Mapping[Unit, Sequence[Image.Image]]
    images: int = 1
    check: MethodCheck | None = None
    """Of the pictures' method on the layer of the root, with random weights, where a study has it."""

    @property
    def warning(self) -> str:
        """Why the pictures are not to be trusted, as far as a study tells; '' where it tells nothing against them."""
        marked = self.check is not None and self.check.marked
        return f"{self.check.method} {checked(self.check, 'image')}" if self.check is not None and marked else ""

    def svg(self) -> str:
        """The tree as an SVG document that needs no other file."""
        return draw_tree(
            self.root,
            self.image,
            self.predictions,
            lambda unit: self.exemplars.get(unit, ()),
            images=self.images,
            warning=self.warning,
        )

    @as_declared
    def save(self, path: str | Path) -> None:
        """Writes the SVG document. Raises `OptionError` for a folder or a name that does not end in .svg, `StorageError`
        where it cannot be written; what was there stays then.
        """
        write_whole(Path(path), self.svg().encode(), SVG)

    def to_json(self) -> dict[str, Any]:
        """The document that `torchlurk explain --json` prints."""
        return {
            "model": self.model,
            "predictions": image_page.predictions(self.predictions),
            "method": self.root.picture.method,
            "check": None if self.check is None else {"similarity": self.check.similarity, "marked": self.check.marked},
            "layers": [{"layer": name, "strongest": image_page.responses(found)} for name, found in self.strongest.items()],
            "tree": image_page.tree(self.root),
        }

    def to_text(self) -> str:
        """The tree, a line a node."""
        lines = [mean_of(self.images)] if self.images > 1 else []
        lines += [f"{one.label}  {said(one)}" for one in self.predictions]
        for node in self.root.nodes():
            given = node.contribution
            share = "" if given is None else f"  {'+' if given.share > 0 else ''}{percent(given.share)}"
            skip = "  over a skip" if given is not None and given.bypasses else ""
            indent = "  " * (len(node.branch.units) - 1)
            state = off(node) if node.off else f"activation {number(node.activation)}"
            lines.append(f"{indent}{node.branch.last}{share}{skip}  {state}")
        lines += [self.warning] if self.warning else []
        return "\n".join(lines)

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        return f"<Hierarchy of {self.root.branch.root} in {self.model}: {len(self.root.nodes())} nodes>"


@as_declared
def explain(
    model: nn.Module | str,
    image: Shown | Sequence[Shown],
    unit: Unit | str | None = None,
    *,
    study: Any = None,
    weights: str | Path | None = None,
    method: str | None = None,
    children: int = 4,
    depth: int = 3,
    strongest: int = 6,
    layers: Sequence[str] = (),
    position: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    class_names: str | Path | None = None,
    device: str = "auto",
    constants: Mapping[str, Any] | None = None,
    further_inputs: FurtherInputs | None = None,
) -> Hierarchy:
    """What one image does in the model, and the tree beneath `unit` at its strongest position there, or at `position`.

    Without a unit it is the class that is predicted. `model` is any module (left as found), or a MODEL as on the command
    line, with `weights`; `image` a float tensor or array as the model takes it, one of uint8, a picture, or a file's path,
    which are prepared as the study's data were; of several, or of a batch, everything is the mean. A `study` (opened, or its
    path) made with that model adds what units usually respond to; `mean` and `std` say how a tensor was normalized, where no
    study does, so that it can be shown. `constants` and `further_inputs` are what the forward is given beside it, by the names
    of its parameters: values as they are, and batches with a row for each image, or one for all. The other arguments are
    those of `torchlurk explain`. Raises a `TorchlurkError` that says what to do.
    """
    named = None if unit is None else Unit.of(unit)
    asked = {"unit": named, "method": method, "children": children, "depth": depth, "strongest": strongest}
    options = ExplainOptions(**{name: fitting(ExplainOptions, name, value) for name, value in asked.items()})
    normalized = InputOptions(mean=fitting(InputOptions, "mean", mean), std=fitting(InputOptions, "std", std))
    place = as_position(position)
    if place is not None and named is None:
        raise OptionError(f"position is {shown(position)}, and no unit is given", "give both")
    reader, opened = reader_of(study)
    try:
        if reader is not None and (normalized.mean or normalized.std):
            raise OptionError("mean or std is given, and the study says how its pictures are normalized", "leave them out")
        told: dict[str, Any] = {
            "study": reader,
            "class_names": class_names,
            "layers": fitting(ScanOptions, "layers", layers),
            "device": device,
        }
        told |= {"constants": constants, "further_inputs": further_inputs}
        if isinstance(model, str):
            bench = ModelSession.load(model, weights, normalized=normalized, **told)
        else:
            check_no_weights(weights)
            bench = ModelSession(model, preprocessing=told_preprocessing(normalized, None), **told)
        return explain_on(bench, image, options, place)
    finally:
        if opened and reader is not None:
            reader.close()


def explain_on(
    bench: ModelSession,
    image: Shown | Sequence[Shown],
    options: ExplainOptions,
    position: tuple[int, ...] | None = None,
) -> Hierarchy:
    """The same on a model that is ready."""
    several: Sequence[Any] = image if isinstance(image, (list, tuple)) else [image]
    if not several:
        raise OptionError("no image was given", "give one image, or several to show their mean")
    inputs = torch.cat([_inputs(bench, one) for one in several])
    try:
        inspector = bench.inspect(inputs)
    except ModelError as error:
        check_takes_pictures(bench.module, "explain", error)
        raise
    root = _root(inspector, options.unit, position)
    checks = bench.checks(root.root.layer)
    method = options.method or _usual_method(checks)
    tree = grow(inspector, root, children=options.children, depth=options.depth, method=method)
    units = dict.fromkeys(node.branch.last for node in tree.nodes())
    return Hierarchy(
        model=bench.name,
        image=bench.shown(inputs),
        predictions=inspector.predictions(),
        strongest={layer: inspector.strongest(layer, options.strongest) for layer in inspector.layers},
        root=tree,
        exemplars={unit: found for unit in units if (found := bench.exemplars(unit))},
        images=len(inputs),
        check=checks.get(method),
    )


USUAL_METHODS = ("guided", "gradient", "deconv", "lrp")
"""The plainest pictures first."""


def _usual_method(checks: Mapping[str, MethodCheck]) -> str:
    """The first whose pictures of the layer are not known to show the image more than the unit; the plainest if all are."""
    passing = [one for one in USUAL_METHODS if one not in checks or not checks[one].marked]
    return (passing or USUAL_METHODS)[0]


def _root(inspector: Inspector, unit: str | None, position: tuple[int, ...] | None) -> UnitPath:
    """The branch that begins with the unit; without one, with the unit of the class that is predicted."""
    if unit is not None:
        return inspector.branch(unit, position)
    predicted = inspector.predictions(1)
    named = inspector.class_unit(predicted[0].index) if predicted else None
    if named is not None:
        return inspector.branch(named)
    last = list(inspector.layers.values())[-1]
    found = inspector.strongest(last.name, 1)
    if not found:
        raise UnitError(f"no unit of the last layer '{last.name}' is above zero", "name a unit")
    return inspector.branch(found[0].unit, position)


def _inputs(bench: ModelSession, image: Shown) -> Float[Tensor, "image channel height width"]:
    if isinstance(image, (str, Path, Image.Image)):
        return bench.inputs(bench.pixels(image))
    if not isinstance(image, (Tensor, np.ndarray)):
        raise OptionError(f"the image is {shown(image)}", "give a tensor, an array, a picture of Pillow or the path of a file")
    if isinstance(image, np.ndarray) or image.dtype == torch.uint8:
        check_takes_pictures(bench.module, "explain")
        return torch.cat([bench.prepared(one) for one in (image if image.ndim == BATCH_AXES and len(image) else [image])])
    batch = image if image.ndim == BATCH_AXES else image[None]
    if batch.ndim != BATCH_AXES or not len(batch):
        check_takes_pictures(bench.module, "explain")
        raise OptionError(
            f"the image has the shape {tuple(image.shape)}", "give channel height width, or a batch of such images"
        )
    bench.suit(batch.shape[1])
    return batch.to(bench.device)


def document(found: Hierarchy) -> str:
    """The JSON text of it."""
    return json.dumps(found.to_json(), indent=1, ensure_ascii=False)
