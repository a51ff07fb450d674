"""Which index the network knows each token by."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchlurk.errors import OptionError, a_type
from torchlurk.files import read_given

FORMS = 'use a JSON object {"token": index} or a JSON list of tokens in index order'
UNKNOWN, PADDING = ("<unk>", "[UNK]"), ("<pad>", "[PAD]")
MOST_TOKENS = 2**22
"""An index from here on is a mistake: no network has an embedding of that many rows."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by index ('' where an index has none), and indices by token.

    `unknown` is the index of a token that is not in it, `padding` that of a step that says nothing.
    """

    tokens: tuple[str, ...]
    index_of: Mapping[str, int]
    unknown: int
    padding: int

    def __len__(self) -> int:
        return len(self.tokens)


def read_vocabulary(file: Path) -> Vocabulary:
    """The vocabulary in a JSON file; raises `OptionError` where the file cannot be read or is none."""
    what = f"--vocabulary {file}"
    try:
        content = json.loads(
            read_given(file).decode("utf-8-sig"), object_pairs_hook=lambda pairs: _without_repetition(pairs, what)
        )
    except OSError as error:
        raise OptionError(f"{what}: {error.strerror}", "give a file that can be read") from error
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{what} is not JSON: {error}", FORMS) from error
    return vocabulary_of(content, what)


def vocabulary_of(content: Any, what: str = "the vocabulary") -> Vocabulary:
    """The vocabulary that a mapping of tokens to indices, or a list of tokens, is; `what` names it in errors.

    Unknown tokens go to `<unk>` or `[UNK]` where it is there, otherwise to index 0; padding is `<pad>` or `[PAD]`, otherwise
    index 0.
    """
    if isinstance(content, Mapping):
        pairs = list(content.items())
    elif isinstance(content, Sequence) and not isinstance(content, str):
        pairs = [(token, index) for index, token in enumerate(content)]
    else:
        raise OptionError(f"{what} holds {a_type(content)}", FORMS)
    if not pairs:
        raise OptionError(f"{what} is empty", FORMS)
    by_index: dict[int, str] = {}
    for token, index in pairs:
        _check_pair(token, index, by_index, what)
        by_index[index] = token
    index_of = {token: index for index, token in by_index.items()}
    if len(index_of) < len(by_index):
        raise OptionError(f"{what} lists {_repeated(by_index.values())!r} more than once", FORMS)
    tokens = tuple(by_index.get(index, "") for index in range(max(by_index) + 1))
    unknown, padding = (next((index_of[one] for one in names if one in index_of), 0) for names in (UNKNOWN, PADDING))
    return Vocabulary(tokens, index_of, unknown, padding)


def _check_pair(token: Any, index: Any, by_index: Mapping[int, str], what: str) -> None:
    if not isinstance(token, str):
        raise OptionError(f"{what} lists {token!r}, which is not a token", FORMS)
    if type(index) is not int or not 0 <= index < MOST_TOKENS:
        raise OptionError(f"{what} gives {token!r} the index {json.dumps(index)[:40]}", "indices are whole numbers, 0 or more")
    if index in by_index:
        raise OptionError(
            f"{what} gives {by_index[index]!r} and {token!r} the same index {index}", "give each token its own index"
        )


def _without_repetition(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise OptionError(f"{what} lists {_repeated(key for key, _ in pairs)!r} more than once", FORMS)
    return dict(pairs)


def _repeated(tokens: Iterable[str]) -> str:
    return next(token for token, times in Counter(tokens).items() if times > 1)
