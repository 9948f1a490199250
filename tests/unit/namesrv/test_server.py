"""The name server's configuration over the wire."""

from mqguard.remoting.codes import ResponseCode


def test_the_configuration_can_be_read(directory):
    assert directory.call(319).body == b"kvConfigPath=x y\nnamesrvListenPort=9876\n"


def test_the_configuration_cannot_be_changed(directory):
    answer = directory.call(318, body=b"kvConfigPath=/etc/passwd")
    assert answer.code == ResponseCode.NO_PERMISSION
    assert "`kvConfigPath`" in answer.remark
    assert directory.call(318, body=b"x=\\u12").code == ResponseCode.INVALID_PARAMETER
    assert directory.call(319).body == b"kvConfigPath=x y\nnamesrvListenPort=9876\n"


def test_the_configuration_is_for_super_users(directory):
    directory.user("alice", ("*", "All"))
    assert directory.call(318, body=b"x=y", user="alice").code == ResponseCode.NO_PERMISSION
    assert directory.call(319, user="alice").body == b""
