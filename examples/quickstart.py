"""A study of the demo in Python, and the unit that is most selective for each class.

python examples/quickstart.py [STUDY] [PICTURES]
"""

import sys

import numpy as np

import torchlurk as tl

out = sys.argv[1] if len(sys.argv) > 1 else "demo.lurk"
pictures = int(sys.argv[2]) if len(sys.argv) > 2 else None

with tl.analyze("demo", "demo", out, limit=pictures) as study:
    layer = study["block4"]
    by_class, _ = study.reader.class_profiles(layer.name)  # the mean of the maximum, for each unit and class
    selectivity = layer.statistics["selectivity"]
    for one in study.classes:
        loving = np.flatnonzero(np.nanargmax(by_class, axis=1) == one.index)
        if len(loving):
            unit = layer[int(loving[np.argmax(selectivity[loving])])]
            best = unit.exemplars("max")[0]
            found = f"selectivity {unit.statistics['selectivity']:.2f}, strongest on {best.path} at {best.position}"
            print(f"{one.label:12} {unit.address:12} {found}")
