"""Connections that are no session are counted, in all and by address; and refusals by their reason."""

from __future__ import annotations

import errno

import pytest

from trio_router.core.config import AffinityConfig, RouterConfig
from trio_router.core.errors import OWN_SHORTAGE, DialError, own_shortage
from trio_router.core.events import Refusal
from trio_router.core.http.connection_limits import SCARCE_PER_ADDRESS, TOO_MANY, TOO_MANY_OF_ADDRESS, ConnectionLimits
from trio_router.core.session.table import SessionTable
from trio_router.operations.totals import RefusalTotals


def test_one_address_cannot_take_all_places() -> None:
    door = ConnectionLimits(10, 2)
    assert [door.enter("a"), door.enter("a"), door.enter("a")] == [None, None, TOO_MANY_OF_ADDRESS]
    assert door.enter("b") is None
    assert repr(door) == "<ConnectionLimits open=3 of 10, addresses=2>"


def test_all_addresses_together_are_capped() -> None:
    door = ConnectionLimits(2, 2)
    assert [door.enter("a"), door.enter("b"), door.enter("c")] == [None, None, TOO_MANY]
    assert repr(door) == "<ConnectionLimits open=2 of 2, addresses=2>"


def test_who_leaves_makes_room_and_is_forgotten() -> None:
    door = ConnectionLimits(1, 1)
    for address in ("a", "a", "b"):
        assert door.enter(address) is None
        door.leave(address)
    assert repr(door) == "<ConnectionLimits open=0 of 1, addresses=0>"


def test_two_of_one_address_leave_one_after_the_other() -> None:
    door = ConnectionLimits(4, 2)
    door.enter("a")
    door.enter("a")
    door.leave("a")
    assert door.open == 1
    assert door.enter("a") is None
    assert door.enter("a") == TOO_MANY_OF_ADDRESS


def test_where_descriptors_are_scarce_one_address_gets_a_few() -> None:
    door = ConnectionLimits(100, 100)
    assert [door.enter("a", scarce=True) for _ in range(SCARCE_PER_ADDRESS + 1)][-2:] == [None, TOO_MANY_OF_ADDRESS]
    assert door.enter("a") is None


def test_refusals_are_counted_by_reason() -> None:
    session_table = SessionTable()
    totals = RefusalTotals(session_table)
    for reason in ("unknown_path", "draining", "unknown_path"):
        totals.refused(Refusal(reason, "192.0.2.1"))
    assert session_table.refused == {"unknown_path": 2, "draining": 1}


@pytest.mark.parametrize("number", sorted(OWN_SHORTAGE))
def test_the_routers_own_lack_is_found_wherever_it_stands(number: int) -> None:
    lack = OSError(number, "words")
    caused, met = OSError("all attempts failed"), ValueError("met")
    caused.__cause__ = ExceptionGroup("several", [OSError(errno.ECONNREFUSED, "no"), lack])
    met.__context__ = lack
    for exc in (lack, caused, met):
        assert own_shortage(exc) is lack


def test_what_is_the_replicas_doing_is_no_lack_of_the_router() -> None:
    hidden = OSError(errno.ECONNREFUSED, "no")
    hidden.__context__ = OSError(errno.EMFILE, "was dealt with")
    hidden.__suppress_context__ = True
    for exc in (None, OSError(errno.ECONNREFUSED, "no"), OSError("words"), ValueError(), hidden):
        assert own_shortage(exc) is None
    assert not DialError("no").own
    assert DialError("router is out of file descriptors", own=True).own


def test_the_secret_is_not_shown() -> None:
    secret = "a secret of many letters"
    rule = AffinityConfig(cookie="c", secret=secret)
    assert rule.secret == secret
    assert secret not in repr(rule) + str(rule)


def test_the_secret_is_not_in_the_traceback_of_another_mistake() -> None:
    secret = "a secret of many letters"
    with pytest.raises(ValueError, match="replicas") as caught:
        RouterConfig(replicas=(), affinity={"cookie": "c", "secret": secret})
    with pytest.raises(ValueError, match="secret") as short:
        RouterConfig(affinity={"cookie": "c", "secret": "too short"})
    with pytest.raises(ValueError, match="cookie") as wrong:
        AffinityConfig(cookie="?", secret=secret, keys=("nothing:known",))
    assert secret not in str(caught.value) + str(wrong.value)
    assert "too short" not in str(short.value)
