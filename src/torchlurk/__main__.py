"""`python -m torchlurk` is `torchlurk`."""

from torchlurk.cli import main

main()
