"""A device that is not there: torch takes it for one of its own, and what a GPU would refuse or wait for shows without one.

There are two of its kind. Their tensors hold one of the CPU, on which everything is computed. As on a GPU, tensors of two
devices do not mix, NumPy
cannot have them, and the host waits where it looks at a number or copies without saying that it will not wait. Copies and
waits are counted.
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

NAME = "pretended"

SENT, SENT_AND_WAITED, BROUGHT, WAITED = "sent", "sent and waited", "brought", "waited"
"""To the device without waiting, and with it; from the device, which waits; and looks of the host at what is there."""

COUNTS: Counter[str] = Counter()

USED: set[int] = set()
"""The numbers of the devices on which something was computed."""

REFUSED: set[torch.dtype] = set()
"""Number formats that the devices do not have."""

LOOKS = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::equal",
    "aten::is_nonzero",
    "aten::masked_select",
    "aten::_unique2",
}
"""Operations whose result the host needs before it can go on."""

CHOOSING = {"aten::index.Tensor", "aten::index_put_", "aten::index_put", "aten::_index_put_impl_"}
"""Operations that take indices of either device."""


class There(Tensor):
    """A tensor on the device."""

    @staticmethod
    def __new__(cls, held: Tensor, index: int = 0) -> There:
        return Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, index),
            requires_grad=held.requires_grad,
        )

    def __init__(self, held: Tensor, index: int = 0) -> None:
        self.held, self.index = held, index

    def untyped_storage(self):
        return self.held.untyped_storage()

    def data_ptr(self):
        return self.held.data_ptr()

    def tolist(self):
        return self.cpu().tolist()

    def __repr__(self):
        return f"There({self.held})"

    def __deepcopy__(self, memo):
        new = There(self.held.detach().clone(), self.index).requires_grad_(self.requires_grad)
        memo[id(self)] = nn.Parameter(new, self.requires_grad) if getattr(self, "_is_param", False) else new
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, dict(kwargs or {}))


def computed(func, args, kwargs):
    """What an operation gives on the device, or between it and the host."""
    if torch.is_inference_mode_enabled():  # in which composed operations arrive whole
        with torch._C.DisableTorchFunction():
            composed = func.decompose(*args, **kwargs)
        if composed is not NotImplemented:
            return composed
    name = func.name()
    tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
    ours = any(isinstance(one, There) for one in tensors)
    onto = placed(name, args, kwargs, ours)
    numbers = {one.index for one in tensors if isinstance(one, There)}
    if len(numbers) > 1 and name != "aten::copy_":
        raise RuntimeError(f"Expected all tensors to be on the same device, but found two of {NAME} in {func}")
    number = torch.device(kwargs["device"]).index if kwargs.get("device") is not None else min(numbers, default=0)
    if ours and name != "aten::copy_" and any(not isinstance(one, There) and one.dim() for one in tensors):
        if name not in CHOOSING or not isinstance(args[0], There):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found {NAME} and cpu in {func}")
        COUNTS[SENT_AND_WAITED] += 1
    if ours and (name in LOOKS or (name in CHOOSING and any(one.dtype is torch.bool for one in indices(args)))):
        COUNTS[WAITED] += 1
    held, named = tree_map_only(There, lambda one: one.held, (args, kwargs))
    if named.get("device") is not None:
        named["device"] = torch.device("cpu")
    found = func(*held, **named)
    if not onto:
        return found
    if lacking := {one.dtype for one in tree_leaves(found) if isinstance(one, Tensor)} & REFUSED:
        raise TypeError(f"{NAME} has no {', '.join(map(str, lacking))}, in {func}")
    USED.add(number or 0)
    with torch.inference_mode(False):
        found = tree_map_only(Tensor, lambda one: There(one, number or 0), found)
    return return_and_correct_aliasing(func, args, kwargs, found) if ours else found


def placed(name, args, kwargs, ours):
    """Whether the result is on the device; counts the copies between it and the host."""
    if name == "aten::copy_":
        onto, source = isinstance(args[0], There), args[1]
        quiet = kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
    elif kwargs.get("device") is not None:
        onto, source = torch.device(kwargs["device"]).type == NAME, args[0] if args else None
        quiet = kwargs.get("non_blocking", False)
    else:
        return ours
    if name in ("aten::copy_", "aten::_to_copy") and isinstance(source, There) is not onto:
        COUNTS[(SENT if quiet else SENT_AND_WAITED) if onto else BROUGHT] += 1
    return onto


def indices(args):
    return [one for one in tree_leaves(args[1]) if isinstance(one, Tensor)]


def copied(source, to, non_blocking=False):
    computed(torch.ops.aten.copy_.default, (to, source, non_blocking), {})
    return to


def register() -> None:
    """Makes torch know the device; for the rest of the process, in every thread."""
    module = SimpleNamespace(
        is_available=lambda: True,
        is_initialized=lambda: True,
        device_count=lambda: 2,
        current_device=lambda: 0,
        _is_in_bad_fork=lambda: False,
        manual_seed_all=lambda seed: None,
        get_amp_supported_dtype=lambda: [torch.float16, torch.bfloat16],
    )
    _setup_privateuseone_for_python_backend(NAME, backend_module=module)
    aten = torch.ops.aten
    # What torch calls where it does not look for what a tensor's class says: in making tensors of numbers, and in filling.
    for op in (
        aten.empty_strided.default,
        aten.empty.memory_format,
        aten.fill_.Scalar,
        aten.fill_.Tensor,
        aten.zero_.default,
        aten.as_strided.default,
        aten.view.default,
        aten.resize_.default,
        aten._local_scalar_dense.default,
    ):
        KERNELS.impl(op, lambda *args, _op=op, **kwargs: computed(_op, args, kwargs), NAMED)
    KERNELS.impl(aten._copy_from.default, copied, NAMED)


KERNELS = torch.library.Library("aten", "IMPL")
NAMED = "PrivateUse1"
