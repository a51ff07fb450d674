"""`torchlurk explain STUDY IMAGE --model MODEL`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from torchlurk.cli.early import check_named
from torchlurk.cli.flags import collect, flags
from torchlurk.errors import DataError, OptionError
from torchlurk.files import check_name
from torchlurk.options import ExplainOptions


@click.command("explain")
@click.argument("study", type=click.Path(path_type=Path))
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.option("--class", "of_class", metavar="NAME", help="Instead of IMAGE: the mean over examples of this class.")
@click.option("--model", required=True, metavar="MODEL", help="The model that the study was made with.")
@click.option("--weights", metavar="FILE", help="Its weights, as for `torchlurk analyze`.")
@flags(ExplainOptions)
@click.option("--class-names", metavar="FILE", help="JSON or text file with a name for each of the model's outputs.")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")
@click.option("--out", type=click.Path(path_type=Path), metavar="TREE.svg", help="Draw the tree.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(
    study: Path,
    image: Path | None,
    of_class: str | None,
    model: str,
    weights: str | None,
    class_names: str | None,
    device: str,
    out: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Show which units drove a unit in one IMAGE, or on average over a class, as a tree with the share of each.

    MODEL must be the one that STUDY was made with. The shares of all units that feed a unit add up to 100 %.
    """
    options = collect(ExplainOptions, given)
    if (image is None) == (of_class is None):
        raise OptionError("give either an IMAGE or a --class", "torchlurk explain STUDY photo.jpg --model MODEL")
    if out:
        check_name(out, (".svg",))
    check_named(model, weights)
    if image is not None and not image.exists():
        raise DataError(f"there is no image '{image}'", "check its path")
    from torchlurk.explanation import document, explain_on
    from torchlurk.model_session import ModelSession
    from torchlurk.rendering.labels import prediction
    from torchlurk.rendering.tree import mean_of
    from torchlurk.store.reading import Reader

    with Reader(study) as reader:
        bench = ModelSession.load(model, weights, study=reader, class_names=class_names, device=device)
        shown = image if image is not None else [bench.inputs(one)[0] for one in bench.examples_of(of_class or "")]
        found = explain_on(bench, shown, options)
    if out:
        found.save(out)
        if not as_json:
            said = "; ".join(f"{one.label} {prediction(one)}" for one in found.predictions)
            where = f"in {mean_of(found.images)}, " if found.images > 1 else ""
            click.echo(f"wrote {out}: the tree beneath {found.root.branch.root}, {where}where the network says {said}")
    if as_json:
        click.echo(document(found))
    elif not out:
        click.echo(found.to_text())
