"""What people note of units: rows of the table `remark`, and what may stand in them."""

from __future__ import annotations

import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from torchlurk.errors import OptionError
from torchlurk.records import Remark
from torchlurk.store import columns, rows
from torchlurk.store.changing import small_change
from torchlurk.store.columns import DamageError
from torchlurk.store.lookups import find_unit
from torchlurk.store.sequences import has_sequences
from torchlurk.units import Unit

LONGEST_NAME = 100
LONGEST_TEXT = 10_000
"""Characters."""

UNSHOWN = frozenset({"Cc", "Cs"})
"""Categories of characters that are no text: controls, halves of surrogates."""

REMARK_COLUMNS = "remark.layer, remark.channel, remark.name, text, starred, written"


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a unit's remark; what is None stays as it was. An empty name or text removes it.

    A name is one line. Raises `OptionError` for what is too long or cannot be shown.
    """

    name: str | None = None
    text: str | None = None
    starred: bool | None = None
    written: str | None = None
    """None: now."""

    def __post_init__(self) -> None:
        if self.name is not None:
            object.__setattr__(self, "name", _shown(" ".join(self.name.split()), "name", LONGEST_NAME))
        if self.text is not None:
            lines = (line.rstrip() for line in self.text.replace("\r\n", "\n").split("\n"))
            object.__setattr__(self, "text", _shown("\n".join(lines).strip("\n"), "text", LONGEST_TEXT))

    def of(self, before: Remark) -> Remark | None:
        """The remark after the change; None where nothing is left of it."""
        after = replace(
            before,
            name=before.name if self.name is None else self.name,
            text=before.text if self.text is None else self.text,
            starred=before.starred if self.starred is None else self.starred,
        )
        if not (after.name or after.text or after.starred):
            return None
        return after if after == before else replace(after, written=self.written or _now())


def write_remarks(path: Path, changes: Mapping[Unit, Change]) -> dict[Unit, Remark | None]:
    """Changes the remarks on these units, all or none, and returns what they are now, by the unit that was meant.

    Raises `UnitError` for a unit that the study does not have (of which a remark may only be removed), `StudyError` where the
    file is no study or in use for too long, `StorageError` where it cannot be written.
    """
    found: dict[Unit, Remark | None] = {}
    with small_change(path) as db:
        for unit, change in changes.items():
            meant, remark = _changed(db, unit, change, path)
            if meant in found:
                raise OptionError(f"{unit} and another of the addresses mean the same unit, {meant}", "leave one of them out")
            found[meant] = remark
    return found


def _changed(db: sqlite3.Connection, unit: Unit, change: Change, path: Path) -> tuple[Unit, Remark | None]:
    known = _load_remark(db, unit)
    if known is None:
        unit = Unit(find_unit(db, unit, path)[1].name, unit.channel)
        known = _load_remark(db, unit)
    after = change.of(known or Remark())
    if after is None:
        db.execute("DELETE FROM remark WHERE layer = ? AND channel = ?", (unit.layer, unit.channel))
    elif after != known:
        find_unit(db, unit, path)
        row = (unit.layer, unit.channel, after.name, after.text, int(after.starred), after.written)
        db.execute("INSERT OR REPLACE INTO remark VALUES (?, ?, ?, ?, ?, ?)", row)
    return unit, after


def load_remarks(db: sqlite3.Connection, layer: str | None = None) -> dict[Unit, Remark]:
    """All remarks, or those on the units of one layer, in the order of execution; those of unknown layers last."""
    if not has_sequences(db):
        return {}
    where, values = ("", ()) if layer is None else (" WHERE remark.layer = ?", (layer,))
    found = db.execute(
        f"SELECT {REMARK_COLUMNS} FROM remark LEFT JOIN layer ON layer.name = remark.layer{where}"
        " ORDER BY layer.id IS NULL, layer.id, remark.layer, channel",
        values,
    )
    return dict(map(to_remark, found))


def _load_remark(db: sqlite3.Connection, unit: Unit) -> Remark | None:
    where = (unit.layer, unit.channel)
    found = db.execute(f"SELECT {REMARK_COLUMNS} FROM remark WHERE layer = ? AND channel = ?", where).fetchone()
    return None if found is None else to_remark(found)[1]


def stray_remarks(db: sqlite3.Connection) -> Iterator[str]:
    """In words, the remarks on units that the study does not have; those that cannot be read are left out."""
    if not has_sequences(db):
        return
    channels = {layer.name: layer.channels for layer in rows.layers(db)}
    for row in db.execute(f"SELECT {REMARK_COLUMNS} FROM remark"):
        with suppress(DamageError):
            unit, remark = to_remark(row)
            if unit.channel >= channels.get(unit.layer, 0):
                named = f" '{remark.name}'" if remark.name else ""
                yield f"the remark{named} is on {unit}, which the study does not have"


def to_remark(row: tuple[object, ...]) -> tuple[Unit, Remark]:
    """A row of `remark`, as its unit and record."""
    layer, channel, name, text, starred, written = row
    unit = Unit(columns.text(layer, "remark.layer"), columns.whole(channel, "remark.channel", least=0))
    return unit, Remark(
        columns.text(name, "remark.name", longest=LONGEST_NAME),
        columns.text(text, "remark.text", longest=LONGEST_TEXT),
        bool(columns.whole(starred, "remark.starred", least=0, below=2)),
        columns.text(written, "remark.written", longest=LONGEST_NAME),
    )


def _shown(words: str, what: str, most: int) -> str:
    """The words; raises `OptionError` where there are too many or a character is none that can be shown."""
    if len(words) > most:
        raise OptionError(f"the {what} has {len(words):,} characters; {most:,} are the most", "shorten it")
    if any(unicodedata.category(one) in UNSHOWN and one not in "\n\t" for one in words):
        raise OptionError(f"the {what} contains characters that cannot be shown", "leave them out")
    return words


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
