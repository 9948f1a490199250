"""The prepared HMAC is the HMAC."""

import base64
import hmac

from hypothesis import given
from hypothesis import strategies as st

from mqguard.auth.authentication import sign
from mqguard.auth.user import Secret


@given(st.text(min_size=1, max_size=100), st.binary(max_size=5000))
def test_a_signature_is_the_standard_hmac(text: str, content: bytes) -> None:
    """This holds for every content and every secret, even one longer than a block."""
    key = text.encode("utf-8", "surrogatepass")

    assert sign(Secret(text), content) == base64.b64encode(hmac.digest(key, content, "sha1")).decode()
