"""Names, the nearest ones to a wrong one, and imports that wait until they are needed."""

import collections
import math
import subprocess
import sys

import pytest

from embrl.core.errors import EmbrlError, UnknownNameError, require
from embrl.core.registry import PLUGIN_HINT, Registry
from embrl.embedding.methods import METHODS
from embrl.envs import ENVIRONMENTS, configure

SHELF = Registry("tool", {"hammer": "math:pi", "hammock": "math:tau", "saw": "math:e"})


def test_a_name_gives_its_object() -> None:
    assert SHELF["saw"] == pytest.approx(2.718281828)
    assert list(SHELF) == ["hammer", "hammock", "saw"]
    assert len(SHELF) == 3


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        SHELF["hamer"]
    assert str(caught.value) == "unknown tool 'hamer': did you mean hammer or hammock?"


def test_a_name_like_no_other_is_answered_with_all_of_them() -> None:
    with pytest.raises(UnknownNameError) as caught:
        SHELF["xyz"]
    assert str(caught.value) == "unknown tool 'xyz': choose from hammer, hammock, saw"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda: configure("slotmachine"),
            "unknown environment 'slotmachine': did you mean slot_machine or switches? "
            + PLUGIN_HINT,
        ),
        (
            lambda: configure("gridworld", actuator=9),
            "unknown option of gridworld 'actuator': did you mean actuators?",
        ),
        (lambda: METHODS["jsea"], f"unknown method 'jsea': did you mean jsae? {PLUGIN_HINT}"),
        (
            lambda: configure("zzz"),
            "unknown environment 'zzz': choose from acrobot, cart_pole, chatbot, "
            "continuous_gridworld, "
            "gridworld, joint_replenishment, manoeuvres, mountain_car, recommender, slot_machine, "
            f"switches, traffic_lights, translation. {PLUGIN_HINT}",
        ),
    ],
)
def test_wrong_names_are_errors_of_one_line(ask, message: str) -> None:
    with pytest.raises(EmbrlError) as caught:
        ask()
    assert str(caught.value) == message


def test_every_registered_environment_can_be_configured() -> None:
    for name in ENVIRONMENTS:
        assert configure(name) == ENVIRONMENTS[name]()


def test_methods_name_objectives_that_exist() -> None:
    from embrl.embedding.objectives import OBJECTIVES

    for name in METHODS:
        for objective, weight in METHODS[name].objectives:
            assert callable(OBJECTIVES[objective])
            assert weight > 0


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(EmbrlError, match=r"^nonesuch .*pip install 'embrl\[plot\]'$"):
        require("nonesuch.part", "plot")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, embrl\n"
        "from embrl.core.registry import Registry\n"
        "r = Registry('x', {'a': 'fractions:Fraction'})\n"
        "assert 'jax' not in sys.modules, 'jax'\n"
        "assert 'fractions' not in sys.modules, 'fractions'\n"
        "r['a']\n"
        "assert 'fractions' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_membership_can_be_asked_as_of_any_mapping() -> None:
    assert "saw" in SHELF
    assert "plane" not in SHELF
    assert SHELF.get("plane") is None


def shelf() -> Registry:
    return Registry("tool", {"hammer": "math:pi", "counter": "collections:Counter"})


def test_things_are_added_as_they_are_or_by_where_they_stand() -> None:
    tools = shelf()
    tools.add("plane_2", dict)
    tools.add("saw", "math:e")
    assert tools["plane_2"] is dict
    assert tools["saw"] == pytest.approx(2.718281828)
    assert list(tools) == ["hammer", "counter", "plane_2", "saw"]
    with pytest.raises(UnknownNameError, match=r"unknown tool 'plane_3': did you mean plane_2\?$"):
        tools["plane_3"]


@pytest.mark.parametrize(
    "name", ["", "Saw", "band saw", "band-saw", "2nd", "_saw", "säge", "saw.2", "saw\n", None, 3]
)
def test_what_cannot_be_typed_as_a_flag_is_no_name(name) -> None:
    with pytest.raises(EmbrlError, match=r"^name of tool must be .*, got ") as e:
        shelf().add(name, dict)
    assert "\n" not in str(e.value)


def test_a_name_is_given_once() -> None:
    tools = shelf()
    tools.add("saw", dict)
    for name, other in [("saw", set), ("saw", "builtins:set"), ("hammer", dict), ("hammer", 3.0)]:
        before = tools[name]
        with pytest.raises(EmbrlError, match=f"^tool {name} already exists: .*; choose another"):
            tools.add(name, other)
        assert tools[name] is before
    with pytest.raises(EmbrlError, match=r"already exists: Counter in .*\.py; choose"):
        tools.add("counter", dict)


def test_the_same_thing_may_come_again() -> None:
    tools = shelf()
    tools.add("hammer", "math:pi")
    tools.add("hammer", math.pi)
    tools.add("counter", collections.Counter)
    tools.add("saw", (1, 2.0))
    tools.add("saw", (1, 2.0))
    assert tools["saw"] == (1, 2.0)
    with pytest.raises(EmbrlError, match=r"already exists: \(1, 2.0\)"):
        tools.add("saw", [1, 2.0])


def test_of_a_definition_that_comes_again_the_newest_counts() -> None:
    def saw(teeth: int):
        class Saw:
            number = teeth

        return Saw

    tools = shelf()
    for teeth in (20, 30):
        tools.add("saw", saw(teeth))
        assert tools["saw"].number == teeth


def test_what_cannot_be_imported_is_one_line() -> None:
    tools = shelf()
    for entry in ("nonesuch.part:thing", "math:nonesuch", "math", ":", ""):
        tools.add("saw", entry) if "saw" not in tools else tools._entries.update(saw=entry)
        with pytest.raises(EmbrlError, match=f"^'{entry}' cannot be imported: "):
            tools["saw"]
