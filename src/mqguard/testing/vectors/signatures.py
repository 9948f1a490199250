"""Lines of the kind `signatures`: requests to sign, and requests to authenticate."""

import base64
import hmac
from typing import Any

from mqguard.auth.authentication import AUTHORIZATION, DATE_TIME, SignedCredentials, authenticate, sign
from mqguard.auth.authentication import read_grpc_credentials as read_grpc
from mqguard.auth.errors import AuthenticationFailed
from mqguard.auth.ports import Metadata
from mqguard.auth.snapshot import Snapshot
from mqguard.auth.user import LiveSecret, Secret, User, UserStatus, UserType
from mqguard.remoting.signed_content import ACCESS_KEY, SECURITY_TOKEN, SIGNATURE, signed_content
from mqguard.testing.vectors.bodies import error

Json = dict[str, Any]

_NOW_MS = 0
"""Time of the check; no secret of the vectors expires."""

_PRIMITIVES = {
    "ConsumerSendMsgBackRequestHeader": {"unitMode": "false"},
    "PopMessageRequestHeader": dict.fromkeys(
        ("queueId", "maxMsgNums", "invisibleTime", "pollTime", "bornTime", "initMode"), "0"
    )
    | {"order": "false"},
}
"""Members of Java's headers that cannot be absent, with their default values."""


def answer(line: Json) -> Json:
    """Return the line with our outcome."""
    match line["what"]:
        case "signer":
            return {**line, "out": _signer(line)}
        case "client":
            return {**line, "out": _client(line)}
        case "remoting":
            credentials = _remoting(line)
            context = _context(credentials, str(line["code"]), shown=ACCESS_KEY in (line["ext"] or ()))
            return {**line, "context": context, "verify": _verify(credentials, line["user"])}
        case "grpc":
            return _grpc(line)
        case what:
            raise ValueError(f"a line of the kind `signatures` cannot ask for `{what}`")


def _signer(line: Json) -> object:
    # Clients use only HmacSHA1. The others are computed here to show that nothing else differs.
    digest = {"HmacSHA1": "sha1", "HmacSHA256": "sha256", "HmacMD5": "md5"}[line["algorithm"]]
    if not line["secret"]:
        return _unsigned()
    data = base64.b64decode(line["data"])
    if digest == "sha1":
        return sign(Secret(line["secret"]), data)
    return base64.b64encode(hmac.digest(line["secret"].encode(), data, digest)).decode()


def _client(line: Json) -> object:
    if not line["secret"]:
        return _unsigned()
    ext: dict[str, str | None] = dict(line["ext"] or {})
    ext[ACCESS_KEY] = line["access_key"]
    if line["token"] is not None:
        ext[SECURITY_TOKEN] = line["token"]
    if line["header"] is not None:
        ext |= _PRIMITIVES.get(line["header"]["class"], {}) | line["header"]["fields"]
    # Clients of every version sign all fields except the signature.
    content = signed_content(_texts(ext), _bytes(line["body"]), 1 << 16)
    ext[SIGNATURE] = sign(Secret(line["secret"]), content)
    return {"ext": dict(sorted(ext.items())), "content": _base64(content), "signature": ext[SIGNATURE]}


def _unsigned() -> Json:
    return error("AclException", "[10015:signature-failed] unable to calculate a request signature.")


def _remoting(line: Json) -> SignedCredentials:
    ext = line["ext"] or {}
    if ACCESS_KEY not in ext:
        return SignedCredentials(None, None, b"")
    content = signed_content(_texts(ext), _bytes(line["body"]), line["version"])
    return SignedCredentials(ext[ACCESS_KEY], ext.get(SIGNATURE), content)


def _grpc(line: Json) -> Json:
    # A Java server replaces each byte outside ASCII with one character. The last of repeated headers counts.
    headers = {name: value.encode().decode("ascii", "replace") for name, value in line["metadata"]}
    try:
        credentials = read_grpc(headers.get(AUTHORIZATION), headers.get(DATE_TIME))
    except AuthenticationFailed as exc:
        return {**line, "context": error("AuthenticationException", exc.message), "verify": None}
    context = _context(credentials, f"apache.rocketmq.v2.{line['type']}", shown=bool(headers.get(AUTHORIZATION)))
    return {**line, "context": context, "verify": _verify(credentials, line["user"])}


def _context(credentials: SignedCredentials, rpc_code: str, *, shown: bool) -> Json:
    return {
        "username": credentials.user,
        "content": _base64(credentials.content) if shown else None,
        "signature": credentials.signature,
        "rpc_code": rpc_code,
    }


def _verify(credentials: SignedCredentials, record: Json | None) -> object:
    users = []
    if record is not None:
        secrets = (LiveSecret(Secret(record["password"])),) if record["password"] else ()
        status = UserStatus(record["status"]) if record["status"] else UserStatus.ENABLE
        users.append(User(record["name"], secrets, UserType(record["type"]), status))
    try:
        authenticate(credentials, Snapshot.of(Metadata(users, ())), _NOW_MS)
    except AuthenticationFailed as exc:
        return error("AuthenticationException", exc.message)
    return "ok"


def _texts(ext: dict[str, str | None]) -> dict[str, str]:
    # Java signs an absent value as the text `null`.
    return {name: "null" if value is None else value for name, value in ext.items()}


def _bytes(text: str | None) -> bytes:
    return base64.b64decode(text) if text else b""


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
