"""Options that make no sense, and the folder in which they are given; and what is said of each."""

import shlex
from pathlib import Path

import numpy as np
from PIL import Image

Command = tuple[list[str], str]
"""The arguments of a command, and a pattern of what has to be said of them, or `WORKS`."""
WORKS = ""

STANDS_FOR = {"DIGITS": "9" * 5000, "VERY_LONG": "x" * 100_000, "LONG": "x" * 300}

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))
"""


def pictures(folder: Path, count: int = 8) -> None:
    """Small pictures of two classes."""
    for index in range(count):
        file = folder / "ab"[index % 2] / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(index).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(file)


def prepared(folder: Path) -> None:
    """A model, its pictures, a study of them, and what else the commands name."""
    import torchlurk
    from campaigns import odd_data, odd_models

    (folder / "net.py").write_text(NET)
    pictures(folder / "data")
    (folder / "text.txt").write_text("a text")
    (folder / "empty.lurk").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    torchlurk.analyze(f"{folder}/net.py:Net", str(folder / "data"), folder / "whole.lurk", device="cpu").close()
    odd_data.prepare(folder)
    odd_models.prepare(folder)


ANALYZING = {
    "--crop 99999": "--crop is 99999",
    "--crop 0": "--crop is 0",
    "--crop 3,3,3": "Invalid value for '--crop': '3,3,3' is neither a number of pixels nor",
    "--crop '²'": "Invalid value for '--crop': '²' is neither a number of pixels nor",
    "--crop 2": "Net cannot run on an input of 3×2×2: RuntimeError: Calculated padded",
    "--resize 1,99999999": r"--resize is \(1, 99999999\)",
    "--resize x": "Invalid value for '--resize': 'x' is neither a number of pixels nor",
    "--interpolation cubic": "Invalid value for '--interpolation': 'cubic' is not one of 'nearest',",
    "--mean nan,0,0": r"--mean is \(nan, 0\.0, 0\.0\)",
    "--mean 1,2": r"none of the 8 examples in data can be read \(a/0\.png: is an image but",
    "--mean 1e308,1e308,1e308 --std 1e-308,1e-308,1e-308": r"--std is \(1e-308, 1e-308, 1e-308\)",
    "--mean a,b,c": "Invalid value for '--mean': 'a,b,c' is not a comma-separated list of",
    "--std 0,1,1": r"--std is \(0\.0, 1\.0, 1\.0\)",
    "--std inf,1,1": r"--std is \(inf, 1\.0, 1\.0\)",
    "--mean 0,0,0 --std .5": r"--std is \(0\.5,\)",
    "--limit 0": "--limit is 0",
    "--limit 1e9": "Invalid value for '--limit': '1e9' is not a valid integer",
    "--limit 999999999999999999999999999999": WORKS,
    "--limit DIGITS": "Invalid value for '--limit'",
    "--kind sound": "--kind is 'sound'",
    "--kind text": "text needs the vocabulary that the model was trained with",
    "--classes absent.csv": r"--classes absent\.csv: No such file or directory",
    "--classes net.py": r"--classes net\.py has the line 'import torch'",
    "--classes data": "--classes data: Is a directory",
    "--class-names absent.json": r"--class-names absent\.json: No such file or directory",
    "--class-names data": "--class-names data: Is a directory",
    "--class-names /dev/zero": "--class-names /dev/zero: it is not a regular file, and it is larger",
    "--input-axes xyz": "Invalid value for '--input-axes': 'xyz' is not one of 'bt', 'tb',",
    "--tokenizer wordpiece": "--tokenizer is 'wordpiece'",
    "--tokenizer absent.json": "--tokenizer is for text; DATA is pictures",
    "--window 0": "--window is 0",
    "--window 5": "--window is for text; DATA is pictures",
    "--burn-in 300": "--burn-in is 300",
    "--vocabulary absent.json": "--vocabulary is for text; DATA is pictures",
    "--tracks absent.tsv": "--tracks is for text; DATA is pictures",
    "--layers 'nope*'": r"no layer matches 'nope\*'",
    "--layers '['": r"no layer matches '\['",
    "--tap input": "Invalid value for '--tap': 'input' is not one of 'activation', 'output'",
    "--top 0": "--top is 0",
    "--top 1001": "--top is 1001",
    "--streams nope": "--streams names 'nope', which no layer has",
    "--streams ''": r"--streams is \(\)",
    "--keep-steps '*'": "--keep-steps is for text and series; DATA is pictures",
    "--precision fp8": "Invalid value for '--precision': 'fp8' is not one of 'fp32', 'bf16'",
    "--seed -1": "--seed is -1",
    "--seed 99999999999999999999": "--seed is 99999999999999999999",
    "--sample 0": "--sample is 0",
    "--sample 70000": "--sample is 70000",
    "--device gpu": "--device is 'gpu'",
    "--device cuda:99": "this machine has no device 'cuda:99'",
    "--device meta": "--device is 'meta'",
    "--device cpu:7": "--device is 'cpu:7'",
    "--device ''": "--device is ''",
    "--engine spark": "--engine is 'spark'",
    "--engine threads:0": "--engine is 'threads:0'",
    "--engine 'threads:²'": "--engine is 'threads:²'",
    "--engine ray:nowhere:1": r"no Ray cluster answers at nowhere:1: \[Errno -2\] Name or service not",
    "--batch-size 0": "--batch-size is 0",
    "--batch-size 999999999999999999": WORKS,
    "--workers -1": "--workers is -1",
    "--workers 100000": WORKS,
    "--stages scam": "--stages names 'scam'; nearest: scan",
    "--stages ''": "--stages names no stage",
    "--stages attribute": r"the scan of 's\.lurk' is not finished",
    "--part 9/3": "--part is '9/3'",
    "--part 1/99999999999": "--part is 1/99999999999: 8 examples are shared in runs of 32, which are",
    "--part 1/2 --from absent.lurk": "--from does not apply to a part of the scan, which starts from scratch",
    "--serve --port 99999999": "Invalid value for '--port': 99999999 is not in the range 0<=x<=65535",
    "--weights random": r"--weights random has no effect for 'net\.py:Net'",
    "--weights absent.pt": r"there is no weights file 'absent\.pt'",
    "--weights net.py": r"'net\.py' is damaged, or is not a weights file",
    "--weights data": "'data' is a folder, not a weights file",
    "--bogus": r"No such option '--bogus'\. Did you mean '--out'\?",
}

EVERYTHING = {
    "--units nope:3": "there is no layer 'nope'",
    "--units conv:99": "layer 'conv' has no channel 99",
    "--units conv": "'conv' is not a unit",
    "--units conv:-1": "'conv:-1' is not a unit",
    "--methods magic": "no method 'magic'",
    "--methods ../x": r"--methods is '\.\./x'",
    "--methods ''": WORKS,
    "--methods captum:Nope": "no method 'Nope' in Captum",
    "--exemplars 0": "--exemplars is 0",
    "--exemplars 999999999999999999": WORKS,
    "--presets nope": "there is no preset 'nope'",
    "--presets ''": r"--presets is \(\)",
    "--steps 0": "--steps is 0",
    "--size 100000": "--size is 100000",
    "--size 1": WORKS,
}

OTHERS = {
    "show whole.lurk conv:DIGITS": "'conv:.* is not a unit",
    "analyze": "Missing argument 'MODEL'",
    "analyze net.py:Net data": "Missing option '--out'",
    "analyze net.py:Net data --out ''": r"'\.' is not a study",
    "analyze net.py:Net data --out empty.lurk": r"'empty\.lurk' is not a study",
    "analyze net.py:Net data --out absent/s.lurk": r"there is no folder 'absent' to write 's\.lurk' in",
    "analyze net.py:Net data --out text.txt": r"'text\.txt' is not a study",
    "analyze net.py:Net data --out text.txt/s.lurk": r"there is no folder 'text\.txt' to write 's\.lurk' in",
    "note whole.lurk conv:0 --name VERY_LONG": "the name has 100,000 characters; 100 are the most",
    "analyze net.py:Net data --out /dev/full": "'/dev/full' is not a study",
    "analyze net.py:Net data --out /dev/null": "'/dev/null' is not a study",
    "analyze net.py:Net data --out /proc/s.lurk": r"there is no folder '/proc' to write 's\.lurk' in",
    "analyze net.py:Net data --out whole.lurk --limit 3": r"whole\.lurk was made with different settings",
    "layers net.py:Net --input 3,100000,100000": "--input has 30,000,000,000 numbers",
    "layers net.py:Net --input 0,3,3": "--input is '0,3,3'",
    "layers net.py:Net --input 1,2,3,4": "--input is '1,2,3,4'",
    "layers net.py:Net --input 3,DIGITS,1": "--input is '3,.*",
    "layers net.py:Net --input 3,1,1": "Net cannot run on an input of 3×1×1: RuntimeError: Calculated padded",
    "layers net.py:Net --input 77": r"Net cannot run on these inputs: the inputs are text, and conv \(Conv2d\)",
    "show absent.lurk conv:0": r"there is no study 'absent\.lurk'; nearest: empty\.lurk, whole\.lurk",
    "show text.txt conv:0": r"'text\.txt' is not a study",
    "show data conv:0": "'data' is not a study",
    "show /dev/zero conv:0": "'/dev/zero' is not a study",
    "show whole.lurk conv:99": "layer 'conv' has no channel 99",
    "show whole.lurk cnov:1": r"no layer 'cnov' in 'whole\.lurk'; nearest: conv",
    "show whole.lurk 99": "'99' is not a unit",
    "show whole.lurk conv:1 --out x.gif": r"'x\.gif' does not end in \.png or \.jpg or \.jpeg or \.webp or \.pdf",
    "show whole.lurk conv:1 --out absent/x.png": r"cannot write 'absent/x\.png': No such file or directory",
    "show whole.lurk conv:1 --rendering red": "Invalid value for '--rendering': 'red' is not one of 'signed',",
    "export whole.lurk full": "'full' ",
    "export whole.lurk text.txt": r"'text\.txt' ",
    "export absent.lurk site": r"there is no study 'absent\.lurk'",
    "serve whole.lurk --host nowhere.invalid": r"cannot listen on nowhere\.invalid, port 8000",
    "serve whole.lurk --host 203.0.113.9": r"cannot listen on 203\.0\.113\.9, port 8000: Cannot assign requested address",
    "serve whole.lurk --port -1": "Invalid value for '--port': -1 is not in the range 0<=x<=65535",
    "serve whole.lurk --weights w.pt": "--weights is given without --model",
    "serve whole.lurk --model net.py:Nope": r"there is no 'Nope' in net\.py; nearest: Net",
    "serve whole.lurk --model demo": r"demo with these weights is not the model of whole\.lurk \(made with",
    "serve whole.lurk --model demo --host nowhere.invalid": r"cannot listen on nowhere\.invalid, port 8000",
    "serve absent.lurk": r"there is no study 'absent\.lurk'; nearest: empty\.lurk, whole\.lurk",
    "check absent.lurk": r"there is no study 'absent\.lurk'; nearest: empty\.lurk, whole\.lurk",
    "check data": "'data' is not a study",
    "check text.txt": r"'text\.txt' is not a study",
    "check /dev/zero": "'/dev/zero' is not a study",
    "units whole.lurk --out x.bin": r"'x\.bin' does not end in \.csv or \.parquet",
    "units absent.lurk": r"there is no study 'absent\.lurk'; nearest: empty\.lurk, whole\.lurk",
    "note whole.lurk conv:99 --name x": "layer 'conv' has no channel 99",
    "note whole.lurk conv:0 --name '\udcff'": "the name contains characters that cannot be shown",
    "explain whole.lurk --model net.py:Net": "give either an IMAGE or a --class",
    "explain whole.lurk absent.png --model net.py:Net": r"there is no image 'absent\.png'",
    "explain whole.lurk text.txt --model net.py:Net": r"'text\.txt' is not an image",
    "explain whole.lurk /dev/zero --model net.py:Net": "'/dev/zero' is not an image",
    "explain whole.lurk data/a/0.png --model net.py:Net --children 0": "--children is 0",
    "explain whole.lurk data/a/0.png --model net.py:Net --depth 99": "--depth is 99",
    "explain whole.lurk data/a/0.png --model net.py:Net --method nope": "method 'nope' cannot draw pictures along a path",
    "explain whole.lurk data/a/0.png --model net.py:Net --unit conv:99": "layer 'conv' has no channel 99",
    "explain whole.lurk data/a/0.png --model net.py:Net --out t.png": r"'t\.png' does not end in \.svg",
    "explain whole.lurk data/a/0.png --model net.py:Net --class a": "give either an IMAGE or a --class",
    "explain whole.lurk --class nope --model net.py:Net": "the study has no class 'nope'",
    "merge --out m.lurk": r"Missing argument 'PART\.\.\.'",
    "merge whole.lurk --out m.lurk": r"'whole\.lurk' is not a part of a study",
    "merge whole.lurk whole.lurk --out whole.lurk": r"'whole\.lurk' is not a part of a study",
    "merge absent.lurk --out m.lurk": r"there is no study 'absent\.lurk'; nearest: empty\.lurk, whole\.lurk",
    "demo --no-serve --with whole.lurk": "--with is given with --no-serve",
    "demo --out absent/d.lurk": r"there is no folder 'absent' to write 'd\.lurk' in",
    "demo --out text.txt --no-serve": r"'text\.txt' is not a study",
    "nope": "No such command 'nope'",
    "--bogus": "No such option '--bogus'",
}


def in_full(text: str) -> str:
    """A text of the tables with what its words stand for."""
    for word, meant in STANDS_FOR.items():
        text = text.replace(word, meant)
    return text


def command(line: str, said: str) -> Command:
    """What is written as on a terminal."""
    return [in_full(one) for one in shlex.split(line)], said


def analyzing(options: str, said: str, *, stages: str = "scan") -> Command:
    """An analysis with options."""
    return command(f"analyze net.py:Net data --out s.lurk --stages {stages} {options}", said)


OPTIONS: dict[str, Command] = {
    **{options: analyzing(options, said) for options, said in ANALYZING.items()},
    **{options: analyzing(options, said, stages="scan,attribute,synthesize") for options, said in EVERYTHING.items()},
    **{line: command(line, said) for line, said in OTHERS.items()},
}
