"""Requests of a fixed form have no unread field."""

import pytest

from mqguard.remoting.codes import RequestCode
from mqguard.remoting.command import BodyInvalid, Command, HeaderInvalid
from mqguard.remoting.signed_content import FORMS, check_exact

HOOKS = {"AccessKey": "root", "Signature": "s", "nsd": "true", "oway": "false", "__ZONE_NAME": "hz-1", "ReqT": "0"}
"""Fields that Java's hooks add to a request."""


@pytest.mark.parametrize("code", FORMS)
def test_every_fixed_form_refuses_an_unknown_field_and_takes_those_of_hooks(code: int) -> None:
    """A field that the code does not have is refused by its name."""
    check_exact(Command(code, ext=HOOKS))
    with pytest.raises(HeaderInvalid, match="`padding`: is unknown: the fields of the request code"):
        check_exact(Command(code, ext={**HOOKS, "padding": ""}))


@pytest.mark.parametrize("code", [code for code, form in FORMS.items() if not form.has_body])
def test_a_request_that_has_no_body_is_refused_with_one(code: int) -> None:
    """An unread body could contain the rest of another request."""
    with pytest.raises(BodyInvalid, match="has no body: leave it out"):
        check_exact(Command(code, ext=HOOKS, body=b"x"))


@pytest.mark.parametrize("code", FORMS)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SecurityToken", "forms"),
        ("nsd", "formscommentsTBW102"),
        ("oway", "1"),
        ("lo", "yes"),
        ("ReqT", "1"),
        ("__ZONE_NAME", "formscommentsTBW1024001790000000000"),
        ("__ZONE_MODE", "great product!"),
    ],
)
def test_a_field_of_a_hook_holds_no_part_of_a_message(code: int, name: str, value: str) -> None:
    """Fields that every request may have take only values of their own kind."""
    with pytest.raises(HeaderInvalid, match=f"`{name}`: is not "):
        check_exact(Command(code, ext={**HOOKS, name: value}))


@pytest.mark.parametrize("code", FORMS)
def test_no_field_holds_the_properties_of_a_message(code: int) -> None:
    """Properties are joined by control characters, which every message of an official client has."""
    for name in set(FORMS[code].fields) - {"AccessKey", "Signature"}:
        with pytest.raises(HeaderInvalid):
            check_exact(Command(code, ext={**HOOKS, name: "KEYS\x01k\x02"}))


def test_what_official_clients_send_passes() -> None:
    """The fields of `mqadmin updateTopic` and of a client that creates a topic in a namespace."""
    ext = {
        **HOOKS,
        "topic": "t",
        "defaultTopic": "TBW102",
        "readQueueNums": "8",
        "writeQueueNums": "8",
        "perm": "6",
        "topicFilterType": "SINGLE_TAG",
        "topicSysFlag": "0",
        "order": "false",
        "force": "false",
        "attributes": "+message.type=FIFO",
        "ns": "test",
        "bname": "broker-a",
    }
    check_exact(Command(RequestCode.UPDATE_AND_CREATE_TOPIC, ext=ext))


def test_other_requests_take_what_they_like() -> None:
    """Clients of all versions add fields to sends and pulls."""
    check_exact(Command(RequestCode.SEND_MESSAGE_V2, ext={"padding": "x"}, body=b"x"))
