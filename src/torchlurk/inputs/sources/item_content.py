"""What an item of a stream holds: 64 bits that tell it from another, and how much memory it takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

SUM_BYTES = 8


def check_sum(item: Any) -> int:
    """64 bits over all values in an item; over the size of a file that it only names."""
    digest = blake2b(digest_size=SUM_BYTES)
    for part in _parts(item):
        digest.update(part)
    return int.from_bytes(digest.digest(), "little")


def memory(item: Any) -> int:
    """About how many bytes an item takes. A picture that is not decoded yet is: until then it keeps a file open."""
    if isinstance(item, (Tensor, np.ndarray)):
        return item.nbytes
    if isinstance(item, Image.Image):
        item.load()
        return item.width * item.height * len(item.getbands())
    if isinstance(item, Mapping):
        return sys.getsizeof(item) + sum(map(memory, item.values()))
    if isinstance(item, (list, tuple)):
        return sys.getsizeof(item) + sum(map(memory, item))
    return sys.getsizeof(item)


def _parts(value: Any) -> Iterator[bytes]:
    """The values as bytes, each preceded by what it is."""
    if isinstance(value, Tensor):
        numbers = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        yield f"tensor {numbers.dtype} {tuple(numbers.shape)}\0".encode()
        yield numbers.reshape(-1).view(torch.uint8).numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield f"array {value.dtype} {value.shape}\0".encode()
        yield _bytes_of(value)
    elif isinstance(value, Image.Image):
        yield f"picture {value.mode} {value.size}\0".encode()
        yield value.tobytes()
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}\0".encode()
        for key, one in value.items():
            yield f"{key}\0".encode()
            yield from _parts(one)
        yield _file_size(value)
    elif isinstance(value, (list, tuple)):
        yield f"list {len(value)}\0".encode()
        if all(type(one) is int for one in value):
            yield repr(value).encode()
        else:
            for one in value:
                yield from _parts(one)
    elif isinstance(value, (bytes, bytearray)):
        yield f"bytes {len(value)}\0".encode()
        yield bytes(value)
    elif isinstance(value, (str, bool, int, float, complex, np.generic)) or value is None:
        yield f"{type(value).__name__} {value!r}\0".encode("utf-8", "surrogatepass")
    else:  # of any other object nothing is known that is the same when it is made again
        yield type(value).__qualname__.encode()


def _bytes_of(array: np.ndarray) -> bytes:
    return repr(array.tolist()).encode() if array.dtype.hasobject else np.ascontiguousarray(array).tobytes()


def _file_size(value: Mapping[Any, Any]) -> bytes:
    """Of a picture that is only named, the size of its file, where that is on this machine."""
    path = value.get("path")
    if not isinstance(path, str) or value.get("bytes") is not None:
        return b""
    try:
        return f"file {os.stat(path).st_size}\0".encode()
    except (OSError, ValueError):
        return b""
