"""Authentication plugins under their contract: our signatures as a plugin, and a handler."""

import pytest

from mqguard.auth.authentication import SignedCredentials, authenticate, sign
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.manager import MetadataManager
from mqguard.auth.user import Secret
from mqguard.guard.plugin_api import AuthenticationRequest, HandlerResult, NotAuthenticated
from mqguard.store.metadata.memory import MemoryMetadataStore
from mqguard.testing.plugin_contracts import AuthenticationHandlerContract, AuthenticationProviderContract

CONTENT = b"what is signed"


def claim(secret: str, user: str = "alice", *, tls: bool = True) -> AuthenticationRequest:
    return AuthenticationRequest(
        user, sign(Secret(secret), CONTENT), "", CONTENT, "SEND_MESSAGE_V2", 310, "10.1.2.3", tls
    )


class Signatures:
    """Our own signatures as a plugin."""

    quick = True

    def __init__(self) -> None:
        self.users = MetadataManager(MemoryMetadataStore())
        self.users.create_user("alice", "right")

    def authenticate(self, claim: AuthenticationRequest) -> str | NotAuthenticated:
        try:
            shown = SignedCredentials(claim.user or None, claim.signature or None, claim.content)
            return authenticate(shown, self.users.snapshot, 0).name
        except AuthenticationFailed:
            return NotAuthenticated.REFUSED


class Encrypted:
    """A handler that wants everybody to come encrypted."""

    quick = True

    def check(self, claim: AuthenticationRequest, user: str) -> HandlerResult:
        return HandlerResult.NEXT if claim.tls else HandlerResult.REFUSE


class TestSignatures(AuthenticationProviderContract):
    @pytest.fixture
    def provider(self) -> Signatures:
        return Signatures()

    @pytest.fixture
    def broken(self, provider: Signatures) -> Signatures:
        return provider

    @pytest.fixture
    def right(self) -> tuple[AuthenticationRequest, str]:
        return claim("right"), "alice"

    @pytest.fixture
    def wrong(self) -> AuthenticationRequest:
        return claim("wrong")


class TestEncrypted(AuthenticationHandlerContract):
    @pytest.fixture
    def handler(self) -> Encrypted:
        return Encrypted()

    @pytest.fixture
    def broken(self, handler: Encrypted) -> Encrypted:
        return handler

    @pytest.fixture
    def passed(self) -> tuple[AuthenticationRequest, str]:
        return claim("right"), "alice"

    @pytest.fixture
    def refused(self) -> tuple[AuthenticationRequest, str]:
        return claim("right", tls=False), "alice"
