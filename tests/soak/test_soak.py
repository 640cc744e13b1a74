"""A slice of `make soak`: the same rounds, three small ones."""

from __future__ import annotations

import pytest

from tests.soak.plan import Size
from tests.soak.run import soak

pytestmark = pytest.mark.process

SLICE = Size(generators=2, stamped=18, clients=2, unstamped=6, messages=10, records=5, updates=1)


@pytest.mark.timeout(600)
def test_misbehaving_functions_leave_nothing_behind_and_every_invocation_is_answered_and_logged_once():
    """Everything that ends badly takes a way of its own through the emulator, and may leave something there."""
    made = soak(seconds=0, seed=20261124, size=SLICE, tell=print, least_rounds=3)
    assert made.answered == 3 * (2 * 18 + 2 * 6)
    assert made.attempts > 144
