"""Default settings, and settings that stop the start."""

import dataclasses
import itertools

import pytest

from mqguard.guard.errors import GuardMisconfigured
from mqguard.guard.settings import Enforcement, GuardSettings, Strategy, WhenAuditFull, parse_whitelist


def test_what_holds_where_nothing_is_said():
    assert dataclasses.asdict(GuardSettings()) == {
        "authentication_enabled": False,
        "authorization_enabled": False,
        "authentication_whitelist": frozenset(),
        "authorization_whitelist": frozenset(),
        "authentication_strategy": Strategy.STATELESS,
        "authorization_strategy": Strategy.STATELESS,
        "enforcement": Enforcement.ENFORCE,
        "shadow_anonymous": False,
        "shadow_for": (),
        "enforce_for": (),
        "trust_claimed_user": False,
        "cluster": "DefaultCluster",
        "brokers": frozenset(),
        "trace_topics": frozenset({"RMQ_SYS_TRACE_TOPIC", "rmq_sys_TRACE_DATA_DefaultRegion"}),
        "trace_topic_open": True,
        "default_route_open": True,
        "stateful_entries": 10_000,
        "stateful_ms": 60_000,
        "stateful_rulings": 10_000,
        "stateful_rulings_ms": 60_000,
        "denials_kept": 10_000,
        "when_audit_full": WhenAuditFull.DROP,
        "processes": 1,
    }


def test_the_words_of_configuration_files():
    assert [Enforcement("enforce"), Enforcement("shadow")] == [Enforcement.ENFORCE, Enforcement.SHADOW]
    assert [WhenAuditFull("drop"), WhenAuditFull("refuse")] == [WhenAuditFull.DROP, WhenAuditFull.REFUSE]


@pytest.mark.parametrize(
    ("authenticating", "authorizing", "trusting", "enforcement"),
    list(itertools.product([False, True], [False, True], [False, True], Enforcement)),
)
def test_settings_that_would_open_what_they_seem_to_close_do_not_start(
    authenticating, authorizing, trusting, enforcement
):
    """All of them, by what is wrong with them."""
    settings = GuardSettings(
        authentication_enabled=authenticating,
        authorization_enabled=authorizing,
        trust_claimed_user=trusting,
        enforcement=enforcement,
    )
    wrong = None
    if authorizing and not authenticating and not trusting:
        wrong = "would trust any name that a client sends"
    elif authorizing and not authenticating and enforcement is Enforcement.SHADOW:
        wrong = "must know which user"
    elif trusting and authenticating:
        wrong = "contradicts"
    if wrong is None:
        settings.check()
        return
    with pytest.raises(GuardMisconfigured, match=wrong):
        settings.check()


def test_items_of_a_whitelist_are_trimmed_as_java_trims():
    """Control characters and spaces, no other white space and nothing else; a blank list has no items."""
    assert parse_whitelist("".join(map(chr, range(0x21))) + "105\x00\x1f ,\t310") == {"105", "310"}
    for kept in ("\xa0105", "!105", "105X", "X105"):
        assert parse_whitelist(f" {kept} ") == {kept}
    assert parse_whitelist(" \t ") == parse_whitelist("") == frozenset()
    assert parse_whitelist("105, ,310") == {"105", "", "310"}
