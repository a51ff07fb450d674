"""What is noted of many layers in the same words is read once."""

from __future__ import annotations

from torchlurk.store.notes import said_once

UNDEFINED = "lrp is not defined for a softmax, which this network uses"


def test_one_reason_for_many_layers_is_one_line_that_names_the_first_few():
    notes = [("attribute", f"layer blocks.{number}, lrp_plus: {UNDEFINED}") for number in range(9)]
    names = "blocks.0, blocks.1, blocks.2, blocks.3, blocks.4 and 4 more layers"
    assert said_once([("data", "dark"), *notes, ("ties", "tied")]) == [
        ("data", "dark"),
        ("attribute", f"each of 9 layers ({names}), lrp_plus: {UNDEFINED}"),
        ("ties", "tied"),
    ]


def test_other_methods_reasons_and_kinds_stay_apart():
    notes = [
        ("attribute", f"layer a, lrp: {UNDEFINED}"),
        ("attribute", f"layer a, captum:DeepLift: {UNDEFINED}"),
        ("attribute", "layer b, lrp: it is given several rows"),
        ("synthesize", f"layer b, lrp: {UNDEFINED}"),
        ("network", "layer b receives the examples of a batch in a different order (sorting?)"),
    ]
    assert said_once(notes) == notes


def test_a_reason_that_names_its_own_layer_is_the_same_reason():
    notes = [("synthesize", f"layer {name}, lucid: layer '{name}' does not depend on the picture") for name in "ab"]
    assert said_once(notes) == [("synthesize", "each of 2 layers (a, b), lucid: the layer does not depend on the picture")]
    assert said_once(notes[:1]) == notes[:1]


def test_layers_that_are_left_out_for_one_reason_are_one_line():
    notes = [("layer", f"layer experts.{number} is left out: the first example does not reach it") for number in (0, 3)]
    assert said_once(notes) == [
        ("layer", "each of 2 layers (experts.0, experts.3) is left out: the first example does not reach it")
    ]
