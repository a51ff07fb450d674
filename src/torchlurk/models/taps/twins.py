"""Copies of a network that share its parameters: what hooks and replaced forwards do to one, they do not do to another."""

from __future__ import annotations

import copy

import torch
from torch import nn

from torchlurk.models.taps.arguments import Called
from torchlurk.models.taps.forward_override import untouched


def separable(network: nn.Module) -> bool:
    """Whether copies can be made and be expected to have nothing to do with each other.

    Hooks and forwards set from outside belong to whoever set them, but for that of `called_with`; scripted modules are not
    plain Python.
    """
    called = vars(network).get("forward")
    own = isinstance(called, Called) and called.own and not (network._forward_hooks or network._forward_pre_hooks)
    if any(isinstance(one, torch.jit.ScriptModule) for one in network.modules()):
        return False
    if not all(untouched(one) or (own and one is network) for one in network.modules()):
        return False
    try:
        twin(network)
    except Exception:  # copying runs code of the modules' own
        return False
    return True


def twin(network: nn.Module) -> nn.Module:
    """A copy that shares the parameters, and is called as the network is now."""
    return copy.deepcopy(network, {id(one): one for one in network.parameters()})
