"""Authorization plugins under their contract: our policies as a plugin, the example's, and a handler."""

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mqguard.auth.decide import decide
from mqguard.auth.manager import MetadataManager
from mqguard.auth.policy import Acl, Action, Decision, Entry, Policy, PolicyType
from mqguard.auth.resource import Resource, ResourceType
from mqguard.auth.source import parse_address
from mqguard.auth.user import Subject
from mqguard.auth.verdict import AccessRequest, Reason
from mqguard.guard.plugin_api import AuthorizationRequest, HandlerResult, Ruling
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.plugin_contracts import (
    AuthorizationHandlerContract,
    AuthorizationProviderContract,
    topic_request,
)

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "http_pdp"


class Policies:
    """Our own policies as a plugin."""

    quick = True

    def __init__(self) -> None:
        self.users = MetadataManager(MemoryMetadataStore())
        self.users.create_user("alice", "secret")
        entry = Entry(Resource.parse("Topic:orders"), (Action.PUB,), (), Decision.ALLOW)
        self.users.create_acl(Acl(Subject("alice"), (Policy(PolicyType.CUSTOM, (entry,)),)))

    def decide(self, question: AuthorizationRequest) -> Ruling:
        actions = frozenset(map(Action, question.actions))
        request = AccessRequest(ResourceType(question.type), question.name, actions, parse_address(question.source))
        verdict = decide(request, self.users.snapshot.rights(question.user))
        if verdict.allowed:
            return Ruling.ALLOW
        return Ruling.NO_OPINION if verdict.reason is Reason.NO_MATCH else Ruling.DENY


class NoSecrets:
    """A handler that refuses everybody the topics of one kind."""

    quick = True

    def check(self, question: AuthorizationRequest) -> HandlerResult:
        return HandlerResult.REFUSE if question.name.startswith("secret") else HandlerResult.NEXT


class TestPolicies(AuthorizationProviderContract):
    @pytest.fixture
    def provider(self) -> Policies:
        return Policies()

    @pytest.fixture
    def broken(self, provider: Policies) -> Policies:
        return provider

    @pytest.fixture
    def allowed(self) -> AuthorizationRequest:
        return topic_request("orders")

    @pytest.fixture
    def denied(self) -> AuthorizationRequest:
        return topic_request("secrets")


def loaded(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


class TestHttpPdp(AuthorizationProviderContract):
    """The example, with the server that comes with it."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> Iterator[str]:
        rules = tmp_path / "rules.json"
        rules.write_text(json.dumps([{"user": "alice", "type": "Topic", "name": "orders", "actions": ["Pub"]}]))
        server = loaded("pdp_server", EXAMPLE / "pdp_server.py").Pdp(("127.0.0.1", 0), rules)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/decide"
        server.shutdown()
        server.server_close()
        thread.join()

    @pytest.fixture
    def provider(self, url: str) -> Iterator[Any]:
        module = loaded("mqguard_http_pdp", EXAMPLE / "src" / "mqguard_http_pdp" / "__init__.py")
        provider = module.HttpPdp({"http_pdp.url": url, "http_pdp.timeout_ms": "2000"})
        yield provider
        provider.close()

    @pytest.fixture
    def broken(self, provider: Any) -> Any:
        return type(provider)({"http_pdp.url": "http://127.0.0.1:1/", "http_pdp.timeout_ms": "200"})

    @pytest.fixture
    def allowed(self) -> AuthorizationRequest:
        return topic_request("orders")

    @pytest.fixture
    def denied(self) -> AuthorizationRequest:
        return topic_request("secrets")

    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({}, "write the address"),
            ({"http_pdp.url": "ftp://x"}, "write the address"),
            ({"http_pdp.url": "http://x", "http_pdp.timeout_ms": "soon"}, "`soon`"),
        ],
    )
    def test_settings_are_checked(self, provider: Any, settings: dict[str, str], told: str) -> None:
        with pytest.raises(ValueError, match=told):
            type(provider)(settings)


class TestNoSecrets(AuthorizationHandlerContract):
    @pytest.fixture
    def handler(self) -> NoSecrets:
        return NoSecrets()

    @pytest.fixture
    def broken(self, handler: NoSecrets) -> NoSecrets:
        return handler

    @pytest.fixture
    def passed(self) -> AuthorizationRequest:
        return topic_request("orders")

    @pytest.fixture
    def refused(self) -> AuthorizationRequest:
        return topic_request("secrets")
