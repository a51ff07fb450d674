"""The stages of an analysis: each is declared once, in `STAGES`, and everything that speaks of stages asks here.

Its flags, its keywords of `analyze`, the checks of its options, what may not change between two runs, the tables that hold its
results and what of them is drawn follow from the entry. A program adds a stage before it analyzes:
`STAGES["ablate"] = DeclaredStage("what deleting a unit changes", AblateOptions, AblateStage)`. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from torchlurk.errors import OptionError, nearest
from torchlurk.input_records import KindName
from torchlurk.input_words import AVAILABLE
from torchlurk.options import (
    AttributeOptions,
    ComputeOptions,
    InputOptions,
    ScanOptions,
    SynthesizeOptions,
    UnitOptions,
    fitting,
    stored,
)
from torchlurk.tables import loaded


@dataclass(frozen=True, slots=True)
class DeclaredStage:
    """`does` finishes the sentence "it finds ...". `options` is a dataclass of its options (`torchlurk.options.option`).

    `made_by` makes the stage of a `Task` (`torchlurk.stages.stage`), or says where that is: `module:name`. `kinds` are the
    kinds of input that have it. `tables` hold its results and what is made from them, each before those it refers to; what a
    stage from outside finds of units goes to `finding` (`Writer.write_finding`). `pictures` is the table of what it makes of
    units, one row or more each. `alike` names the options that all parts of the work must share (None: all of them), and
    `merged_by`, given a writer, a reader and the stage's name, adds to one study what a part made.
    """

    does: str
    options: type
    made_by: str | Callable[[Any], Any]
    kinds: tuple[KindName, ...] = ("pictures",)
    tables: tuple[str, ...] = ()
    pictures: str | None = None
    alike: tuple[str, ...] | None = None
    merged_by: str | Callable[[Any, Any, str], None] = "torchlurk.store.merging:take_findings"

    def make(self, task: Any) -> Any:
        """The stage for a task."""
        made_by = loaded(self.made_by) if isinstance(self.made_by, str) else self.made_by
        return made_by(task)

    def merge(self, writer: Any, reader: Any, name: str) -> None:
        """Adds what a part made."""
        merged_by = loaded(self.merged_by) if isinstance(self.merged_by, str) else self.merged_by
        merged_by(writer, reader, name)

    def asked_alike(self, options: Any) -> dict[str, Any]:
        """What of the stage's options all parts of the work must share."""
        return {name: value for name, value in stored(options).items() if self.alike is None or name in self.alike}


ATTRIBUTED = ("attribution", "step_attribution", "last_steps", "method_check", "effective_field")

STAGES: dict[str, DeclaredStage] = {
    "scan": DeclaredStage(
        "what every unit responds to, in one pass over the data",
        ScanOptions,
        "torchlurk.stages.scan:ScanStage",
        kinds=("pictures", "text", "series"),
        tables=(
            "finding",
            *ATTRIBUTED,
            "synthesis",
            "example_picture",
            "sequence",
            "prediction",
            "token_ranking",
            "token",
            "example_tokens",
            "kept_steps",
            "kept_layer",
            "track_score",
            "track",
            "picture",
            "trace",
            "exemplar",
            "response",
            "class_profile",
            "unit_statistic",
            "unit",
            "provisional",
            "kernel",
            "input_statistics",
            "sample",
        ),
        alike=(),
    ),
    "attribute": DeclaredStage(
        "what in the exemplars excited each unit",
        AttributeOptions,
        "torchlurk.stages.attribute:AttributeStage",
        kinds=("pictures", "text", "series"),
        tables=ATTRIBUTED,
        pictures="attribution",
        alike=("methods", "exemplars"),
        merged_by="torchlurk.store.merging:take_attributions",
    ),
    "synthesize": DeclaredStage(
        "pictures that excite each unit more than the data do",
        SynthesizeOptions,
        "torchlurk.stages.synthesize:SynthesizeStage",
        tables=("synthesis",),
        pictures="synthesis",
        alike=("presets",),
        merged_by="torchlurk.store.merging:take_syntheses",
    ),
}
"""All stages by name, in the order in which they run and are listed."""

BUILT_IN = frozenset(STAGES)

USUAL_STAGES = ("scan",)
"""What runs where no stage is named: one pass over the data. The others add to it (docs/decisions/the-usual-stages.md)."""


def check_stage_names(stages: Sequence[str]) -> None:
    """Raises `OptionError` for a name that is no stage's."""
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown or not stages:
        told = f"--stages names '{', '.join(unknown)}'{nearest(unknown[0], STAGES)}" if unknown else "--stages names no stage"
        raise OptionError(told, f"available: {', '.join(STAGES)}")


def check_stages(stages: Sequence[str], kind: KindName) -> None:
    """Raises `OptionError` for a name that is no stage's, or one that inputs of that kind do not have."""
    check_stage_names(stages)
    lacking = [stage for stage in stages if kind not in STAGES[stage].kinds]
    if lacking:
        kinds = " and ".join(dict.fromkeys(kind for stage in lacking for kind in STAGES[stage].kinds))
        have = [stage for stage, declared in STAGES.items() if kind in declared.kinds]
        hint = AVAILABLE if have == ["scan"] else f"available for {kind}: {', '.join(have)}"
        raise OptionError(f"--stages {','.join(lacking)} is for {kinds}; DATA is {kind}", hint)


def option_classes() -> tuple[type, ...]:
    """The classes of all options of an analysis, in the order in which flags are listed."""
    scan, *others = dict.fromkeys(declared.options for declared in STAGES.values())
    classes = (scan, UnitOptions, *others, InputOptions, ComputeOptions)
    homes: dict[str, type] = {}
    for options in classes:
        for one in fields(options):
            if homes.setdefault(one.name, options) is not options:
                raise ValueError(f"'{one.name}' is an option of {homes[one.name].__name__} and of {options.__name__}")
    return classes


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was asked for, but for the model and the data; `added` are the options of stages from outside."""

    inputs: InputOptions = field(default_factory=InputOptions)
    scan: ScanOptions = field(default_factory=ScanOptions)
    units: UnitOptions = field(default_factory=UnitOptions)
    attribute: AttributeOptions = field(default_factory=AttributeOptions)
    synthesize: SynthesizeOptions = field(default_factory=SynthesizeOptions)
    compute: ComputeOptions = field(default_factory=ComputeOptions)
    added: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Settings:
        """Those with the given values, by the names of options; raises `OptionError` for a name that is none's."""
        classes = option_classes()
        known = [one.name for options in classes for one in fields(options)]
        for name in given:
            if name not in known:
                raise OptionError(f"there is no option '{name}'{nearest(name, known)}", f"available: {', '.join(known)}")
        made = {options: _made(options, given) for options in classes}
        own = {one.name: made[type_] for one in fields(cls) if (type_ := _OWN.get(one.name)) is not None}
        added = {name: made[one.options] for name, one in STAGES.items() if name not in BUILT_IN}
        return cls(**own, added=added)

    def of_stage(self, name: str) -> Any:
        """The options of a stage."""
        if name in BUILT_IN:
            return getattr(self, name)
        return self.added[name] if name in self.added else STAGES[name].options()


_OWN = {
    "inputs": InputOptions,
    "scan": ScanOptions,
    "units": UnitOptions,
    "attribute": AttributeOptions,
    "synthesize": SynthesizeOptions,
    "compute": ComputeOptions,
}


def _made(options: type, given: Mapping[str, Any]) -> Any:
    return options(**{one.name: fitting(options, one.name, given[one.name]) for one in fields(options) if one.name in given})
