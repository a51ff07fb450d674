"""What every test shares: axes named in signatures are checked, and real models and images are found if they are there."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import install_import_hook

# What fails in a part of a campaign is told as in a test.
pytest.register_assert_rewrite("campaigns")

# A whole number is a good float, as everywhere in Python (PEP 484).
install_import_hook("torchlurk", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

DATA = Path(os.environ.get("TORCHLURK_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real trained models and images; the test is skipped where it is absent."""
    if not (DATA / "models").is_dir():
        pytest.skip("needs the folder of real models and images (TORCHLURK_TEST_DATA)")
    return DATA


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    """Tests run side by side: more threads each would only fight over the cores."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Path:
    """A finished study: a few layers of the demo network on 60 drawn pictures, each unit of one layer with pictures of an
    attribution and of a synthesis. Copy it before changing it.
    """
    from PIL import Image

    from torchlurk.analysis import analyze_model
    from torchlurk.jobs import Silence
    from torchlurk.options import ComputeOptions, InputOptions, ScanOptions
    from torchlurk.records import Attribution, MethodCheck, Synthesis
    from torchlurk.stages.stage import Settings
    from torchlurk.store.writing import Writer
    from torchlurk.units import Unit

    path = tmp_path_factory.mktemp("demo") / "demo.lurk"
    wanted = ScanOptions(layers=("stem.0", "block1*", "head"), sample=40)
    settings = Settings(inputs=InputOptions(limit=60), scan=wanted, compute=ComputeOptions(batch_size=4))
    analyze_model("demo", "demo", path, None, ("scan",), settings, Silence())
    with Writer(path) as writer:
        for channel in range(32):
            unit = Unit("block1", channel)
            for method, shade in (("guided", 40), ("gradient", 90)):
                pixels = np.full((9, 11, 3), shade + channel, np.uint8)
                Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
                name = writer.write_picture("image/png", file.getvalue())
                writer.write_attributions(unit, [Attribution("max", 0, method, (3, 4, 14, 13), name, 0.5, 0.25)])
            pixels = np.dstack([np.full((20, 20, 3), 250 - channel, np.uint8), np.tile(np.uint8([0, 255] * 10), (20, 1))])
            Image.fromarray(pixels).save(file := io.BytesIO(), "PNG")
            name = writer.write_picture("image/png", file.getvalue())
            writer.write_synthesis(unit, Synthesis("lucid", name, 3.0, 1.5, 0.99, 0.8, None if channel else "weak", 0, 128))
        writer.write_check("block1", MethodCheck("guided", 0.93, True))
        writer.write_effective_field("block1", 7.5, 8.0)
    return path
