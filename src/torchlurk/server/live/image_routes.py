"""One image: opened by an upload or as an example of the study, then asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from fastapi import APIRouter, Path, Query, Request
from pydantic import TypeAdapter
from starlette.responses import JSONResponse, Response

from torchlurk.errors import DataError, NoModelError, OptionError
from torchlurk.hierarchy.descent import passages
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.inputs.pictures.decoding import decode_bytes, eight_bit
from torchlurk.model_session import ModelSession, Picture
from torchlurk.resources import image_page
from torchlurk.server.live.drawing import as_plane, exact_picture, in_focus, sheet_of
from torchlurk.server.live.model_worker import ModelWorker, OpenImage
from torchlurk.server.live.requests import LONGEST_NAME, AskedBranches, AskedClass, AskedEffects, AskedExample, AskedUses
from torchlurk.store import queries
from torchlurk.units import Unit, whole_number

Result = TypeVar("Result")

MOST_BYTES = 16 * 2**20
MOST_PIXELS = 40 * 10**6
MOST_EXAMPLES = 200
LONGEST_LIST = 8192
"""Characters of a list of channels."""
"""Digits."""
STRONGEST = 8
SERVED = {"cache-control": "no-store"}

Slug = Annotated[str, Path(max_length=200)]
Name = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


def image_routes(desk: ModelWorker) -> APIRouter:
    """`/image`: what models there are, an image opened, and what is asked of it."""
    router = APIRouter(tags=["image"])

    @router.get("/image", summary="The studies beside which their model is open")
    async def studies() -> Response:
        """By slug."""
        return _json({"studies": {slug: {"model": bench.name} for slug, bench in desk.benches.items()}})

    @router.get("/image/{slug}", summary="What can be asked about, and examples to begin with")
    async def about(slug: Slug) -> Response:
        """Methods, and the numbers of examples whose pictures the study holds."""
        bench = bench_of(desk, slug)
        assert bench.study is not None
        examples = queries.examples_with_pictures(bench.study, MOST_EXAMPLES)
        return _json(
            {
                "model": bench.name,
                "input": list(bench.study.input_shape()),
                "methods": list(passages()),
                "examples": examples,
                "gallery": image_page.gallery(bench.study, examples),
            }
        )

    @router.post("/image/{slug}", summary="Open an image: an image file as the body, or JSON {example} or {class}")
    async def open_image(request: Request, slug: Slug) -> Response:
        """Its name, what the network says of it, and the units of each layer that stand out."""
        bench = bench_of(desk, slug)
        pictures = await _pictures(request, bench)
        return _json(await desk.ask(lambda: _overview(desk.open(slug, pictures))))

    @router.get("/image/{slug}/{name}/picture", summary="The image as the network sees it")
    async def picture(slug: Slug, name: Name) -> Response:
        """A PNG, without loss."""
        media_type, data = exact_picture(desk.image(name).pixels)
        return Response(data, media_type=media_type, headers=SERVED)

    @router.get("/image/{slug}/{name}/response", summary="One unit in this image")
    async def response(slug: Slug, name: Name, unit: Annotated[str, Query(max_length=LONGEST_NAME)]) -> Response:
        """Where it is strongest, what it sees there, and how that is beside what is usual."""
        asked = Unit.parse(unit)
        (found,) = image_page.responses([await desk.ask(lambda: desk.image(name).inspector.response(asked))])
        return _json(found)

    @router.get("/image/{slug}/{name}/maps", summary="The maps of a layer's units in this image, as one sheet")
    async def maps(
        slug: Slug,
        name: Name,
        layer: Annotated[str, Query(max_length=LONGEST_NAME)],
        channels: Annotated[str, Query(max_length=LONGEST_LIST)] = "",
    ) -> Response:
        """All of them, or some in the order asked for, each over its own largest value; `x-torchlurk-*` say how they lie."""
        return await desk.ask(lambda: _maps(desk.image(name).inspector, layer, channels))

    @router.post("/image/{slug}/{name}/makeups", summary="What nodes are made of")
    async def makeups(slug: Slug, name: Name, asked: AskedBranches) -> Response:
        """For each branch its children with their shares."""
        branches = [one.value() for one in asked.branches]

        def work() -> list[Any]:
            look = desk.image(name).inspector
            return [image_page.makeup(one) for one in look.makeups(branches, most=asked.most, method=asked.method)]

        return _json({"makeups": await desk.ask(work)})

    @router.post("/image/{slug}/{name}/pictures", summary="What of the image reaches a root through each branch")
    async def pictures(slug: Slug, name: Name, asked: AskedBranches) -> Response:
        """For each branch the square around which its picture is, and the picture."""
        branches = [one.value() for one in asked.branches]

        def work() -> list[Any]:
            found = desk.image(name).inspector.pictures(branches, method=asked.method)
            drawn = [(one, *in_focus(one)) for one in found]
            return [
                {**image_page.branch(one.branch), "box": list(one.box), "focus": list(focus), "picture": address}
                for one, focus, address in drawn
            ]

        return _json({"method": asked.method, "pictures": await desk.ask(work)})

    @router.post("/image/{slug}/{name}/uses", summary="The units that a unit feeds")
    async def uses(slug: Slug, name: Name, asked: AskedUses) -> Response:
        """By layer, those to which it gives most first."""
        unit, position = Unit.parse(asked.unit), None if asked.position is None else tuple(asked.position)
        found = await desk.ask(lambda: desk.image(name).inspector.uses(unit, position, most=asked.most))
        return _json({"unit": str(unit), "uses": image_page.uses(found)})

    @router.post("/image/{slug}/{name}/effects", summary="What deleting or scaling units does")
    async def effects(slug: Slug, name: Name, asked: AskedEffects) -> Response:
        """For each case what is watched, and the predictions, before and after."""
        cases = [[one.value() for one in case] for case in asked.cases]
        watched = [(Unit.parse(one.unit), tuple(one.position)) for one in asked.watched]
        found = await desk.ask(lambda: desk.image(name).inspector.effects(cases, watched))
        return _json({"effects": [image_page.effect(one) for one in found]})

    return router


def bench_of(desk: ModelWorker, slug: str) -> ModelSession:
    """The model beside the study; raises `NoModelError` where there is none."""
    if slug not in desk.benches:
        raise NoModelError(
            f"no model is open for the study '{slug[:100]}'",
            f"there is one for {', '.join(desk.benches)}; start the server with --model",
        )
    return desk.benches[slug]


def uploaded_pixels(bench: ModelSession, data: bytes) -> Picture:
    """An image file's content as the network sees it; raises `DataError` for what is too large, or no image."""
    try:
        return bench.pixels(decode_bytes(data, most_pixels=MOST_PIXELS))
    except DataError as error:
        raise DataError(f"what was sent {error.message}", "send a JPEG, PNG, WebP or another image file") from error


def prepared_pixels(bench: ModelSession, data: bytes) -> Picture:
    """The content of an image file that has the network's size already; raises `DataError` where it has another, too."""
    assert bench.study is not None
    channels, height, width = bench.study.input_shape()
    try:
        image = decode_bytes(data, most_pixels=MOST_PIXELS)
        if image.size != (width, height):
            raise DataError(f"is {image.width}x{image.height} and not {width}x{height}, the network's size")
        pixels = np.array(eight_bit(image, channels))
    except DataError as error:
        raise DataError(
            f"what was sent {error.message}", "send an image file of that size, or do not declare it prepared"
        ) from error
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


async def _pictures(request: Request, bench: ModelSession) -> Sequence[Picture]:
    """What is to be opened: one image, or the examples of a class."""
    body = await _body(request)
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return [await torch_free(lambda: uploaded_pixels(bench, body))]
    try:
        asked = TypeAdapter(AskedExample | AskedClass).validate_json(body)
    except ValueError as error:
        raise OptionError('the body is neither {"example": number} nor {"class": number}', "or send an image file") from error
    if isinstance(asked, AskedClass):
        of = asked.of
        return await torch_free(lambda: bench.examples_of(of))
    example = asked.example
    return [await torch_free(lambda: bench.example(example))]


async def _body(request: Request) -> bytes:
    """The body, read no further than it may be long."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > MOST_BYTES:
            raise DataError(f"the upload is larger than {MOST_BYTES // 2**20} MiB", "send a smaller image")
    return bytes(found)


async def torch_free(work: Callable[[], Result]) -> Result:
    """What `work` gives, done beside the model's thread."""
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(work)


def _overview(image: OpenImage) -> dict[str, Any]:
    look = image.inspector
    height, width = image.pixels.shape[:2]
    return {
        "image": image.name,
        "size": [width, height],
        "images": len(look.inputs),
        "predictions": [
            {**image_page.prediction(one), "unit": _address(look.class_unit(one.index))} for one in look.predictions()
        ],
        "layers": [{"layer": name, "strongest": image_page.responses(look.strongest(name, STRONGEST))} for name in look.layers],
    }


def _address(unit: Unit | None) -> str | None:
    return None if unit is None else str(unit)


def _maps(look: Inspector, layer: str, channels: str) -> Response:
    found = as_plane(look.maps(layer))
    if channels:
        chosen = [whole_number(one) for one in channels.split(",")]
        if any(one is None or one >= len(found) for one in chosen):
            raise OptionError(
                f"'{channels[:100]}' are not channels of layer '{layer}'",
                f"it has {len(found)}; comma-separated numbers from 0",
            )
        found = found[torch.tensor(chosen, device=found.device)]
    sheet = sheet_of(found, scale="map")
    headers = {
        **SERVED,
        "x-torchlurk-columns": str(sheet.columns),
        "x-torchlurk-tile": f"{sheet.tile[0]},{sheet.tile[1]}",
        "x-torchlurk-signed": str(sheet.signed).lower(),
    }
    return Response(sheet.data, media_type=sheet.media_type, headers=headers)


def _json(document: Any) -> Response:
    return JSONResponse(document, headers=SERVED)
