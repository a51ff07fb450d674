"""The one place where the model runs: a thread that takes one question at a time, and the images that are open."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from torchlurk.errors import BusyError, MismatchError, TorchlurkError, UnknownImageError
from torchlurk.hierarchy.inspector import Inspector
from torchlurk.input_words import KINDS, check_one_model
from torchlurk.model_session import ASKING, ModelSession, Picture
from torchlurk.models.loading.identity import fingerprint
from torchlurk.models.loading.load import check_no_weights, load
from torchlurk.resources.tree import Forest, StudyTree
from torchlurk.server.model_choice import ModelChoice

Result = TypeVar("Result")

MOST_WAITING = 32
"""Questions that may wait for the model; more are refused."""
MOST_OPEN = 4
"""Images that are kept open, each with all activations of one pass; the one not used for longest goes first."""
MOST_STREAMS = 16


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image in the model of a study, or several of which everything is the mean; `pixels` is theirs."""

    name: str
    pixels: Picture
    inspector: Inspector


class ModelWorker:
    """Models by the slug of their study. Everything that touches them runs in one thread, one thing after the other."""

    def __init__(self, benches: Mapping[str, ModelSession]) -> None:
        self.benches = benches
        self.streams = 0
        self._thread = ThreadPoolExecutor(1, "torchlurk-model")
        self._waiting = 0
        self._open: OrderedDict[str, OpenImage] = OrderedDict()
        self._lock = threading.Lock()

    async def ask(self, work: Callable[[], Result]) -> Result:
        """What `work` gives, done when its turn comes; raises `BusyError` where too much is waiting already."""
        if self._waiting >= MOST_WAITING:
            raise BusyError(f"{self._waiting} requests are already waiting for the model", "try again in a moment")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    def open(self, slug: str, pictures: Sequence[Picture]) -> OpenImage:
        """Opens an image, which goes by what it shows, or several as one; to be called where the model runs."""
        stack = np.stack(pictures)
        name = hashlib.sha256(slug.encode() + str(stack.shape).encode() + stack.tobytes()).hexdigest()
        with self._lock:
            known = name in self._open
        if not known:
            bench = self.benches[slug]
            inputs = torch.cat([bench.inputs(one) for one in pictures])
            made = OpenImage(name, stack.mean(0).round().astype(np.uint8), bench.inspect(inputs))
            with self._lock:
                self._open[name] = made
                while len(self._open) > MOST_OPEN:
                    self._open.popitem(last=False)
        return self.image(name)

    def image(self, name: str) -> OpenImage:
        """The open image of that name; raises `UnknownImageError` for one that is not open, or no longer."""
        with self._lock:
            found = self._open.get(name)
            if found is not None:
                self._open.move_to_end(name)
        if found is None:
            raise UnknownImageError("this image is not open, or no longer open", "open it again")
        return found

    def close(self) -> None:
        """Ends the thread, after what it is at."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._open.clear()


def open_desk(forest: Forest, choice: ModelChoice) -> ModelWorker:
    """The model beside those of the studies that were made with it; raises `MismatchError` where none was."""
    given = choice.model
    name = given if isinstance(given, str) else type(given).__name__
    if isinstance(given, str):
        model = load(given, choice.weights, preprocessing=False).module
    else:
        check_no_weights(choice.weights)
        model = given
    own = fingerprint(model)
    benches: dict[str, ModelSession] = {}
    unasked: list[StudyTree] = []
    for slug, tree in forest.trees.items():
        run = tree.reader.runs().get("scan")
        if run is None or run.model_fingerprint != own:
            continue
        if not KINDS[tree.reader.inputs().kind].one_model:
            unasked.append(tree)
            continue
        benches[slug] = ModelSession(
            model,
            study=tree.reader,
            class_names=choice.class_names,
            device=choice.device,
            called=name,
            constants=choice.constants,
            further_inputs=choice.further_inputs,
        )
    if not benches and unasked:
        check_one_model(ASKING, str(unasked[0].reader.path), unasked[0].reader.inputs().kind)
    if not benches:
        raise MismatchError(_difference(forest, name), "give the --model and --weights that the study was made with")
    return ModelWorker(benches)


def _difference(forest: Forest, model: str) -> str:
    studies: Sequence[str] = [str(tree.reader.path) for tree in forest.trees.values()]
    made_with: set[str] = set()
    for tree in forest.trees.values():
        try:
            made_with |= {run.model for run in tree.reader.runs().values()}
        except TorchlurkError:  # damaged: its pages say so
            continue
    made = ", ".join(sorted(made_with)) or "none"
    return f"{model} with these weights is not the model of {', '.join(studies)} (made with {made})"
