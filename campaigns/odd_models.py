"""Models that are odd or wrong: what is in their files, and what is said of each."""

from pathlib import Path

from campaigns.senseless import WORKS, Command, in_full

HEAD = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)
        self.seen = 0

    def scores(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))

    def forward(self, x):
        self.seen += 1
"""

FORWARDS = {
    "raises": 'raise ValueError("no, two\\nlines")',
    "raises-later": "assert len(x) > 4 or self.seen < 8, 'the last ones'\n        return self.scores(x)",
    "raises-nothing": "raise ValueError",
    "raises-very-long": 'raise ValueError("x" * 100000)',
    "raises-base": "raise BaseException('so')",
    "raises-memory": "raise MemoryError",
    "raises-deep": "return self.forward(x)",
    "exits": "raise SystemExit(0)",
    "exits-later": "if self.seen > 7: raise SystemExit(3)\n        return self.scores(x)",
    "interrupted": "raise KeyboardInterrupt",
    "returns-none": "return None",
    "returns-text": "return 'a'",
    "returns-dict": "return {'logits': self.scores(x), 'more': [x, None]}",
    "returns-tuple": "return self.scores(x), (x, {})",
    "returns-numbers": "return self.scores(x).tolist()",
    "returns-complex": "return torch.complex(self.scores(x), self.scores(x))",
    "returns-whole-numbers": "return self.scores(x).long()",
    "returns-one-number": "return self.scores(x).sum()",
    "returns-nothing-of-a-batch": "return self.scores(x)[:0]",
    "nan": "return self.scores(x) * float('nan')",
    "nan-inside": "return self.scores(x * float('nan'))",
    "infinite": "return self.scores(x) / 0",
    "prints": "print('hello', flush=True)\n        return self.scores(x)",
    "in-place": "x.mul_(0.5)\n        return self.scores(x)",
    "grows": "self.add_module(f'm{self.seen}', nn.Linear(1, 1))\n        return self.scores(x)",
    "trains": "self.train()\n        return self.scores(x)",
    "by-chance": "return self.scores(x + torch.randn_like(x))",
    "two-inputs": "pass\n    def forward(self, x, y):\n        return self.scores(x + y)",
    "no-inputs": "pass\n    def forward(self):\n        return None",
    "half": "return self.scores(x.half())",
    "huge": "return self.scores(torch.zeros(10**12, 3, 9, 9))",
    "grey-only": "return self.scores(x.reshape(len(x), 1, 16, 16).expand(-1, 3, -1, -1))",
    "gradients": "torch.autograd.grad(self.scores(x.requires_grad_()).sum(), x)\n        return self.scores(x)",
    "changes-modules": "self.conv = nn.Conv2d(3, 4, 3)\n        return self.scores(x)",
    "warns": "import warnings; warnings.warn('odd')\n        return self.scores(x)",
    "threads": "import threading; threading.Thread(target=print).start()\n        return self.scores(x)",
    "no-layers": "return x.mean((2, 3))",
}

FILES: dict[str, str | bytes] = {
    "syntax": "def net(:",
    "tabs": "def net():\n\tx = 1\n        return x",
    "nul": b"net = 1\0",
    "bytes": bytes(range(256)),
    "empty": "",
    "import": "import no_such_module_at_all\nnet = None",
    "ends": "import sys; sys.exit(3)",
    "ends-well": "raise SystemExit",
    "raises": "1 / 0",
    "interrupts": "raise KeyboardInterrupt",
    "memory": "raise MemoryError('all of it')",
    "arguments": "def net(a, b): ...",
    "none": "def net(): return None",
    "three": "def net(): return 1, 2, 3",
    "text": "net = 'a net'",
    "raises-in-call": "def net(): raise KeyError('weights')",
    "deep": "def net(): return net()",
    "class": "from torch import nn\nclass net(nn.Module):\n    def __init__(self): pass",
    "bare": "from torch import nn\nclass net(nn.Module): pass",
    "no-parameters": "from torch import nn\nnet = nn.Flatten",
    "identity": "from torch import nn\ndef net(): return nn.Identity()",
    "meta": "from torch import nn\ndef net(): return nn.Conv2d(3, 4, 3, device='meta')",
    "lazy": "from torch import nn\ndef net(): return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))",
    "double": "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).double()",
    "half": "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).half()",
    "frozen": "from torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).requires_grad_(False)",
    "script": "import torch\nfrom torch import nn\ndef net(): return torch.jit.script(nn.Conv2d(3, 4, 3))",
    "huge": "from torch import nn\ndef net(): return nn.Linear(10**7, 10**7)",
    "preprocessing": "from torch import nn\ndef net(): return nn.Conv2d(3, 4, 3), {'mean': 'a'}",
    "chatters": "print('x' * 10**6)\nfrom torch import nn\ndef net(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())",
    "twice": "from torch import nn\nc = nn.Conv2d(3, 3, 3)\ndef net(): return nn.Sequential(c, c, c)",
    "circle": "from torch import nn\ndef net():\n    m = nn.Conv2d(3, 3, 3); m._modules['m'] = m\n    return m",
    "attributes": "class net:\n    def __getattr__(self, name): raise RuntimeError(name)",
}

SAID = {
    "forward raises": "Net cannot run on an input of 3×16×16: ValueError: no, two lines",
    "forward raises-later": r"Net failed on a batch of 4 examples \(a/0\.png, a/2\.png, a/4\.png and 1",
    "forward raises-nothing": "Net cannot run on an input of 3×16×16: ValueError: no message",
    "forward raises-very-long": "Net cannot run on an input of 3×16×16: ValueError: .*",
    "forward raises-base": "the model or the data raised BaseException: so in",
    "forward raises-memory": "Net cannot run on an input of 3×16×16: MemoryError: no message",
    "forward raises-deep": "Net cannot run on an input of 3×16×16: RecursionError: maximum",
    "forward exits": r"the model or the data ended the program: SystemExit\(0\) in",
    "forward exits-later": r"the model or the data ended the program: SystemExit\(3\) in",
    "forward interrupted": "interrupted: what was computed is kept; rerun the same command to",
    "forward returns-none": "Net has no layer whose output has channels",
    "forward returns-text": "Net has no layer whose output has channels",
    "forward two-inputs": "the forward of Net needs y in addition to its input",
    "forward no-inputs": "the forward of Net takes no input",
    "forward half": "Net cannot run on an input of 3×16×16: RuntimeError: Input type",
    "forward huge": r"Net cannot run on an input of 3×16×16: RuntimeError: \[enforce fail at",
    "forward grey-only": r"Net cannot run on an input of 3×16×16: RuntimeError: shape '\[2, 1, 16,",
    "forward gradients": "Net cannot run on an input of 3×16×16: RuntimeError: element 0 of",
    "forward no-layers": r"no layer of the model can be read \(conv: the first example does not",
    "file syntax": r"'file-syntax\.py:net' failed at .*/file-syntax\.py line 1: SyntaxError:",
    "file tabs": r"'file-tabs\.py:net' failed at .*/file-tabs\.py line 3: TabError:",
    "file nul": r"'file-nul\.py:net' failed at file-nul\.py line 1: SyntaxError: source",
    "file bytes": r"'file-bytes\.py:net' failed at file-bytes\.py line 1: SyntaxError: source",
    "file empty": r"there is no 'net' in file-empty\.py",
    "file import": r"'file-import\.py:net' failed at .*/file-import\.py line 1:",
    "file ends": r"'file-ends\.py:net' failed at .*/file-ends\.py line 1: SystemExit: 3",
    "file ends-well": r"'file-ends-well\.py:net' failed at .*/file-ends-well\.py line 1: SystemExit",
    "file raises": r"'file-raises\.py:net' failed at .*/file-raises\.py line 1:",
    "file interrupts": "interrupted: what was computed is kept; rerun the same command to",
    "file memory": r"'file-memory\.py:net' failed at .*/file-memory\.py line 1: MemoryError:",
    "file arguments": r"'file-arguments\.py:net' needs arguments: a, b",
    "file none": r"'file-none\.py:net' returned NoneType",
    "file three": r"'file-three\.py:net' returned \(int, int, int\)",
    "file text": r"'file-text\.py:net' is a str, not a function",
    "file raises-in-call": r"'file-raises-in-call\.py:net' failed at .*/file-raises-in-call\.py line 1:",
    "file deep": r"'file-deep\.py:net' failed at .*/file-deep\.py line 1: RecursionError:",
    "file class": r"net is not set up: its __init__ does not call super\(\)\.__init__\(\)",
    "file bare": "net cannot run on an input of 3×16×16: NotImplementedError: Module",
    "file no-parameters": "no layer of the model can be read",
    "file identity": "no layer of the model can be read",
    "file meta": "'bias' of the model has no values yet",
    "file lazy": r"'0\.bias' of the model has no values yet",
    "file script": "the model is a TorchScript module",
    "file huge": r"'file-huge\.py:net' failed at .*/file-huge\.py line 2: RuntimeError:",
    "file preprocessing": "the model's preprocessing cannot be read: could not",
    "file circle": "Conv2d lies in itself, as 'm'",
    "file attributes": r"'file-attributes\.py:net' returned net",
}

SPECS = {
    "": "'' is not a model",
    ":": "':' is not a model",
    "::": "'::' is not a model",
    "net": "'net' is not a model",
    "net.py": r"'net\.py' is a file; it does not say which of its models to use",
    "net.py:": r"'net\.py' is a file; it does not say which of its models to use",
    "net.py:1": r"'net\.py' is a file; it does not say which of its models to use",
    "net.py:Nope": r"there is no 'Nope' in net\.py; nearest: Net",
    "net.py:nn.Module": r"'net\.py' is a file; it does not say which of its models to use",
    "absent.py": r"there is no file 'absent\.py'; nearest: net\.py, file-tabs\.py,",
    "absent.py:net": r"there is no file 'absent\.py'; nearest: net\.py, file-tabs\.py,",
    "data:net": "there is no 'net' in data",
    "data.py:net": r"'data\.py' is a folder, not a Python file; nearest: net\.py,",
    "nopackage.nets:net": r"there is no module 'nopackage' for 'nopackage\.nets:net'",
    "json:loads": "'json:loads' needs arguments: s",
    "os:getcwd": "'os:getcwd' returned str",
    "torch.nn:Conv2d": r"'torch\.nn:Conv2d' needs arguments: in_channels, out_channels,",
    "torchvision:": "'torchvision:' is not a model",
    "torchvision:resnet81": "'resnet81' is not in torchvision; nearest: resnet18, resnet152,",
    "torchvision:../x": r"'\.\./x' is not in torchvision",
    "timm:": "'timm:' is not a model",
    "timm:nope": "'nope' is not in timm",
    "hf:": "'hf:' is not a model",
    "hf:./absent": r"there is no folder '\./absent' with a model",
    "hf:data": "the folder 'data' holds no model of transformers: Unrecognized model in",
    "hf:a/b/c": "there is no folder 'a/b/c' with a model",
    "LONG": "'x{59}… is not a model",
    "LONG.py:net": ".*: File name too long",
    "demo2": "'demo2' is not a model",
    "http://example.invalid/net.py:net": r"there is no file 'http://example\.invalid/net\.py'",
    "-": "'-' is not a model",
    "a\nb": "'a b' is not a model",
    "\udcff.py:net": r"there is no file '\?\.py'; nearest: net\.py",
}


def prepare(folder: Path) -> None:
    """Writes their files."""
    for name, body in FORWARDS.items():
        (folder / f"forward-{name}.py").write_text(f"{HEAD}        {body}\n")
    for name, content in FILES.items():
        (folder / f"file-{name}.py").write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "data.py").mkdir()


def of(model: str) -> list[str]:
    """An analysis with it."""
    return ["analyze", in_full(model), "data", "--out", "s.lurk", "--batch-size", "4"]


MODELS: dict[str, Command] = {
    **{f"forward {name}": (of(f"forward-{name}.py:Net"), SAID.get(f"forward {name}", WORKS)) for name in FORWARDS},
    **{f"file {name}": (of(f"file-{name}.py:net"), SAID.get(f"file {name}", WORKS)) for name in FILES},
    **{f"spec {one[:40]!r}": (of(one), said) for one, said in SPECS.items()},
}
