"""Devices, number formats, wrappers and fingerprints."""

from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from torchlurk.errors import DeviceError, ModelError, OptionError
from torchlurk.models.loading.identity import fingerprint, unwrap
from torchlurk.models.loading.placement import choose_device, choose_devices, place
from torchlurk.options import Precision


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 5))


def see_cards(monkeypatch: pytest.MonkeyPatch, cards: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def test_auto_takes_cuda_or_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    see_cards(monkeypatch, 2)
    assert choose_device("auto") == torch.device("cuda:0")
    see_cards(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cpu"), "sums are kept in float64, which MPS does not have"


def test_a_device_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    see_cards(monkeypatch, 2)
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("cuda") == torch.device("cuda:0")
    assert choose_device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize(
    ("name", "cards", "there"), [("cuda:7", 2, "cpu, cuda:0, cuda:1"), ("cuda", 0, "cpu"), ("mps", 0, "cpu")]
)
def test_a_device_that_is_not_there_is_refused_with_those_that_are(
    name: str, cards: int, there: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    see_cards(monkeypatch, cards)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=f"this machine has no device '{name}'") as caught:
        choose_device(name)
    assert caught.value.hint == f"available: {there}"


@pytest.mark.parametrize("name", ["gpu", "", "cuda:", "cuda:x", "cuda:-1", "CPU", "cpu:0", "cuda:1:2"])
def test_what_names_no_device_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="auto, cpu, cuda, cuda:N or mps"):
        choose_device(name)


def test_all_devices_of_a_kind_are_those_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    see_cards(monkeypatch, 2)
    assert choose_devices("cuda:all") == (torch.device("cuda:0"), torch.device("cuda:1"))
    assert choose_devices("cuda:1") == (torch.device("cuda:1"),)
    see_cards(monkeypatch, 1)
    assert choose_devices("cuda:all") == choose_devices("cuda") == (torch.device("cuda:0"),)
    see_cards(monkeypatch, 0)
    with pytest.raises(DeviceError, match="this machine has no device 'cuda'"):
        choose_devices("cuda:all")


@pytest.mark.parametrize("name", ["cpu:all", "mps:all", "auto:all", "gpu:all"])
def test_there_is_one_of_other_kinds(name: str) -> None:
    with pytest.raises(OptionError, match="use auto, cpu, cuda"):
        choose_devices(name)


def test_a_module_that_is_in_place_is_itself() -> None:
    module = network()
    assert place(module, torch.device("cpu"), "fp32") is module


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_a_copy_in_16_bits_is_cast_and_channels_last_and_leaves_the_original(precision: Precision, dtype: torch.dtype) -> None:
    module = network()
    before = fingerprint(module)
    copied = place(module, torch.device("cpu"), precision)
    assert copied is not module
    assert {tensor.dtype for tensor in copied.parameters()} == {dtype}
    assert copied[1].num_batches_tracked.dtype is torch.int64
    assert copied[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(copied[4].weight, module[4].weight.to(dtype))
    assert fingerprint(module) == before
    assert {tensor.dtype for tensor in module.parameters()} == {torch.float32}


def test_a_half_precision_module_is_read_in_fp32() -> None:
    module = network().half()
    copied = place(module, torch.device("cpu"), "fp32")
    assert {tensor.dtype for tensor in copied.parameters()} == {torch.float32}
    assert module[0].weight.dtype is torch.float16


def test_a_module_on_another_device_is_copied_there() -> None:
    module = network()
    copied = place(module, torch.device("meta"), "fp32")
    assert copied[0].weight.is_meta
    assert not module[0].weight.is_meta


def test_bf16_takes_modules_with_five_dimensional_kernels() -> None:
    module = nn.Sequential(nn.Conv3d(3, 4, 3), nn.Conv2d(4, 4, 3))
    assert place(module, torch.device("cpu"), "bf16")[1].weight.is_contiguous(memory_format=torch.channels_last)


def test_complex_parameters_are_refused_in_bf16() -> None:
    module = network()
    module.register_parameter("spectrum", nn.Parameter(torch.ones(2, dtype=torch.complex64)))
    with pytest.raises(ModelError, match="complex parameters"):
        place(module, torch.device("cpu"), "bf16")


def test_a_module_that_cannot_be_copied_is_refused_in_one_line() -> None:
    module = network()
    module.derived = module[4].weight * 2
    with pytest.raises(ModelError, match="cannot be copied") as caught:
        place(module, torch.device("cpu"), "bf16")
    assert "\n" not in str(caught.value)


def test_the_tied_weights_of_a_copy_stay_tied() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    copied = place(module, torch.device("cpu"), "bf16")
    assert copied[0].weight is copied[1].weight


def compiled(module: nn.Module) -> nn.Module:
    return torch.compile(module, backend="eager")


WRAPPINGS = {
    "nothing": lambda module: module,
    "DataParallel": nn.DataParallel,
    "torch.compile": compiled,
    "compiled DataParallel": lambda module: compiled(nn.DataParallel(module)),
    "DataParallel of compiled": lambda module: nn.DataParallel(compiled(module)),
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_wrappers_are_taken_off_however_nested(wrapping: str) -> None:
    module = network()
    wrapped = WRAPPINGS[wrapping](module)
    assert unwrap(wrapped) is module
    assert fingerprint(wrapped) == fingerprint(module)


@pytest.mark.parametrize(
    ("given", "named"), [("demo", "'demo'"), (None, "of the type NoneType"), (nn.Linear, "the class Linear")]
)
def test_what_is_no_module_is_named(given: object, named: str) -> None:
    with pytest.raises(ModelError, match=f"the model is {named}.*, not a torch.nn.Module"):
        unwrap(given)


def test_the_average_of_a_model_is_what_is_unwrapped() -> None:
    averaged = AveragedModel(network())
    assert unwrap(averaged) is averaged.module


def test_distributed_wrappers_are_taken_off() -> None:
    module = network()
    wrapped = nn.parallel.DistributedDataParallel.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = module
    assert unwrap(wrapped) is module


def test_a_module_that_lies_in_itself_is_refused_and_one_at_two_places_is_not() -> None:
    shared = nn.Linear(2, 2)
    both = nn.Sequential(shared, nn.Sequential(shared), shared)
    assert unwrap(both) is both
    both[1].add_module("again", both)
    with pytest.raises(ModelError, match="Sequential lies in itself, as 'again'"):
        unwrap(both)


def test_a_module_whose_init_calls_no_other_is_refused() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            pass

    with pytest.raises(ModelError, match=r"Net is not set up: its __init__ does not call super\(\).__init__\(\)"):
        unwrap(Net())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused() -> None:
    with pytest.raises(ModelError, match="TorchScript"):
        unwrap(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)))


def test_a_fingerprint_is_the_hash_of_types_names_dtypes_shapes_and_bytes() -> None:
    module = nn.Sequential(nn.Linear(2, 1))
    weight, bias = (tensor.detach() for tensor in module[0].parameters())
    digest = hashlib.sha256(b"=Sequential\n0=Linear\n")
    digest.update(b"0.bias:torch.float32(1,)" + bytes(bias.numpy().tobytes()))
    digest.update(b"0.weight:torch.float32(1, 2)" + bytes(weight.numpy().tobytes()))
    assert fingerprint(module) == digest.hexdigest()


def test_a_fingerprint_does_not_depend_on_memory_format_or_mode() -> None:
    module = network()
    first = fingerprint(module)
    assert fingerprint(network().to(memory_format=torch.channels_last).eval()) == first
    assert fingerprint(module) == first


def test_a_fingerprint_changes_with_any_value_type_shape_or_buffer() -> None:
    changed = []
    for change in range(6):
        module = network()
        with torch.no_grad():
            if change == 1:
                module[4].bias[3] = torch.nextafter(module[4].bias[3], torch.tensor(9.0))
            if change == 2:
                module[2] = nn.SiLU()
            if change == 3:
                module[4].weight.data = module[4].weight.data.reshape(4, 5)
            if change == 4:
                module[1].running_var[0] = 2
            if change == 5:
                module.bfloat16()
        changed.append(fingerprint(module))
    assert len(set(changed)) == len(changed)


def test_every_kind_of_tensor_has_a_fingerprint() -> None:
    module = network()
    module.register_buffer("flag", torch.tensor(True))
    module.register_buffer("nothing", torch.zeros(0, 3))
    module.register_buffer("turned", torch.ones(2, dtype=torch.complex64).conj())
    module.register_buffer("sparse", torch.eye(3).to_sparse())
    module.register_buffer("small", torch.ones(3).to(torch.float8_e4m3fn))
    assert len(fingerprint(module)) == 64
    first = fingerprint(module)
    module.sparse = (torch.eye(3) * 2).to_sparse()
    assert fingerprint(module) != first


def test_extra_state_counts_by_value() -> None:
    class Extra(nn.Module):
        def __init__(self, value: object) -> None:
            super().__init__()
            self.value = value

        def get_extra_state(self) -> object:
            return {"value": self.value, "list": [torch.ones(1)]}

        def set_extra_state(self, state: object) -> None:
            self.value = state

    assert fingerprint(Extra(1)) == fingerprint(Extra(1)) != fingerprint(Extra(2))


@pytest.mark.parametrize("module", [nn.Linear(2, 2, device="meta"), nn.LazyLinear(3)])
def test_a_network_without_values_has_no_fingerprint(module: nn.Module) -> None:
    with pytest.raises(ModelError, match="of the model has no values yet"):
        fingerprint(module)
