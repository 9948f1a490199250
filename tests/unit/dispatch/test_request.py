"""The answers for errors."""

import importlib
import pkgutil

import pytest

import mqguard
from mqguard.auth.errors import MetadataRejected, MetadataStoreOccupied
from mqguard.dispatch.request import INTERNAL, RESPONSE_CODES, STORE_FAILED, RequestRefused, error_reply
from mqguard.engine.errors import EngineError, NoSuchTopic
from mqguard.errors import MqguardError
from mqguard.guard.errors import Refused
from mqguard.remoting.codes import ResponseCode
from mqguard.remoting.command import HeaderInvalid
from mqguard.store.errors import StoreCorrupt, StoreDamaged, StoreFailed

OWN_CODE = {Refused, RequestRefused}
"""Errors that carry their response code."""


def classes(root):
    for kind in root.__subclasses__():
        yield kind
        yield from classes(kind)


@pytest.fixture(scope="module", autouse=True)
def everything_imported():
    for package in ("auth", "engine", "guard", "remoting", "broker"):
        for module in pkgutil.iter_modules([f"{mqguard.__path__[0]}/{package}"]):
            importlib.import_module(f"mqguard.{package}.{module.name}")


def test_every_error_of_the_engine_has_a_row():
    assert {kind for kind in classes(EngineError) if kind not in RESPONSE_CODES} == set()


def test_every_row_maps_an_error_of_mqguard_to_a_response_code():
    assert all(issubclass(kind, MqguardError) for kind in RESPONSE_CODES)
    assert all(isinstance(code, ResponseCode) and code != 0 for code in RESPONSE_CODES.values())


def test_an_error_without_a_row_gets_that_of_its_base_class():
    reply = error_reply(310, MetadataStoreOccupied("another process holds the store"))
    assert (reply.code, reply.remark) == (ResponseCode.SYSTEM_ERROR, "another process holds the store")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoSuchTopic("topic[t] not exist"), 17),
        (HeaderInvalid("queueId", "is missing"), 29),
        (MetadataRejected("The user is existed"), 16),
        (Refused(16, "no [decision x]", "x"), 16),
        (RequestRefused(206, "not online"), 206),
    ],
)
def test_the_message_of_an_error_is_the_remark(error, code):
    reply = error_reply(310, error)
    assert (reply.code, reply.remark) == (code, str(error))


def test_the_details_of_an_unexpected_error_go_to_the_log_only(caplog):
    for error in (ValueError("inner"), MqguardError("inner")):
        reply = error_reply(310, error)
        assert (reply.code, reply.remark) == (ResponseCode.SYSTEM_ERROR, INTERNAL)
    assert caplog.text.count("inner") == 2


@pytest.mark.parametrize("kind", [StoreFailed, StoreDamaged, StoreCorrupt])
def test_an_error_of_the_store_is_named_and_its_paths_go_to_the_log_only(kind, caplog):
    reply = error_reply(11, kind("the store in `/var/lib/mqguard` failed: IO error"))
    assert (reply.code, reply.remark) == (ResponseCode.SYSTEM_ERROR, STORE_FAILED)
    assert "`/var/lib/mqguard` failed: IO error" in caplog.text
    assert "Traceback" not in caplog.text
