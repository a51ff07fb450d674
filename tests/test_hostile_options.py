"""A part of the campaign `hostile_options`: senseless commands are refused in one line, without a traceback."""

import pytest

from campaigns.hostile_options import check
from campaigns.odd_data import FOLDERS
from campaigns.odd_models import MODELS
from campaigns.senseless import OPTIONS, prepared

SOME = {
    "options": (OPTIONS, ["--crop 2", "--weights net.py", "--engine 'threads:²'", "--device cuda:99", "--stages attribute"]),
    "data": (FOLDERS, ["special", "bomb", "names", "named '/proc/self/mem'", "objects.npy"]),
    "models": (MODELS, ["forward raises-base", "forward exits-later", "file circle", "file bytes", "spec 'absent.py'"]),
}
SECONDS = 20.0
"""With types checked at each call it takes longer than a campaign allows."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("senseless")
    prepared(made)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("about", SOME)
def test_what_makes_no_sense_is_refused_in_a_line(folder, about):
    table, names = SOME[about]
    assert check({name: table[name] for name in names}, folder, SECONDS)["commands"] == len(names)
