"""What every test shares: axes named in signatures are checked, and real models and images are found if they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

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
