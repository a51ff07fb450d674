"""How each kind of input is spoken of, and what there is for it: messages and hints ask here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torchlurk.errors import OptionError
from torchlurk.input_records import KindName


@dataclass(frozen=True, slots=True)
class InputWords:
    """`attributed` is what an attribution explains, '' where there are none; `one_model` says whether a model can
    be asked about single inputs beside its study (explain, serve --model).
    """

    attributed: str = ""
    one_model: bool = False


WORDS: Mapping[KindName, InputWords] = {
    "pictures": InputWords("the images", one_model=True),
    "text": InputWords(),
    "series": InputWords(),
}

AVAILABLE = "available for text and series: the scan, and show, serve and export of its study"


def check_one_model(what: str, study: str, kind: KindName) -> None:
    """Raises `OptionError` where `what`, which asks a model about an input, is not there for inputs of that kind."""
    if not WORDS[kind].one_model:
        raise OptionError(f"{what} is for pictures; {study} is a study of {kind}", AVAILABLE)
