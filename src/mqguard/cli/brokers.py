"""`mqguard brokers`: the brokers that commands send secrets and signatures to."""

import ssl
from pathlib import Path

import click

from mqguard.cli.output import emit, examples, json_option
from mqguard.errors import NotFound

TIMEOUT_SECONDS = 5.0


@click.group()
def brokers() -> None:
    """Pin the brokers that commands send secrets and signatures to.

    A name server lists the brokers that have registered, and anyone may have registered one. Commands use only brokers
    in the process of the name server, pinned brokers, and brokers that `--broker` names.
    """


@brokers.command(epilog=examples("brokers pin 10.1.2.3:10911", "brokers pin 10.1.2.3:10911 --tls"))
@click.argument("addresses", nargs=-1, required=True, metavar="ADDRESS...")
@click.option("--tls", is_flag=True, help="Also pin the certificate that the broker shows now.")
@click.option("--fingerprint", help="The SHA-256 of its certificate in hex, if you already know it.")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=TIMEOUT_SECONDS,
    show_default=True,
    help="Timeout in seconds.",
)
@json_option
def pin(addresses: tuple[str, ...], fingerprint: str | None, timeout: float, *, tls: bool, as_json: bool) -> None:
    """Pin the brokers at ADDRESS, each written as HOST:PORT."""
    from mqguard.admin.session import default_path, read_pins, shown_fingerprint, split, tls_context, write_pins

    wanted = None if fingerprint is None else _fingerprint(fingerprint)
    pins = read_pins(default_path())
    context = tls_context(None) if tls and wanted is None else None
    for address in addresses:
        split(address)
        pins[address] = wanted or (shown_fingerprint(address, context, timeout) if context else "")
    write_pins(default_path(), pins)
    for address in addresses:
        emit(*_line(address, pins[address], "pinned "), as_json=as_json)


@brokers.command("list", epilog=examples("brokers list"))
@json_option
def find(*, as_json: bool) -> None:
    """List the pinned brokers."""
    from mqguard.admin.session import default_path, read_pins

    for address, shown in sorted(read_pins(default_path()).items()):
        emit(*_line(address, shown), as_json=as_json)


@brokers.command(epilog=examples("brokers unpin 10.1.2.3:10911"))
@click.argument("address")
@json_option
def unpin(address: str, *, as_json: bool) -> None:
    """Remove the pin of the broker at ADDRESS.

    Exit code 4: the broker is not pinned.
    """
    from mqguard.admin.session import default_path, read_pins, write_pins

    pins = read_pins(default_path())
    if address not in pins:
        raise NotFound(f"`{address}` is not pinned")
    del pins[address]
    write_pins(default_path(), pins)
    emit({"broker": address}, f"unpinned {address}", as_json=as_json)


def ask_to_pin(address: str, name: str, tls: ssl.SSLContext | None) -> str | None:
    """Ask at the terminal whether to pin an unknown broker.

    Returns:
        The fingerprint of the pin, empty without TLS; None if the answer is no.
    """
    from mqguard.admin.session import default_path, read_pins, shown_fingerprint, write_pins
    from mqguard.model.text import visible

    shown = ""
    if tls is not None and tls.verify_mode is ssl.CERT_NONE:
        shown = shown_fingerprint(address, tls, TIMEOUT_SECONDS)
    certificate = f", with the certificate sha256:{shown}," if shown else ""
    question = f"the broker {visible(name)} at {visible(address)}{certificate} is unknown: pin it"
    if not click.confirm(question, err=True):
        return None
    path: Path = default_path()
    write_pins(path, {**read_pins(path), address: shown})
    return shown


def _fingerprint(text: str) -> str:
    plain = text.removeprefix("sha256:").replace(":", "").lower()
    if len(plain) != 64 or set(plain) - set("0123456789abcdef"):
        raise click.UsageError(f"`{text}` is not a SHA-256 in hex, which has 64 digits")
    return plain


def _line(address: str, shown: str, verb: str = "") -> tuple[dict[str, object], str]:
    value: dict[str, object] = {"broker": address, "fingerprint": shown or None}
    return value, f"{verb}{address}" + (f" sha256:{shown}" if shown else "")
