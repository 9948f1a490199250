"""Signed content against the definition."""

from hypothesis import given
from hypothesis import strategies as st

from mqguard.remoting.signed_content import signed_content

names = st.sampled_from(["AccessKey", "Signature", "_UNIQUE_KEY_QUERY", "a", "b", "ReqT"]) | st.text(max_size=4)


@given(st.dictionaries(names, st.text(max_size=6), max_size=8), st.binary(max_size=8), st.sampled_from([0, 399, 400]))
def test_it_is_all_values_in_java_order_and_the_body(ext: dict[str, str], body: bytes, version: int) -> None:
    left_out = {"Signature"} | ({"_UNIQUE_KEY_QUERY"} if version <= 399 else set())
    order = sorted(ext, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
    values = "".join(ext[name] for name in order if name not in left_out)
    expected = values.encode("utf-8", "surrogatepass") + body
    assert signed_content(ext, body, version) == expected
    assert signed_content(dict(reversed(ext.items())), body, version) == expected
