"""The classes of the drawn world: which things there are, where they are found and how they are posed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torchlurk.inputs.demo import animals, boats_and_aircraft, buildings, plants, small_animals, vehicles
from torchlurk.inputs.demo.canvas import Canvas
from torchlurk.inputs.demo.rng import Dice
from torchlurk.inputs.demo.scenery import Scene


@dataclass(frozen=True, slots=True)
class Thing:
    """One class: how it is painted, where it is found (place → weight), how far it reaches to the sides, how large it
    may be (pixels per unit), how far it may lean (degrees).

    A thing with a `foot` stands or floats on the floor of the scene, on a shadow that wide; one without hovers.
    """

    paint: Callable[[Canvas, Dice, Scene], None]
    places: Mapping[str, float]
    foot: float | None = None
    reach: float = 1.0
    sizes: tuple[float, float] = (33, 41)
    tilt: float = 3


LAND = {"meadow": 3, "street": 2, "beach": 1, "snow": 1.5, "paper": 3}
GARDEN = {"meadow": 4, "street": 0.7, "beach": 0.7, "snow": 1, "paper": 3}
COAST = {"beach": 3, "sea": 3, "meadow": 1, "snow": 0.7, "paper": 2}
TRACKS = {"meadow": 4, "street": 1.5, "snow": 2, "beach": 0.7, "paper": 3}
AIR = {"clouds": 3, "meadow": 1.5, "street": 0.7, "beach": 1, "paper": 2, "snow": 0.5}

THINGS: Mapping[str, Thing] = {
    "airplane": Thing(boats_and_aircraft.airplane, {**AIR, "clouds": 4}, sizes=(30, 43), tilt=16),
    "bee": Thing(small_animals.bee, {"meadow": 4, "clouds": 1, "paper": 3, "street": 0.5}, sizes=(27, 41), tilt=20),
    "bicycle": Thing(vehicles.bicycle, LAND, foot=0.95, reach=1.05, sizes=(32, 43)),
    "bus": Thing(vehicles.bus, {**LAND, "street": 4}, foot=1.0, sizes=(32, 44)),
    "butterfly": Thing(small_animals.butterfly, {"meadow": 4, "clouds": 1, "paper": 3, "beach": 0.5}, sizes=(29, 44), tilt=35),
    "car": Thing(vehicles.car, {**LAND, "street": 4}, foot=1.0, sizes=(32, 44)),
    "castle": Thing(buildings.castle, {"meadow": 4, "beach": 1, "snow": 2, "paper": 3}, foot=0.95, sizes=(33, 44), tilt=1),
    "cat": Thing(animals.cat, LAND, foot=0.62, reach=0.95, sizes=(35, 47)),
    "fish": Thing(small_animals.fish, {"underwater": 6, "paper": 3, "clouds": 0.5}, sizes=(28, 42), tilt=18),
    "flower": Thing(plants.flower, GARDEN, foot=0.36, reach=0.75, sizes=(33, 44)),
    "house": Thing(buildings.house, LAND, foot=0.9, reach=1.0, sizes=(34, 46), tilt=1),
    "lighthouse": Thing(buildings.lighthouse, COAST, foot=0.72, reach=0.75, sizes=(33, 42), tilt=2),
    "mushroom": Thing(plants.mushroom, GARDEN, foot=0.5, sizes=(33, 46)),
    "owl": Thing(animals.owl, {"meadow": 2.5, "snow": 2, "street": 1, "paper": 3}, foot=0.5, sizes=(34, 46)),
    "rabbit": Thing(animals.rabbit, GARDEN, foot=0.55, reach=0.75, sizes=(33, 42)),
    "rocket": Thing(boats_and_aircraft.rocket, {"space": 4, "clouds": 2, "meadow": 0.7, "paper": 2.5}, sizes=(29, 39), tilt=38),
    "sailboat": Thing(boats_and_aircraft.sailboat, {"sea": 6, "beach": 0.7, "paper": 2.5}, foot=0.9, sizes=(30, 40), tilt=7),
    "snail": Thing(small_animals.snail, GARDEN, foot=0.95, reach=1.08, sizes=(32, 43)),
    "train": Thing(vehicles.train, TRACKS, foot=1.05, reach=1.1, sizes=(31, 41)),
    "tree": Thing(plants.tree, {**GARDEN, "street": 1.2, "beach": 1.2}, foot=0.5, reach=0.85, sizes=(34, 46)),
}  # fmt: skip
"""Every class by name; the order is that of the class indices."""

NAMES = tuple(THINGS)
