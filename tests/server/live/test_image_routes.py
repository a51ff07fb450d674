"""One image over HTTP: the same as from Python, bounded, refused in one shape, and the model left as found."""

# Tolerances: grey levels are rounded, and some pictures are JPEG (1 to 1.5 levels); numbers are float32 through a network
# that is run on a batch of another size (1e-5 to 1e-4), peaks are sent in steps of half a percent.

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from torchlurk.anatomy import UnitPath
from torchlurk.errors import MismatchError, OptionError
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.inputs.demo.world import PREPROCESSING, DemoWorld
from torchlurk.inputs.pictures.preprocessing import normalize
from torchlurk.model_session import ModelSession
from torchlurk.models.loading.demo import demo_network
from torchlurk.resources import image_page
from torchlurk.resources.tree import Forest
from torchlurk.server.live.image_routes import MOST_BYTES
from torchlurk.server.live.model_worker import MOST_OPEN, open_desk
from torchlurk.server.model_choice import ModelChoice
from torchlurk.server.running import Server
from torchlurk.store.reading import Reader
from torchlurk.units import Unit


def opened(client: Any, thing: bytes) -> dict[str, Any]:
    status, found, _ = client.post("/image/demo", thing, "image/png")
    assert status == 200
    return found


def inspector(study: Path) -> Inspector:
    with Reader(study) as reader:
        bench = ModelSession.load("demo", study=reader, device="cpu")
        found = bench.inspect(normalize(torch.from_numpy(DemoWorld(24).read(3).values)[None], PREPROCESSING))
        _ = found.predictions(), [found.strongest(layer) for layer in found.layers]
    return found


@pytest.mark.slow
def test_it_says_beside_which_studies_a_model_is_open(client: Any) -> None:
    assert client.get("/image")[1] == {"studies": {"demo": {"model": "demo"}}}
    about = client.get("/image/demo")[1]
    assert about["input"] == [3, 96, 96]
    assert "guided" in about["methods"]
    assert about["examples"] == sorted(about["examples"])
    assert [one["example"] for one in about["gallery"]] == about["examples"]


def test_the_gallery_names_pictures_that_are_served(client: Any) -> None:
    about = client.get("/image/demo")[1]
    classes = client.get("/data/demo/study.json")[1]["classes"]
    for one in about["gallery"][:3]:
        assert client.get(f"/data/demo/{one['picture']}")[0] == 200
        assert 0 <= one["class"] < len(classes)


@pytest.mark.slow
def test_a_class_is_the_mean_over_its_examples(client: Any, study: Path) -> None:
    status, found, _ = client.post("/image/demo", {"class": 2})
    assert status == 200
    with Reader(study) as reader:
        bench = ModelSession.load("demo", study=reader, device="cpu")
        pictures = bench.examples_of(2)
        assert found["images"] == len(pictures) > 1
        look = bench.inspect(torch.cat([bench.inputs(one) for one in pictures]))
        assert [one["label"] for one in found["predictions"]] == [one.label for one in look.predictions()]
        assert found["predictions"][0]["label"] == reader.classes()[2].label
    unit = found["predictions"][0]["unit"]
    asked = {"branches": [{"units": [unit]}], "most": 4}
    made = client.post(f"/image/demo/{found['image']}/makeups", asked)[1]["makeups"][0]
    assert sum(one["share"] for one in made["feeds"]) == pytest.approx(1)
    assert [one["position"] for one in made["children"]] == [None] * 4
    drawn = client.post(f"/image/demo/{found['image']}/pictures", {"branches": asked["branches"]})[1]["pictures"][0]
    assert drawn["picture"].startswith("data:image/")
    assert client.post(f"/image/demo/{found['image']}/uses", {"unit": unit})[0] == 400
    assert client.post("/image/demo", {"class": 999})[0] == 400


def test_a_unit_that_is_off_is_made_up_and_drawn(client: Any, study: Path, thing: bytes) -> None:
    look = inspector(study)
    units = (Unit(layer, channel) for layer, own in list(look.layers.items())[1:] for channel in range(own.channels))
    off = next(str(unit) for unit in units if look.activation(unit) == 0)
    path = f"/image/demo/{opened(client, thing)['image']}"
    response = client.get(f"{path}/response?unit={off}")[1]
    branches = {"branches": [{"units": [off], "position": response["position"]}]}
    status, answer, _ = client.post(f"{path}/makeups", branches)
    assert status == 200
    (made,) = answer["makeups"]
    assert response["activation"] == 0 > made["value"]
    against = min(made["children"], key=lambda one: one["contribution"])
    below = {"branches": [{"units": [off, against["unit"]], "position": response["position"]}]}
    for question in ("makeups", "pictures"):
        assert client.post(f"{path}/{question}", below)[0] == 200


def test_a_unit_is_told_as_among_the_strongest_and_an_output_leads_to_its_unit(client: Any, thing: bytes) -> None:
    found = opened(client, thing)
    for layer in found["layers"][::5]:
        for strong in layer["strongest"][:2]:
            status, one, _ = client.get(f"/image/demo/{found['image']}/response?unit={strong['unit']}")
            assert (status, one) == (200, strong)
    for prediction in found["predictions"]:
        assert prediction["unit"] == f"head:{prediction['index']}"
        one = client.get(f"/image/demo/{found['image']}/response?unit={prediction['unit']}")[1]
        assert one["activation"] == pytest.approx(prediction["output"], rel=1e-4)
    assert client.get(f"/image/demo/{found['image']}/response?unit=head:4711")[0] == 400


def test_without_a_model_nothing_is_open(study: Path) -> None:
    with Server([study], port=0) as running:
        client = type("C", (), {})
        from urllib.request import urlopen

        with urlopen(f"http://127.0.0.1:{running.port}/image") as found:
            assert found.read() == b'{"studies":{}}'
        del client


@pytest.mark.slow
def test_an_upload_is_answered_as_python_answers(client: Any, thing: bytes, study: Path) -> None:
    found = opened(client, thing)
    look = inspector(study)
    assert found["size"] == [96, 96]
    assert [one["label"] for one in found["predictions"]] == [one.label for one in look.predictions()]
    assert [layer["layer"] for layer in found["layers"]] == list(look.layers)
    unit = found["layers"][-2]["strongest"][0]
    branch = {"units": [unit["unit"]], "position": unit["position"]}
    plain = UnitPath((Unit.parse(unit["unit"]),), tuple(unit["position"]))
    status, answer, _ = client.post(f"/image/demo/{found['image']}/makeups", {"branches": [branch, branch], "most": 5})
    assert status == 200
    (expected,) = look.makeups([plain], most=5)
    assert [one["unit"] for one in answer["makeups"][1]["children"]] == [str(one.unit) for one in expected.strongest]
    assert answer["makeups"][0]["value"] == pytest.approx(image_page.makeup(expected)["value"], rel=1e-4)


def test_an_example_of_the_study_is_opened_by_its_number(client: Any) -> None:
    example = client.get("/image/demo")[1]["examples"][0]
    status, found, _ = client.post("/image/demo", {"example": example})
    assert status == 200
    picture = Image.open(io.BytesIO(client.get(f"/image/demo/{found['image']}/picture")[1]))
    assert picture.size == (96, 96)
    status, error, _ = client.post("/image/demo", {"example": 10**9})
    assert (status, error["kind"]) == (404, "UnknownImage")


def test_pictures_come_with_the_square_that_they_show(client: Any, thing: bytes) -> None:
    found = opened(client, thing)
    unit = found["layers"][3]["strongest"][0]
    asked = {"branches": [{"units": [unit["unit"]], "position": unit["position"]}], "method": "deconv"}
    status, answer, _ = client.post(f"/image/demo/{found['image']}/pictures", asked)
    assert status == 200
    (one,) = answer["pictures"]
    x0, y0, x1, y1 = one["focus"]
    picture = Image.open(io.BytesIO(base64.b64decode(one["picture"].partition(",")[2])))
    assert picture.size == (x1 - x0, y1 - y0)
    assert np.asarray(picture).std() > 0


def test_deleting_a_child_lowers_its_parent(client: Any, thing: bytes) -> None:
    found = opened(client, thing)
    unit = found["layers"][-2]["strongest"][0]
    place = {"unit": unit["unit"], "position": unit["position"]}
    path = f"/image/demo/{found['image']}"
    child = client.post(f"{path}/makeups", {"branches": [{"units": [unit["unit"]], "position": unit["position"]}]})[1]
    best = max(child["makeups"][0]["children"], key=lambda one: one["contribution"])
    (effect,) = client.post(f"{path}/effects", {"cases": [[{"unit": best["unit"]}]], "watched": [place]})[1]["effects"]
    assert effect["before"][0] - effect["after"][0] == pytest.approx(best["contribution"], rel=0.05)
    uses = client.post(f"{path}/uses", {"unit": best["unit"], "most": 200})[1]["uses"]
    assert unit["unit"] in [one["unit"] for users in uses.values() for one in users]


@pytest.mark.slow
def test_a_sheet_holds_the_maps_asked_for(client: Any, thing: bytes, study: Path) -> None:
    found = opened(client, thing)
    status, data, headers = client.get(f"/image/demo/{found['image']}/maps?layer=block2&channels=5,2,9")
    assert status == 200
    height, width = map(int, headers["x-torchlurk-tile"].split(","))
    sheet = np.asarray(Image.open(io.BytesIO(data)))
    columns = int(headers["x-torchlurk-columns"])
    own = inspector(study).maps("block2")[5]
    assert sheet.shape == (-(-3 // columns) * height, columns * width)
    assert np.allclose(sheet[:height, :width], (own / own.max() * 255).numpy(), atol=1.5)


BAD = [
    ("/image/demo", b"no image at all", "image/jpeg", 400, "Data"),
    ("/image/demo", b"", "image/jpeg", 400, "Data"),
    ("/image/demo", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "image/png", 400, "Data"),
    ("/image/demo", b"\0" * (MOST_BYTES + 1), "image/png", 400, "Data"),
    ("/image/demo", b'{"example": "one"}', "application/json", 400, "Option"),
    ("/image/other", b"x", "image/png", 404, "NoModel"),
    (f"/image/demo/{'0' * 64}/makeups", b'{"branches": [{"units": ["head:0"]}]}', "application/json", 404, "UnknownImage"),
    ("/image/demo/../../etc/makeups", b"{}", "application/json", 405, "MethodNotAllowed"),
]


@pytest.mark.parametrize(("path", "body", "kind", "status", "word"), BAD)
def test_what_cannot_be_answered_is_refused_in_one_shape(
    client: Any, path: str, body: bytes, kind: str, status: int, word: str
) -> None:
    got, error, _ = client.post(path, body, kind)
    assert (got, error["kind"]) == (status, word)
    assert set(error) == {"kind", "message", "hint"}
    assert "Traceback" not in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        {"branches": []},
        {"branches": [{"units": ["head:0"]}] * 65},
        {"branches": [{"units": ["head:0"], "position": [-1]}]},
        {"branches": [{"units": []}]},
        {"branches": [{"units": ["head:0"], "more": 1}]},
        {"branches": [{"units": ["head:0"]}], "most": 10**9},
        {"branches": [{"units": ["x" * 10**5 + ":1"]}]},
        {"branches": [{"units": ["nonsense"]}]},
        {"branches": [{"units": ["head:999"]}]},
        {"branches": [{"units": ["head:0"], "position": [3, 3]}]},
        {"branches": [{"units": ["head:0", "stem.0:1"]}]},
        {"branches": [{"units": ["head:0"]}], "method": "magic"},
    ],
)
def test_questions_without_bounds_are_refused(client: Any, thing: bytes, body: dict[str, Any]) -> None:
    name = opened(client, thing)["image"]
    status, error, _ = client.post(f"/image/demo/{name}/makeups", body)
    assert status in (400, 422)
    assert error["message"]


def test_a_page_elsewhere_may_not_ask(client: Any, thing: bytes) -> None:
    status, error, _ = client.post("/image/demo", thing, "image/png", origin="http://elsewhere.example")
    assert (status, error["kind"]) == (403, "Forbidden")


@pytest.mark.slow
def test_a_huge_claim_of_pixels_is_refused_before_memory_is_taken(client: Any) -> None:
    huge = Image.new("1", (30000, 30000))
    target = io.BytesIO()
    huge.save(target, "PNG")
    status, error, _ = client.post("/image/demo", target.getvalue(), "image/png")
    assert (status, error["kind"]) == (400, "Data")
    assert "pixels" in error["message"]


@pytest.mark.slow
def test_only_a_few_images_stay_open(client: Any, thing: bytes) -> None:
    first = opened(client, thing)["image"]
    for shade in range(MOST_OPEN):
        image = io.BytesIO()
        Image.new("RGB", (96, 96), (shade, 40, 200)).save(image, "PNG")
        opened(client, image.getvalue())
    assert client.get(f"/image/demo/{first}/picture")[0] == 404
    assert opened(client, thing)["image"] == first


def test_another_model_than_the_studys_is_refused_before_serving(study: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = tmp_path / "other.pt"
    other = demo_network()
    with torch.no_grad():
        other.head.bias[0] += 1
    torch.save(other.state_dict(), weights)
    with pytest.raises(MismatchError, match="is not the model of"):
        Server([study], port=0, model=ModelChoice("demo", str(weights), "cpu"))


def test_the_model_is_left_as_found_whatever_is_asked(study: Path, thing: bytes) -> None:
    with Reader(study) as reader:
        desk = open_desk(Forest([reader]), ModelChoice("demo", device="cpu"))
        module = desk.benches["demo"].module
        before = {name: one.clone() for name, one in module.state_dict().items()}
        look = desk.open("demo", [DemoWorld(24).read(3).values]).inspector
        root = look.branch("block4:1")
        look.pictures([root])
        with pytest.raises(OptionError):
            look.pictures([root], method="none")
        desk.close()
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
    assert not any(one._forward_hooks or one._forward_pre_hooks or "forward" in vars(one) for one in module.modules())


def test_every_route_is_in_the_reference(client: Any) -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "live.md").read_text()
    for path, methods in client.get("/openapi.json")[1]["paths"].items():
        if path.startswith("/image"):
            for method in methods:
                assert f"`{method.upper()} {path.replace('{slug}', '{s}')}" in page
