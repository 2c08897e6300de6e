"""Forms of action masks, and what is done with masks."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embrl.core.errors import EmbrlError
from embrl.core.masks import (
    MaskForms,
    check_allowed,
    instead_of_masked,
    open_if_empty,
    pack,
    packed_length,
    unpack,
)

FIRST, SECOND = np.array([1, 0, 1]), np.array([1, 1, 0, 0])
PRODUCT = np.outer(FIRST, SECOND).astype(bool)

FORMS = {
    "one after another": np.concatenate([FIRST, SECOND]),
    "a list of flags": [*FIRST.tolist(), *SECOND.tolist()],
    "a list of the parts": [FIRST, SECOND],
    "a tuple of the parts": (FIRST.astype(bool), SECOND.astype(np.int8)),
    "lists of flags": [FIRST.tolist(), SECOND.tolist()],
    "objects": np.array([FIRST, SECOND], dtype=object),
    "product": PRODUCT.astype(float),
    "lists of the product": PRODUCT.tolist(),
    "flat": PRODUCT.ravel().astype(np.uint8),
}


@pytest.mark.parametrize("mask", FORMS.values(), ids=FORMS)
def test_every_form_is_the_same_mask(mask):
    forms = MaskForms([3, 4])
    np.testing.assert_array_equal(forms(mask), PRODUCT.ravel())
    np.testing.assert_array_equal(forms(mask, (2, 5)), np.tile(PRODUCT.ravel(), (2, 5, 1)))
    if isinstance(mask, np.ndarray) and mask.dtype != object:
        many = np.stack([mask, mask, np.ones_like(mask)])
        expected = [PRODUCT.ravel(), PRODUCT.ravel(), np.ones(12)]
        np.testing.assert_array_equal(forms(many, (3,)), expected)
    else:
        np.testing.assert_array_equal(forms([mask] * 3, (3,)), [PRODUCT.ravel()] * 3)


@pytest.mark.parametrize(
    ("mask", "got"),
    [
        (np.ones(5), r"\[5\]"),
        ([1, 0, 1], "a list of 3"),
        ([[1, 0], [1, 1, 0, 0]], r"2 parts \[2\], \[4\]"),
        (np.ones((2, 7)), r"\[2, 7\]"),
        (None, "None"),
        ("on", "'on'"),
        (["on"] * 7, "a list of 7"),
        (({"a": 1},), "a list of 1"),
        ([10**400] * 7, "a list of 7"),
        ([[[1], [1, 2]], [1, 0, 1, 1]], "2 parts"),
        ([[None] * 4] * 3, "3 parts"),
    ],
)
def test_other_forms_are_refused_in_a_line_that_names_those_there_are(mask, got):
    with pytest.raises(EmbrlError, match=rf"action mask.*\[12\] or \[3, 4\].*\[7\].*got.*{got}"):
        MaskForms([3, 4])(mask, what="action mask")
    with pytest.raises(EmbrlError, match=r"\[9\], got shape \[4\]"):
        MaskForms([9])(np.ones(4))


@pytest.mark.parametrize("masked", [-np.inf, -1e9, np.nan, -1])
def test_a_mask_that_is_added_to_logits_is_refused_not_read_the_other_way(masked):
    mask = np.zeros(7)
    mask[2] = masked
    for form in (mask, [mask[:3], mask[3:]]):
        with pytest.raises(EmbrlError, match=r"flags of a mask .* 0 or more, got"):
            MaskForms([3, 4])(form)


def test_two_binary_parts_are_read_one_after_another():
    forms = MaskForms([2, 2])
    np.testing.assert_array_equal(forms([0, 1, 1, 0]), [False, False, True, False])
    np.testing.assert_array_equal(forms(np.eye(2)), [True, False, False, True])


def test_a_mask_is_a_copy():
    mask = np.ones(4, bool)
    found = MaskForms([4])(mask)
    mask[:] = False
    assert found.all()


@given(st.data())
def test_what_replaces_masked_actions_is_uniform_among_the_others(data):
    n = data.draw(st.integers(1, 40))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    mask[data.draw(st.integers(0, n - 1))] = True
    allowed = np.flatnonzero(mask)
    action = np.repeat(np.arange(n), 2 * len(allowed))
    uniform = np.tile((np.arange(2 * len(allowed)) + 0.5) / (2 * len(allowed)), n)
    found = instead_of_masked(action, uniform, np.broadcast_to(mask, (len(action), n)))
    np.testing.assert_array_equal(found[mask[action]], action[mask[action]])
    for each in np.flatnonzero(~mask):
        np.testing.assert_array_equal(found[action == each], np.repeat(allowed, 2))
    top = np.nextafter(np.float32(1), np.float32(0))
    first: Any = np.int32(0)
    assert instead_of_masked(first, top, mask) in allowed


def test_many_masks_are_alike_compiled_and_packed():
    rng = np.random.default_rng(0)
    mask: Any = rng.random((30, 7_830)) < 0.001
    mask[0] = False
    mask = open_if_empty(mask)
    assert mask.any(-1).all()
    assert mask[0].all()
    action = rng.integers(7_830, size=30).astype(np.int32)
    uniform = rng.random(30, np.float32)
    found = instead_of_masked(action, uniform, mask)
    assert mask[np.arange(30), found].all()
    np.testing.assert_array_equal(
        found, instead_of_masked(*map(jnp.asarray, (action, uniform, mask)))
    )
    packed = pack(mask)
    assert packed.shape == (30, packed_length(7_830)) == (30, 979)
    np.testing.assert_array_equal(packed, pack(jnp.asarray(mask)))
    np.testing.assert_array_equal(unpack(jnp.asarray(packed), 7_830), mask)


def test_a_mask_that_allows_nothing_says_so():
    with pytest.raises(EmbrlError, match="mask allows no action"):
        check_allowed(np.array([[True, False], [False, False]]))
    with pytest.raises(EmbrlError, match="no action that is not excluded"):
        check_allowed(np.array([True, False]), np.array([False, True]))
