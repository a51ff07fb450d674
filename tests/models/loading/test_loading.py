"""Every MODEL spec, with local files only."""

from __future__ import annotations

import importlib
import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from torchlurk.errors import MissingExtraError, ModelError, OptionError, WeightsError
from torchlurk.models.loading.extras import import_timm, import_torchvision, import_transformers
from torchlurk.models.loading.identity import fingerprint
from torchlurk.models.loading.load import LoadedModel, load
from torchlurk.models.loading.preprocessing import translate
from torchlurk.records import Preprocessing

EXAMPLES = Path(__file__).parents[3] / "examples" / "models.py"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Names resolve to nothing and nothing was downloaded before, as on a machine without network; the names asked for."""
    import socket

    asked: list[object] = []

    def unknown(name: object, *_: object, **__: object) -> None:
        asked.append(name)
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return asked


def write(file: Path, text: str) -> str:
    file.write_text("from torch import nn\n" + text)
    return str(file)


def same(one: nn.Module, other: nn.Module) -> bool:
    return fingerprint(one) == fingerprint(other)


# torchvision, timm and transformers beside a CPU-only torch


@pytest.mark.slow
def test_torchvision_is_repaired_only_where_its_import_fails_for_its_operators() -> None:
    code = """
import logging, torch
lines = []
logger = logging.getLogger("torchlurk"); logger.propagate = False
handler = logging.Handler(); handler.emit = lambda record: lines.append(record.getMessage()); logger.addHandler(handler)
try:
    import torchvision
    whole = True
except RuntimeError:
    whole = False
from torchlurk.models.loading.extras import import_torchvision, import_timm, import_transformers
import_transformers(); import_timm(); torchvision = import_torchvision()
assert len(lines) == (0 if whole else 1), lines
if not whole:
    assert "classification models work" in lines[0] and "detection" in lines[0]
    for operator in (torch.ops.torchvision.nms, torch.ops.torchvision.qnms):
        try:
            operator(torch.zeros(1, 4), torch.zeros(1), 0.5)
        except NotImplementedError as error:
            assert "not compiled for this torch" in str(error)
        else:
            raise SystemExit("an operator that does not exist did something")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("raised", ["ImportError('no libcuda')", "RuntimeError('other')"])
def test_a_library_that_does_not_load_is_named_with_its_extra(
    raised: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "timm").mkdir()
    (tmp_path / "timm" / "__init__.py").write_text(f"raise {raised}")
    hide(monkeypatch, "timm")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtraError, match=r"timm is installed but cannot be imported.*torchlurk\[models\]"):
        load("timm:resnet18", "random")


def hide(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.parametrize(
    ("library", "spec"), [("torchvision", "torchvision:alexnet"), ("timm", "timm:resnet18"), ("transformers", "hf:x/y")]
)
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    library: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(monkeypatch, library)
    monkeypatch.setattr(sys, "meta_path", [Absent(library), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=rf"{library} is not installed   \(pip install 'torchlurk\[models\]'\)"):
        load(spec, "random")


class Absent:
    """An import finder that makes one library look as if it were not installed."""

    def __init__(self, library: str) -> None:
        self.library = library

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


# torchvision


def test_a_torchvision_model_comes_with_its_preset_in_eval_mode() -> None:
    loaded = load("torchvision:squeezenet1_1", "random")
    assert isinstance(loaded, LoadedModel)
    assert loaded.spec == "torchvision:squeezenet1_1"
    assert not loaded.module.training
    assert loaded.preprocessing == Preprocessing((256,), (224, 224), "bilinear", *IMAGENET)


def test_random_weights_are_the_same_each_time_and_leave_the_generators_alone() -> None:
    states = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    first = load("torchvision:squeezenet1_1", "random")
    assert torch.equal(states[0], torch.random.get_rng_state())
    assert states[1] == random.getstate()
    assert np.array_equal(states[2], np.random.get_state()[1])
    torch.rand(3)
    assert same(first.module, load("torchvision:squeezenet1_1", "random").module)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model."])
def test_a_fine_tuned_torchvision_model_loads_with_its_own_number_of_classes(prefix: str, tmp_path: Path) -> None:
    tuned = import_torchvision().models.resnet18(num_classes=10)
    save_file({prefix + name: one for name, one in tuned.state_dict().items()}, tmp_path / "w.safetensors")
    assert same(load("torchvision:resnet18", tmp_path / "w.safetensors").module, tuned)


@pytest.mark.parametrize("name", ["squeezenet1_0", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "regnet_y_400mf"])
def test_the_number_of_classes_is_found_in_any_family(name: str, tmp_path: Path) -> None:
    tuned = import_torchvision().models.get_model(name, num_classes=7)
    torch.save({"state_dict": tuned.state_dict()}, tmp_path / "w.pt")
    assert same(load(f"torchvision:{name}", tmp_path / "w.pt").module, tuned)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
@pytest.mark.parametrize("auxiliary", [True, False])
def test_auxiliary_heads_are_there_where_the_file_has_them(name: str, auxiliary: bool, tmp_path: Path) -> None:
    options = {"init_weights": False, "aux_logits": auxiliary}
    tuned = import_torchvision().models.get_model(name, num_classes=12, **options)
    torch.save(tuned.state_dict(), tmp_path / "w.pt")
    loaded = load(f"torchvision:{name}", tmp_path / "w.pt").module
    assert same(loaded, tuned)
    assert loaded.transform_input
    assert not load(f"torchvision:{name}", "random").module.transform_input


@pytest.mark.slow
def test_a_vision_transformer_takes_the_picture_size_of_its_file(tmp_path: Path) -> None:
    tuned = import_torchvision().models.vit_b_32(num_classes=3, image_size=96)
    torch.save(tuned.state_dict(), tmp_path / "w.pt")
    loaded = load("torchvision:vit_b_32", tmp_path / "w.pt")
    assert same(loaded.module, tuned)
    assert loaded.preprocessing is not None
    assert (loaded.preprocessing.resize, loaded.preprocessing.crop) == ((96,), (96, 96))


def test_the_old_names_in_published_densenets_are_understood(tmp_path: Path) -> None:
    model = import_torchvision().models.densenet121()
    old = {}
    for name, tensor in model.state_dict().items():
        for kind in ("norm", "conv"):
            for number in ("1", "2"):
                if "denselayer" in name:
                    name = name.replace(f"{kind}{number}.", f"{kind}.{number}.")
        if not name.endswith("num_batches_tracked"):
            old[name] = tensor
    assert any(".norm.1." in name for name in old)
    torch.save(old, tmp_path / "w.pt")
    assert same(load("torchvision:densenet121", tmp_path / "w.pt").module, model)


def test_the_published_weights_are_those_of_the_library(tmp_path: Path, no_network: None) -> None:
    models = import_torchvision().models
    published = models.squeezenet1_1()
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    file = folder / Path(models.SqueezeNet1_1_Weights.DEFAULT.url).name
    torch.save(published.state_dict(), file)
    assert same(load("torchvision:squeezenet1_1").module, published)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="is damaged, delete it"):
        load("torchvision:squeezenet1_1")


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("torchvision:resnet18", "--weights FILE"),
        ("timm:resnet18", "--weights FILE"),
        ("timm:hf_hub:somebody/something", "--weights FILE"),
        ("hf:somebody/something", "hf:FOLDER, or another MODEL with --weights FILE"),
    ],
)
def test_without_network_published_weights_end_in_one_line_and_at_once(spec: str, hint: str, no_network: list[object]) -> None:
    with pytest.raises(WeightsError, match="the published weights of") as caught:
        load(spec)
    assert hint in caught.value.hint
    assert "\n" not in str(caught.value)
    assert 1 <= len(no_network) <= 2  # and not again and again


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    torch.save(import_torchvision().models.squeezenet1_1().state_dict(), tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"does not fit ResNet: missing conv1.weight, .* and \d+ more; unexpected feat"):
        load("torchvision:resnet18", tmp_path / "w.pt")


# timm


def test_a_timm_model_comes_with_its_data_configuration() -> None:
    loaded = load("timm:resnet18", "random")
    assert loaded.preprocessing == Preprocessing((235,), (224, 224), "bicubic", *IMAGENET)
    assert not loaded.module.training


def test_a_timm_model_loads_a_file_with_its_own_number_of_classes(tmp_path: Path) -> None:
    tuned = import_timm().create_model("test_vit", num_classes=6)
    save_file(tuned.state_dict(), tmp_path / "w.safetensors")
    assert same(load("timm:test_vit", tmp_path / "w.safetensors").module, tuned)


# Hugging Face


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    transformers = import_transformers()
    folder = tmp_path_factory.mktemp("vit")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        num_labels=4,
    )  # fmt: skip
    module = transformers.ViTForImageClassification(config).eval()
    module.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder, module


def test_a_folder_of_transformers_loads_with_its_image_processor(vit: tuple[Path, nn.Module]) -> None:
    folder, module = vit
    loaded = load(f"hf:{folder}")
    assert same(loaded.module, module)
    assert not loaded.module.training
    assert loaded.preprocessing == Preprocessing((32, 32), None, "bilinear", (0.5,) * 3, (0.5,) * 3)


def test_a_transformers_model_loads_a_file_with_its_own_number_of_classes(vit: tuple[Path, nn.Module], tmp_path: Path) -> None:
    config = type(vit[1].config)(**{**vit[1].config.to_dict(), "num_labels": 9, "id2label": None, "label2id": None})
    tuned = type(vit[1])(config)
    torch.save(tuned.state_dict(), tmp_path / "w.pt")
    assert same(load(f"hf:{vit[0]}", tmp_path / "w.pt").module, tuned)
    assert not same(load(f"hf:{vit[0]}", "random").module, vit[1])


def test_a_transformers_folder_without_image_processor_has_no_preprocessing(tmp_path: Path) -> None:
    transformers = import_transformers()
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    transformers.ResNetForImageClassification(config).save_pretrained(tmp_path)
    loaded = load(f"hf:{tmp_path}")
    assert loaded.preprocessing is None
    assert type(loaded.module).__name__ == "ResNetForImageClassification"


def test_a_folder_that_holds_no_transformers_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="holds no model of transformers"):
        load(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="holds no model of transformers"):
        load(f"hf:{tmp_path}")
    with pytest.raises(ModelError, match="there is no folder"):
        load(f"hf:{tmp_path / 'absent'}")


def test_a_text_model_is_not_an_image_classifier(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelError) as caught:
        load(f"hf:{tmp_path}", "random")
    assert "\n" not in str(caught.value)


# Callables


def test_a_callable_in_a_file_gives_the_model_and_its_preprocessing() -> None:
    loaded = load(f"{EXAMPLES}:tinyvgg")
    assert loaded.preprocessing == Preprocessing((64,), (64, 64))
    assert loaded.module(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


FORMS = {
    "a function": "def net():\n    return nn.Linear(2, 2).train()",
    "a function with defaults": "def net(width=2, *more, **others):\n    return nn.Linear(width, 2)",
    "a class": "class net(nn.Linear):\n    def __init__(self):\n        super().__init__(2, 2)",
    "an instance": "net = nn.Linear(2, 2)",
    "a lambda": "net = lambda: nn.Linear(2, 2)",
    "a pair": "def net():\n    return nn.Linear(2, 2), None",
    "wrapped": "def net():\n    return nn.DataParallel(nn.Linear(2, 2))",
    "a sibling": "from layers_beside import Layer\nnet = Layer",
    "a late sibling": "def net():\n    from layers_beside import Layer\n    return Layer()",
    "a dataclass": (
        "from __future__ import annotations\nfrom dataclasses import dataclass, KW_ONLY\n@dataclass\nclass Plan:\n"
        "    _: KW_ONLY\n    width: int = 2\ndef net():\n    return nn.Linear(Plan().width, 2)"
    ),
    "torchvision": "import torchvision\ndef net():\n    return nn.Linear(2, 2)",
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_callable_is_taken(form: str, tmp_path: Path) -> None:
    (tmp_path / "layers_beside.py").write_text(
        "from torch import nn\nclass Layer(nn.Linear):\n    def __init__(self): super().__init__(2, 2)"
    )
    text = FORMS[form]
    file = tmp_path / "my net.py"
    file.write_text(text.replace("annotations\n", "annotations\nfrom torch import nn\n", 1))
    if "__future__" not in text:
        write(file, text)
    paths, modules = list(sys.path), set(sys.modules)
    loaded = load(f"{file}:net")
    assert isinstance(loaded.module, nn.Linear)
    assert not loaded.module.training
    assert sys.path == paths
    assert "layers_beside" not in set(sys.modules) - modules


def test_a_file_without_a_name_lists_what_it_has(tmp_path: Path) -> None:
    spec = write(tmp_path / "cnn.py", "from torch import nn\nclass Net(nn.Linear): pass\ndef make(): pass\ndef _own(): pass")
    with pytest.raises(ModelError, match="is a file") as raised:
        load(spec)
    assert raised.value.hint == f"name one of its callables: {spec}:Net, {spec}:make"


def test_two_files_of_one_name_with_siblings_of_one_name_do_not_mix(tmp_path: Path) -> None:
    for width in (2, 3):
        folder = tmp_path / str(width)
        folder.mkdir()
        (folder / "sizes_beside.py").write_text(f"WIDTH = {width}")
        write(folder / "net.py", "from sizes_beside import WIDTH\ndef net():\n    return nn.Linear(WIDTH, 1)")
    widths = [load(f"{tmp_path / str(width) / 'net.py'}:net").module.in_features for width in (2, 3)]
    assert widths == [2, 3]


def test_a_callable_in_a_package_of_the_current_folder_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_here").mkdir()
    (tmp_path / "mine_here" / "__init__.py").touch()
    write(tmp_path / "mine_here" / "nets.py", "def net():\n    return nn.Linear(2, 2)")
    monkeypatch.chdir(tmp_path)
    assert isinstance(load("mine_here.nets:net").module, nn.Linear)
    monkeypatch.delitem(sys.modules, "mine_here", raising=False)
    monkeypatch.delitem(sys.modules, "mine_here.nets", raising=False)


def test_a_callable_that_draws_at_random_gives_the_same_weights_each_time(tmp_path: Path) -> None:
    spec = write(tmp_path / "net.py", "def net():\n    return nn.Linear(2, 2)") + ":net"
    first = load(spec).module
    torch.rand(3)
    assert same(first, load(spec).module)


def test_a_callable_with_a_weights_file_gets_it_strictly(tmp_path: Path) -> None:
    spec = write(tmp_path / "net.py", "def net():\n    return nn.Sequential(nn.Linear(2, 2))") + ":net"
    torch.save({"0.weight": torch.ones(2, 2), "0.bias": torch.ones(2)}, tmp_path / "w.pt")
    assert load(spec, tmp_path / "w.pt").module[0].weight.sum() == 4
    torch.save({"0.weight": torch.ones(2, 2)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"missing 0\.bias"):
        load(spec, str(tmp_path / "w.pt"))
    with pytest.raises(OptionError, match="--weights random has no effect"):
        load(spec, "random")


WRONG = {
    "no such name": ("def network(): pass", "there is no 'net' in .*; nearest: network"),
    "a name unlike any": ("def something(): pass", "there is no 'net' in .*; it has: something"),
    "needs arguments": ("def net(depth, *, width): pass", "needs arguments: depth, width"),
    "a class that needs arguments": ("net = nn.Linear", "needs arguments: in_features, out_features"),
    "not a function": ("net = 5", "is an int, not a function"),
    "returns nothing": ("def net(): pass", "returned NoneType"),
    "returns a class": ("def net(): return nn.Linear", "returned type"),
    "returns another pair": ("def net(): return 1, 2", r"returned \(int, int\)"),
    "raises": ("def net():\n    return 1 / 0", r"net\.py line 3: ZeroDivisionError: division by zero"),
    "raises at import": ("import nn_that_is_not_there", r"net\.py line 2: ModuleNotFoundError"),
    "raises deep in torch": ("def net():\n    nn.Linear('a', 1)", r"net\.py line 3: TypeError"),
    "is no Python": ("def net(:", r"net\.py line 2: SyntaxError"),
    "ends the program": ("import sys\nsys.exit(3)", r"net\.py line 3: SystemExit: 3"),
    "a preprocessing of its own": ("def net(): return nn.Linear(1, 1), print", "--resize --crop --mean --std"),
    "TorchScript": (
        "import torch\ndef net(): return torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1))", "TorchScript"
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_with_a_callable_is_said_in_one_line(kind: str, tmp_path: Path) -> None:
    text, says = WRONG[kind]
    spec = write(tmp_path / "net.py", text) + ":net"
    paths = list(sys.path)
    with pytest.raises(ModelError, match=says) as caught:
        load(spec)
    assert "\n" not in str(caught.value)
    assert sys.path == paths


def test_a_preprocessing_that_the_user_replaces_need_not_be_read(tmp_path: Path) -> None:
    spec = write(tmp_path / "net.py", "def net(): return nn.Linear(1, 1), print") + ":net"
    assert load(spec, preprocessing=False).preprocessing is None


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("resnet18", "'resnet18' is not a model"),
        ("", "'' is not a model"),
        ("torchvision:", "not a model"),
        (":net", "not a model"),
        ("net.py", "there is no file 'net.py'"),
        ("absent.py:net", "there is no file 'absent.py'"),
        ("no_such_package.nets:net", "there is no module 'no_such_package'"),
        ("torchvision:resnet81", "nearest: resnet"),
        ("torchvision:fasterrcnn_resnet50_fpn", "is not a classification model"),
        ("timm:resnet81", "nearest: resnet"),
        ("timm:resnet18.no_such_tag", "no_such_tag"),
    ],
)
def test_a_spec_that_names_nothing_is_refused_with_what_is_near(spec: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as caught:
        load(spec, None)
    assert "\n" not in str(caught.value)


# Preprocessing


def test_none_and_our_own_record_are_taken_as_they_are() -> None:
    own = Preprocessing((8,), (6, 6))
    assert translate(None) is None
    assert translate(own) is own


def test_a_dict_of_fields_is_read() -> None:
    assert translate({"resize": 64, "crop": [48, 32], "mean": 0.5, "std": [0.5]}) == Preprocessing(
        (64,), (48, 32), "bilinear", (0.5,), (0.5,)
    )
    assert translate({}) == Preprocessing()
    strange: list[dict[str, object]] = [{"mean": "a"}, {"mean": object()}, {"resize": "x"}, {"crop": [None]}, {"mean": 10**400}]
    for wrong in (
        *({"scale": 2}, {"interpolation": "hamming"}, {"resize": (1, 2, 3)}, {"mean": (0, 0), "std": (1,)}),
        *strange,
    ):
        with pytest.raises(ModelError, match="--resize --crop --mean --std"):
            translate(wrong)


@pytest.mark.parametrize(
    ("changes", "resize"),
    [
        ({}, (256,)),
        ({"crop_pct": 0.9}, (248,)),
        ({"crop_pct": 1.0}, (224,)),
        ({"crop_mode": "squash"}, (256, 256)),
        ({"crop_mode": "squash", "input_size": (3, 224, 448)}, (256, 512)),
    ],
)
def test_a_timm_configuration_is_read_as_timm_reads_it(changes: dict[str, object], resize: tuple[int, ...]) -> None:
    config = {"input_size": (3, 224, 224), "interpolation": "bicubic", "mean": IMAGENET[0], "std": IMAGENET[1]}
    config |= {"crop_pct": 0.875, "crop_mode": "center"} | changes
    read = translate(config)
    assert read == Preprocessing(resize, tuple(config["input_size"][1:]), "bicubic", *IMAGENET)
    assert translate(import_timm().data.create_transform(**config)) == read


def test_a_border_crop_of_timm_is_refused() -> None:
    with pytest.raises(ModelError, match="crop mode 'border'"):
        translate({"input_size": (3, 8, 8), "crop_mode": "border", "mean": (0,), "std": (1,)})


def compositions() -> dict[str, tuple[object, Preprocessing | None]]:
    t = import_torchvision().transforms
    v2 = importlib.import_module("torchvision.transforms.v2")
    full = Preprocessing((256,), (224, 224), "bicubic", *IMAGENET)
    cubic = t.InterpolationMode.BICUBIC
    return {
        "v1": (t.Compose([t.Resize(256, cubic), t.CenterCrop(224), t.ToTensor(), t.Normalize(*IMAGENET)]), full),
        "v2": (
            v2.Compose([
                v2.ToImage(), v2.Resize([256], cubic), v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(*IMAGENET),
            ]),
            full,
        ),
        "sequential": (
            nn.Sequential(
                t.Resize([256], cubic), t.CenterCrop(224), t.ConvertImageDtype(torch.float32), t.Normalize(*IMAGENET)
            ),
            full,
        ),
        "exact": (t.Compose([t.Resize((32, 48)), t.ToTensor()]), Preprocessing((32, 48))),
        "grey": (t.Compose([t.ToTensor(), t.Normalize(0.1307, 0.3081)]), Preprocessing(mean=(0.1307,), std=(0.3081,))),
        "random": (t.Compose([t.RandomCrop(8), t.ToTensor()]), None),
        "function": (t.Compose([lambda picture: picture, t.ToTensor()]), None),
        "unscaled": (v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)]), None),
        "crop first": (t.Compose([t.CenterCrop(8), t.Resize(8), t.ToTensor()]), None),
        "after": (t.Compose([t.ToTensor(), t.Normalize([0.0], [1.0]), t.CenterCrop(8)]), None),
        "limited": (t.Compose([t.Resize(8, max_size=20), t.ToTensor()]), None),
        "twice": (t.Compose([t.Resize(8), t.Resize(9), t.ToTensor()]), None),
        "a function alone": (lambda picture: picture, None),
    }  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["v1", "v2", "sequential", "exact", "grey", "random", "function", "unscaled", "crop first", "after", "limited", "twice",
     "a function alone"],
)  # fmt: skip
def test_a_composition_is_read_exactly_or_refused(kind: str) -> None:
    composed, expected = compositions()[kind]
    if expected is None:
        with pytest.raises(ModelError, match="--resize --crop --mean --std"):
            translate(composed)
    else:
        assert translate(composed) == expected


def literally(record: Preprocessing, picture: Image.Image) -> torch.Tensor:
    """What the record says, done with Pillow."""
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    if record.resize:
        short = min(picture.size)
        size = tuple(side * record.resize[0] // short for side in picture.size)
        picture = picture.resize(size if len(record.resize) == 1 else record.resize[::-1], filters[record.interpolation])
    if record.crop:
        left, top = (round((have - want) / 2) for have, want in zip(picture.size, record.crop[::-1], strict=True))
        picture = picture.crop((left, top, left + record.crop[1], top + record.crop[0]))
    pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255
    return (pixels - torch.tensor(record.mean)[:, None, None]) / torch.tensor(record.std)[:, None, None]


PROCESSORS: dict[str, dict[str, object]] = {
    "ViTImageProcessor": {"size": {"height": 32, "width": 24}},
    "CLIPImageProcessor": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
    "BitImageProcessor": {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 32}, "crop_pct": 0.8},
    "LevitImageProcessor": {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}},
    "PoolFormerImageProcessor": {"size": {"shortest_edge": 36}, "crop_size": {"height": 36, "width": 36}},
    "EfficientNetImageProcessor": {
        "size": {"height": 32, "width": 32}, "rescale_factor": 1 / 127.5, "rescale_offset": True, "image_std": [0.4] * 3,
        "resample": 3,
    },
    "DeiTImageProcessor": {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}},
}  # fmt: skip


@pytest.mark.parametrize("kind", PROCESSORS)
def test_an_image_processor_is_read_as_it_works(kind: str) -> None:
    """Against the processor itself on a smooth picture; a pixel may be off by what the two resamplings round."""
    transformers = import_transformers()
    processor = getattr(transformers, kind)(**PROCESSORS[kind])
    y, x = np.mgrid[0:80, 0:100]
    picture = Image.fromarray(np.stack([x * 2.5, y * 3.0, 255 - x * 2], -1).clip(0, 255).astype(np.uint8))
    expected = torch.as_tensor(np.asarray(processor(picture, return_tensors="pt")["pixel_values"][0]))
    record = translate(processor)
    assert record is not None
    got = literally(record, picture)
    assert got.shape == expected.shape
    assert (got - expected).abs().max() * min(record.std) * 255 < 4


def test_large_convnexts_resize_to_the_square() -> None:
    processor = import_transformers().ConvNextImageProcessor(size={"shortest_edge": 384})
    record = translate(processor)
    assert record is not None
    assert (record.resize, record.crop) == ((384, 384), None)


@pytest.mark.parametrize(
    "fields",
    [{"do_flip_channel_order": True}, {"do_rescale": False}, {"size": {"longest_edge": 9}}, {"do_pad": True}, {"resample": 4}],
)
def test_an_image_processor_that_does_something_else_is_refused(fields: dict[str, object]) -> None:
    plain = {
        "image_mean": [0.5], "image_std": [0.5], "do_resize": True, "size": {"shortest_edge": 8}, "resample": 2,
        "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
    }  # fmt: skip
    assert translate(SimpleNamespace(**plain)) == Preprocessing((8,), None, "bilinear", (0.5,), (0.5,))
    with pytest.raises(ModelError, match="--resize --crop --mean --std"):
        translate(SimpleNamespace(**{**plain, **fields}))


# Real models


def top(loaded: LoadedModel, file: Path, count: int) -> list[int]:
    assert loaded.preprocessing is not None
    with Image.open(file) as picture, torch.inference_mode():
        scores = loaded.module(literally(loaded.preprocessing, picture.convert("RGB"))[None])
    return scores[0].topk(count).indices.tolist()


def test_real_squeezenet_weights_load_and_recognize_pictures(data: Path) -> None:
    loaded = load("torchvision:squeezenet1_1", data / "models" / "squeezenet1_1.safetensors")
    classes = json.loads((data / "imagenet_classes.json").read_text())
    files = sorted((data / "imagenette").rglob("*.JPEG"))[::50]
    right = [classes[top(loaded, file, 1)[0]]["synset"] == file.parent.name.partition("_")[0] for file in files]
    assert sum(right) >= len(files) * 0.4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "weights", "folder", "labels", "measured"),
    [
        ("resnet20_cifar", "resnet20_cifar10", "cifar10_test", None, 0.804),
        ("tinyvgg", "tinyvgg_10", "tinyvgg_images", None, 0.7),
        ("mobilenet_v1", "mobilenet_v1_075", "imagenette", "imagenet_classes.json", 0.685),
    ],
)
def test_the_examples_reach_the_accuracy_measured_of_their_weights(
    name: str, weights: str, folder: str, labels: str | None, measured: float, data: Path
) -> None:
    loaded = load(f"{EXAMPLES}:{name}", data / "models" / f"{weights}.safetensors")
    names = [name.partition("_")[2] for name in sorted(path.name for path in (data / folder).iterdir() if path.is_dir())]
    files = sorted(path for path in (data / folder).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if labels:
        synsets = [one["synset"] for one in json.loads((data / labels).read_text())]
        files = files[::5]
        # The figure is for these pictures as they are, already of the network's size.
        loaded = LoadedModel(loaded.module, Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3), loaded.spec)
    right = 0
    for file in files:
        index = top(loaded, file, 1)[0]
        folder_name = file.parent.name
        right += folder_name.startswith(synsets[index]) if labels else label(folder_name, names) == index
    assert right / len(files) == pytest.approx(measured, abs=1e-9)


def label(folder: str, names: list[str]) -> int:
    index, _, rest = folder.partition("_")
    return int(index) if index.isdigit() else sorted([*CIFAR]).index(rest or index)


CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def test_the_demo_loads() -> None:
    loaded = load("demo")
    assert isinstance(loaded.preprocessing, Preprocessing)
    assert not loaded.module.training
