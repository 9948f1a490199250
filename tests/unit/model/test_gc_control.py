"""The collector of cycles stays away for a while, and comes back."""

import gc

import pytest

from mqguard.model.process import gc_disabled


@pytest.fixture(autouse=True)
def the_collector():
    """Whatever fails here, others have it."""
    yield
    gc.enable()


@gc_disabled()
def looked(failure=None):
    if failure is not None:
        raise failure
    return gc.isenabled()


def test_it_is_away_meanwhile_and_then_back():
    """Around a block, and around a function, as often as that is called; whatever happens in it."""
    with gc_disabled():
        assert not gc.isenabled()
    for _ in range(2):
        assert gc.isenabled()
        assert not looked()
    with pytest.raises(ValueError, match="no"):
        looked(ValueError("no"))
    assert gc.isenabled()


def test_who_did_without_does_without_afterwards():
    gc.disable()

    with gc_disabled():
        assert not looked()

    assert not gc.isenabled()
