"""The engine that runs a job on the actors of a Ray cluster: the same study, also where actors die."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

import torchlurk as tl
from torchlurk.engines import naming
from torchlurk.errors import DataError, DeviceError, MismatchError, MissingExtraError, ModelError, OptionError
from torchlurk.inputs.opening import open_source
from torchlurk.options import ComputeOptions, InputOptions
from torchlurk.study import Study

ray = pytest.importorskip("ray")

from torchlurk.engines import cluster_crew  # noqa: E402
from torchlurk.engines.cluster import _knock  # noqa: E402
from torchlurk.engines.cluster_actor import Hand  # noqa: E402
from torchlurk.engines.description import Description  # noqa: E402

pytestmark = pytest.mark.slow

SCAN = {"mean": (0, 0, 0), "std": (1, 1, 1), "batch_size": 8, "sample": 16, "top": 3}
LATER = {"stages": ["attribute", "synthesize"], "steps": 2, "exemplars": 1, "methods": ["gradient", "guided"]}


class Net(nn.Module):
    """A small network of pictures."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu, self.head = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


class Pictures:
    """Random pictures, enough for several shards. Reading number `fatal` ends the process so often as `folder` lacks files."""

    def __init__(self, folder: Path | None = None, fatal: int = 300, times: int = 1, here: int = 0) -> None:
        self.folder, self.fatal, self.times, self.here = folder, fatal, times, here

    def __len__(self) -> int:
        return 400

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if index == self.fatal and self.folder and os.getpid() != self.here:
            died = len(list(self.folder.iterdir()))
            if died < self.times:
                (self.folder / str(died)).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(index)), index % 5


class Failing(Net):
    """Fails at a picture that only a later batch has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        last = torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(399))
        if any(torch.equal(one, last) for one in x):
            raise ValueError("no such picture")
        return super().forward(x)


@pytest.fixture(autouse=True)
def _no_test_hangs():
    """Whatever a busy machine does to Ray, a test ends."""

    def end(*_):
        raise TimeoutError("the cluster has not answered for minutes")

    usual = signal.signal(signal.SIGALRM, end)
    signal.alarm(400)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, usual)


@pytest.fixture(scope="module")
def cluster():
    """A small cluster of this process."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    ray.init("local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the engine said."""
    return []


@pytest.fixture(scope="module")
def two(cluster, said):
    """An engine with two actors, which stay from one test to the next."""
    engine = naming.engine_of("ray:auto", ComputeOptions(actors=2), said.append)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Path:
    """The study that one process makes; `scan.lurk` beside it is the same after the scan."""
    path = tmp_path_factory.mktemp("ray") / "usual.lurk"
    tl.analyze(Net(), Pictures(), path, engine="local", **SCAN).close()
    shutil.copy(path, path.with_name("scan.lurk"))
    tl.analyze(Net(), Pictures(), path, engine="local", **SCAN | LATER).close()
    return path


def test_two_actors_make_the_study_that_one_process_makes(two, usual, tmp_path, same_scan, same_pictures):
    tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine=two, **SCAN).close()
    with tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine=two, **SCAN | LATER) as study, Study(usual) as expected:
        same_scan(expected, study)
        same_pictures(expected, study)


def test_a_stream_that_a_file_makes_is_sent_as_it_is(two, tmp_path, same_scan):
    (tmp_path / "beside.py").write_text("COUNT = 300\n")
    (tmp_path / "data.py").write_text(
        "import beside, torch\n"
        "class Stream(torch.utils.data.IterableDataset):\n"
        "    def __iter__(self):\n"
        "        for index in range(beside.COUNT):\n"
        "            yield torch.rand(3, 10, 10, generator=torch.Generator().manual_seed(index)), index % 5\n"
    )
    data = f"{tmp_path / 'data.py'}:Stream"
    with tl.analyze(Net(), data, tmp_path / "s.lurk", engine=two, **SCAN) as study:
        same_scan(study, tl.analyze(Net(), data, tmp_path / "here.lurk", engine="local", **SCAN))


def test_work_of_an_actor_that_dies_is_done_by_others(two, said, usual, tmp_path, same_scan):
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    before = len(said)
    fatal = Pictures(deaths, times=2, here=os.getpid())
    scanned = usual.with_name("scan.lurk")
    with tl.analyze(Net(), fatal, tmp_path / "s.lurk", engine=two, **SCAN) as study, Study(scanned) as expected:
        same_scan(expected, study)
    assert len(list(deaths.iterdir())) == 2
    assert len([one for one in said[before:] if one.startswith("an actor was lost on ")]) == 2


def test_a_piece_of_work_that_kills_every_actor_is_not_given_for_ever(two, tmp_path):
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    with pytest.raises(
        DeviceError,
        match=r"^4 actors were lost one after the other while nothing got done, the last on .*fewer actors",
    ):
        tl.analyze(Net(), Pictures(deaths, times=99, here=os.getpid()), tmp_path / "s.lurk", engine=two, **SCAN)


def test_what_fails_in_an_actor_is_said_as_if_it_had_failed_here(two, tmp_path):
    with pytest.raises(ModelError) as here:
        tl.analyze(Failing(), Pictures(), tmp_path / "here.lurk", engine="local", **SCAN)
    with pytest.raises(ModelError) as there:
        tl.analyze(Failing(), Pictures(), tmp_path / "there.lurk", engine=two, **SCAN)
    assert str(there.value) == str(here.value)
    assert "no such picture" in str(here.value)


def test_a_module_that_an_actor_has_not_is_named(two, tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("from torch import nn\n\nclass Net(nn.Conv2d):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    network = importlib.import_module("only_here").Net(3, 4, 3)
    with pytest.raises(DeviceError, match=r"^an actor has no module 'only_here'.*PYTHONPATH"):
        tl.analyze(network, Pictures(), tmp_path / "s.lurk", engine=two, **SCAN)


def test_data_that_cannot_be_sent_is_named(two, tmp_path):
    data = Pictures()
    data.lock = threading.Lock()
    with pytest.raises(OptionError, match=r"^the data cannot be sent to another process: source\.\w+\.lock: .*_thread\.lock"):
        tl.analyze(Net(), data, tmp_path / "s.lurk", engine=two, **SCAN)
    assert not (tmp_path / "s.lurk").exists()


def test_a_cluster_that_starts_no_actor_is_not_waited_for_for_ever(cluster, two, tmp_path, monkeypatch):
    two.close()  # the room is needed
    monkeypatch.setattr(cluster_crew, "PATIENCE", 0.01)
    monkeypatch.setattr(cluster_crew, "MOST_PATIENCE", 0.02)
    with pytest.raises(DeviceError, match=r"^no actor for 0 s: each needs 4 cores, free in the cluster: .*rerun"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine="ray:auto", actors=1, **SCAN)


def test_a_machine_with_other_versions_is_refused(two, tmp_path, monkeypatch):
    two.close()  # the room is needed
    monkeypatch.setattr(cluster_crew, "versions", lambda: {"torch": "0.4"})
    with pytest.raises(MismatchError, match=r"has other versions: .*torch .*, here 0\.4"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine="ray:auto", actors=1, **SCAN)
    assert not (tmp_path / "s.lurk").exists()


def test_a_machine_that_does_not_see_the_data_says_so(tmp_path):
    class Elsewhere(Description):
        @contextmanager
        def opened(self):
            yield SimpleNamespace(source=SimpleNamespace(root=tmp_path / "elsewhere"))

    with pytest.raises(DataError, match=r"^the data is not there on .*elsewhere"):
        Hand(1).open(Elsewhere(b"", b"", b""))


def test_a_machine_whose_folder_is_empty_says_so_instead_of_skipping_its_examples(tmp_path):
    for number in range(20):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{number}.png")
    source = open_source(str(tmp_path), InputOptions())

    class Empty(Description):
        @contextmanager
        def opened(self):
            yield SimpleNamespace(source=source)

    for number in range(1, 20):
        (tmp_path / f"{number}.png").unlink()
    Hand(1).open(Empty(b"", b"", b""))
    (tmp_path / "0.png").unlink()
    with pytest.raises(DataError, match=r"^none of the data can be read on .* \(0\.png: cannot be opened: No such file"):
        Hand(1).open(Empty(b"", b"", b""))


def test_more_actors_than_there_is_room_for_are_refused(cluster, tmp_path):
    with pytest.raises(OptionError, match=r"^actors is 5, and the cluster has room for 4: each needs 1 core, and there are 4"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine="ray:auto", actors=5, **SCAN)
    with pytest.raises(OptionError, match=r"has room for 0: each needs 4 cores and 2 GPUs.*gpus_per_actor=0"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine="ray:auto", actors=1, gpus_per_actor=2, **SCAN)
    with pytest.raises(OptionError, match=r"^the cluster has no room for an actor, which needs 4 cores and 2 GPUs: "):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine="ray:auto", gpus_per_actor=2, **SCAN)
    assert not (tmp_path / "s.lurk").exists()


def test_an_address_that_does_not_answer_is_said_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
    with pytest.raises(
        DeviceError, match=rf"^no Ray cluster answers at {address}: .*refused   \(start one: ray start --head\)$"
    ):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine=f"ray:{address}", **SCAN)
    monkeypatch.setenv("RAY_ADDRESS", address)  # as of a cluster that is gone
    with pytest.raises(DeviceError, match=rf"^no Ray cluster answers at [\d.]+:{address.rpartition(':')[2]}: .*refused"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine="ray:auto", **SCAN)
    for engine in ("ray:here", "ray://127.0.0.1:9"):
        with pytest.raises(OptionError, match=rf"^engine is '{engine}'   \(write ray, ray:auto or ray:HOST:PORT\)"):
            tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", engine=engine, **SCAN)
    assert not (tmp_path / "s.lurk").exists()


def test_what_listens_and_is_not_ray_is_told_from_it(cluster):
    _knock(ray.get_runtime_context().gcs_address)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def refuse() -> None:
            with server.accept()[0] as connection:
                connection.recv(100)
                connection.sendall(b"HTTP/1.1 400 Bad Request")

        answering = threading.Thread(target=refuse, daemon=True)
        answering.start()
        with pytest.raises(DeviceError, match=r"^what listens at 127\.0\.0\.1:\d+ is not a Ray cluster"):
            _knock(f"127.0.0.1:{server.getsockname()[1]}")
        answering.join()


def test_actors_of_another_engine_are_refused(tmp_path):
    with pytest.raises(OptionError, match=r"^actors is 2, and engine is 'threads'   \(only the actors of engine ray"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", actors=2, **SCAN)
    with pytest.raises(OptionError, match="gpus_per_actor is -1"):
        tl.analyze(Net(), Pictures(), tmp_path / "s.lurk", gpus_per_actor=-1, **SCAN)


def test_without_ray_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchlurk.engines.cluster", None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs Ray .*pip install 'torchlurk\[ray\]'"):
        naming.engine_of("ray")
