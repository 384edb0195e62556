"""How a connection to the broker ended, what is to be done next, and what the log says of it. No I/O."""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass
from typing import Final

from paho.mqtt.reasoncodes import ReasonCode

from edge.sinks.mqtt_address import Address

_UNSUPPORTED_VERSION: Final = 0x84
_TAKEN_OVER: Final = 0x8E
_REFUSALS: Final = {  # what a person must mend; asking again within seconds only fills the broker's log
    0x85: "the broker does not take our client id",
    0x86: "bad user name or password",
    0x87: "not authorised",
    0x8A: "this device is banned",
    0x8C: "bad authentication method",
}


class How(enum.Enum):
    """How a connection ended, by what is to be done next."""

    FINISHED = "we are done"
    LOST = "try again soon"
    REFUSED = "try again slowly, somebody must mend something"
    UNANSWERED = "MQTT 5 was not understood, or not answered: try 3.1.1 at once"


@dataclass(frozen=True, slots=True)
class Ended:
    """why: for the log, what happened and what to do; holds no secret."""

    how: How
    why: str


def refusal(reason: ReasonCode) -> Ended:
    if reason.value == _UNSUPPORTED_VERSION:
        return Ended(How.UNANSWERED, "it does not speak this version of MQTT")
    if reason.value in _REFUSALS:
        remedy = "check the user in the address and mqtt.password_file"
        return Ended(How.REFUSED, f"it refuses the login: {_REFUSALS[reason.value]}: {remedy}")
    return Ended(How.LOST, f"it takes no connection now: {reason}")


def loss(reason: ReasonCode | None) -> Ended:
    if reason is not None and reason.value == _TAKEN_OVER:
        return Ended(How.REFUSED, "another client uses our client id: is a second device named alike?")
    return Ended(How.LOST, "the connection was lost" if reason is None else f"it ended the connection: {reason}")


def dial_error(address: Address, err: Exception) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {err.verify_message}: see mqtt.ca_file, and this machine's clock"
    if isinstance(err, ssl.SSLError):
        return f"TLS failed: {(err.reason or 'unknown').replace('_', ' ').lower()}: is {address.port} its TLS port?"
    if address.is_tls and isinstance(err, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return f"it cut the TLS handshake short: is {address.port} its TLS port?"
    if isinstance(err, TimeoutError):
        return "it does not answer"
    if isinstance(err, OSError) and err.strerror:
        return err.strerror[:1].lower() + err.strerror[1:]
    return str(err) or type(err).__name__
