"""What two runs of a stage are said to differ in."""

from dataclasses import replace

from torchlurk.run_records import Run
from torchlurk.stages.mismatch import differences

RUN = Run("scan", "net", "m", "corpus.txt", "d", {"limit": 100, "tap": "auto"}, 0, "1", "")


def test_of_another_limit_the_data_is_not_said_to_be_another():
    now = replace(RUN, data_fingerprint="e", options={"limit": 50, "tap": "auto"})
    assert differences(RUN, now, ("made with", "now")) == ["--limit (made with 100, now 50)"]
    assert "the data" in differences(RUN, replace(now, options=RUN.options), ("made with", "now"))[0]
    assert len(differences(RUN, replace(now, data="other.txt"), ("made with", "now"))) == 2


def test_a_run_that_names_no_decoder_was_decoded_by_pillow():
    words = ("made with", "now")
    assert differences(RUN, replace(RUN, options=RUN.options | {"decoder": "pillow"}), words) == []
    now = replace(RUN, options=RUN.options | {"decoder": "gpu"})
    assert differences(RUN, now, words) == ['--decoder (made with "pillow", now "gpu")']
