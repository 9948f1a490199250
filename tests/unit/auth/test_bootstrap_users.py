import pytest

from mqguard.auth.errors import MetadataRejected
from mqguard.auth.user import InitialUser, initial_user, inner_user


def test_the_keys_of_broker_conf_are_read():
    assert initial_user('{"username":"rocketmq","password":"12345678"}') == InitialUser("rocketmq", "12345678")
    assert initial_user(' {"password": "p", "username": "主题", "userType": "super"}') == InitialUser("主题", "p")
    assert inner_user('{"accessKey":"rocketmq","secretKey":"12345678"}') == InitialUser("rocketmq", "12345678")
    assert inner_user('{"accessKey":"a","secretKey":"b","securityToken":"t"}') == InitialUser("a", "b")


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (initial_user, text)
        for text in (
            "", "x", "[]", "null", "{}", '{"username":"a"}', '{"username":"a","password":" "}', '{"username":"","password":"hush"}',
            '{"username":1,"password":"hush"}', '{"username":"a","password":"hush","extra":1}', '{"Username":"a","password":"hush"}',
            '{"username":"a","password":"hush"', '{"username":"a","password":"hush","userType":"Normal"}', '{"username":"a","password":"hush\ud800"}',
        )
    ] + [
        (inner_user, text)
        for text in (
            "", "{}", '{"accessKey":"a"}', '{"accessKey":"a","secretKey":""}', '{"accessKey":null,"secretKey":"hush"}',
            '{"accesskey":"a","secretKey":"hush"}', '{"accessKey":"a","secretKey":"hush","x":"y"}', '{"accessKey":"a","secretKey":["hush"]}',
        )
    ],
)  # fmt: skip
def test_another_form_is_rejected_without_showing_the_secret(read, text):
    with pytest.raises(MetadataRejected) as caught:
        read(text)
    option = "initAuthenticationUser" if read is initial_user else "innerClientAuthenticationCredentials"
    assert f"`{option}`" in str(caught.value)
    right = '{"username": "…", "password": "…"}' if read is initial_user else '{"accessKey": "…", "secretKey": "…"}'
    assert str(caught.value).endswith((f": write `{right}`", "is always Super: remove `userType`"))
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_secret_is_never_shown():
    assert "hush" not in repr(InitialUser("a", "hush"))
