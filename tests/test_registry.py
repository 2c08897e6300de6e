"""Names, the nearest ones to a wrong one, and imports that wait until they are needed."""

import subprocess
import sys

import pytest

from embrl.embedding.methods import METHODS, method
from embrl.envs import ENVIRONMENTS, configure
from embrl.errors import EmbrlError, UnknownNameError, require
from embrl.registry import Registry

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
            "unknown environment 'slotmachine': did you mean slot_machine?",
        ),
        (
            lambda: configure("gridworld", actuator=9),
            "unknown option of gridworld 'actuator': did you mean actuators?",
        ),
        (lambda: method("jsea"), "unknown method 'jsea': did you mean jsae?"),
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
        for objective, weight in method(name).objectives:
            assert callable(OBJECTIVES[objective])
            assert weight > 0


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(EmbrlError, match=r"^this needs nonesuch: pip install 'embrl\[plot\]'$"):
        require("nonesuch.part", "plot")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, embrl\n"
        "from embrl.registry import Registry\n"
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
