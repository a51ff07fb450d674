"""The kinds of input by name: how each is spoken of, what there is for it, and how one that a program adds is opened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchlurk.errors import OptionError
from torchlurk.input_records import KindName


@dataclass(frozen=True, slots=True)
class InputKind:
    """`like` is how its examples are stored, drawn and spoken of, and whose options and stages it has.

    `opens` makes a source (`torchlurk.inputs.source.Source`) of a path and the options of inputs, and `recognizes` says
    whether a path is of this kind; the package's own kinds have neither. `attributed` is what an attribution explains, and
    `methods` are those that do it by default; `one_model` says whether a model can be asked about single inputs beside its
    study (explain, serve --model).
    """

    like: KindName
    opens: Callable[[Path, Any], Any] | None = None
    recognizes: Callable[[Path], bool] = lambda path: False
    attributed: str = ""
    methods: tuple[str, ...] = ()
    one_model: bool = False


ON_STEPS = ("gradient", "input_x_gradient", "lrp_plus")

CHANNELS_FIRST = "give each picture as (channel, height, width), of one with its channels last picture.permute(2, 0, 1)"
"""What to do with pictures whose channels come last."""

KINDS: dict[str, InputKind] = {
    "pictures": InputKind("pictures", attributed="the images", methods=("deconv", "guided", "gradient"), one_model=True),
    "text": InputKind("text", attributed="the texts", methods=ON_STEPS),
    "series": InputKind("series", attributed="the series", methods=ON_STEPS),
}
"""All kinds; a program may add to them: `KINDS["waves"] = InputKind("series", open_waves, is_wave)`."""

AVAILABLE = "available for text and series: the stages scan and attribute, and show, serve and export of their study"


def check_one_model(what: str, study: str, kind: KindName) -> None:
    """Raises `OptionError` where `what`, which asks a model about an input, is not there for inputs of that kind."""
    if not KINDS[kind].one_model:
        raise OptionError(f"{what} is for pictures; {study} is a study of {kind}", AVAILABLE)


def added_kind(data: object, wanted: str | None) -> str:
    """The kind that a program has added and the data is of: the wanted one, or the first that recognizes it; '' for none."""
    added = {name: one for name, one in KINDS.items() if one.opens is not None}
    if wanted is not None or not isinstance(data, (str, Path)):
        return wanted if wanted in added else ""
    return next((name for name, one in added.items() if one.recognizes(Path(data))), "")


def like(kind: str | None) -> KindName | None:
    """The kind of the package's own that one is like; None for None."""
    return None if kind is None else KINDS[kind].like
