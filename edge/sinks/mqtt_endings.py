"""How a connection to the broker ended, what is to be done next, and what the log says of it. No I/O."""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
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


_EXPIRED: Final = 10  # X509_V_ERR_* of OpenSSL's x509_vfy.h
_NOT_YET_VALID: Final = 9
_UNKNOWN_ISSUER: Final = "name the certificate of the authority that signed it in mqtt.ca_file"
_OTHER_NAME: Final = "write the name into the address that stands in the certificate"
_CERTIFICATE: Final = {  # what is to be done about each fault of the broker's certificate
    _NOT_YET_VALID: "set this machine's clock, or wait until somebody does",
    _EXPIRED: "renew it at the broker, or set this machine's clock",
    18: _UNKNOWN_ISSUER,  # self-signed
    19: _UNKNOWN_ISSUER,  # self-signed in the chain
    20: _UNKNOWN_ISSUER,
    21: _UNKNOWN_ISSUER,
    62: _OTHER_NAME,
    64: _OTHER_NAME,  # an IP address
}
_NO_TLS: Final = "wrong port? TLS wanted?"
_ASKED: Final = "set mqtt.cert_file and mqtt.key_file to this device's own"
_ALERTS: Final = {  # RFC 8446, 6.2, as OpenSSL spells them: what it says, and what to do
    "alert certificate required": ("it asks for a certificate of this device", _ASKED),
    "alert handshake failure": ("it broke off the TLS handshake", f"if it asks for a certificate, {_ASKED}"),
    "alert certificate expired": ("this device's certificate has expired", "renew it, see mqtt.cert_file"),
    "alert unknown ca": ("it does not know who signed this device's certificate", "see mqtt.cert_file"),
    "alert bad certificate": ("it does not accept this device's certificate", "see mqtt.cert_file"),
    "alert certificate revoked": ("this device's certificate was revoked", "see mqtt.cert_file"),
}


class How(enum.Enum):
    """How a connection ended, by what is to be done next."""

    FINISHED = "we are done"
    LOST = "try again soon"
    REFUSED = "try again slowly, somebody must mend something"
    RIVALLED = "try again slowly, another client has our name"
    UNANSWERED = "MQTT 5 was not understood, or not answered: try 3.1.1 at once"


@dataclass(frozen=True, slots=True)
class Ended:
    """what: what happened. remedy: what to do; empty where nothing can be said. Neither holds a secret."""

    how: How
    what: str
    remedy: str = ""

    @property
    def why(self) -> str:
        """Both, for the log."""
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


def refusal(reason: ReasonCode) -> Ended:
    if reason.value == _UNSUPPORTED_VERSION:
        return Ended(How.UNANSWERED, "it does not speak this version of MQTT")
    if reason.value in _REFUSALS:
        remedy = "check the user in the address and mqtt.password_file"
        return Ended(How.REFUSED, f"it refuses the login: {_REFUSALS[reason.value]}", remedy)
    return Ended(How.LOST, f"it takes no connection now: {reason}")


def clock_said(verify_code: int) -> str:
    """What this machine takes for the time, where a certificate is out of its time."""
    if verify_code not in (_EXPIRED, _NOT_YET_VALID):
        return ""
    return f" (it says {datetime.now(UTC):%Y-%m-%d})"  # no more: a line that changes is news, and is logged again


def rivalled(client_id: str, *, is_told: bool) -> Ended:
    """is_told: by the broker; else it is the likely reason for one connection after the other to end for nothing."""
    remedy = "give each device a device.name of its own"
    if is_told:
        return Ended(How.RIVALLED, f"another client uses our client id {client_id}", remedy)
    sign = "it ends each connection soon after the login, and nothing was wrong"
    return Ended(How.RIVALLED, f"{sign}: most likely another client uses our client id {client_id}", remedy)


def loss(reason: ReasonCode | None, client_id: str) -> Ended:
    if reason is not None and reason.value == _TAKEN_OVER:
        return rivalled(client_id, is_told=True)
    return Ended(How.LOST, "the connection was lost" if reason is None else f"it ended the connection: {reason}")


def unanswered(address: Address, said: str) -> Ended:
    """It closed the connection before it took our login. said: what the socket said, "" for nothing."""
    if alert := alert_in(said):  # by TLS 1.3 a certificate is missed only after the handshake
        return Ended(How.LOST, *alert)
    # The alert is lost where the broker closes before it has read our login: the network then drops both.
    hint = "does it want a certificate of this device? see mqtt.cert_file" if address.is_tls else _NO_TLS
    return Ended(How.UNANSWERED, f"it closed the connection without an answer ({hint})")


def alert_in(said: str) -> tuple[str, str] | None:
    """What the broker's TLS alert says and asks of us; None where there is none in what OpenSSL said."""
    spoken = said.replace("_", " ").lower()
    return next((words for alert, words in _ALERTS.items() if alert in spoken), None)


def not_reached(address: Address, err: Exception) -> Ended:
    """The dial, or the TLS handshake, failed."""
    if isinstance(err, ssl.SSLCertVerificationError):
        remedy = _CERTIFICATE.get(err.verify_code, "see mqtt.ca_file, and this machine's clock")
        what = f"its certificate is not accepted: {err.verify_message}"
        return Ended(How.LOST, what, remedy + clock_said(err.verify_code))
    if isinstance(err, ssl.SSLError):
        reason = (err.reason or "unknown").replace("_", " ").lower()
        return Ended(How.LOST, *(alert_in(reason) or (f"TLS failed: {reason}", f"is {address.port} its TLS port?")))
    if address.is_tls and isinstance(err, ConnectionResetError | ConnectionAbortedError | BrokenPipeError):
        return Ended(How.LOST, "it cut the TLS handshake short", f"is {address.port} its TLS port?")
    if isinstance(err, TimeoutError):
        return Ended(How.LOST, "it does not answer")
    if isinstance(err, OSError) and err.strerror:
        return Ended(How.LOST, err.strerror[:1].lower() + err.strerror[1:])
    return Ended(How.LOST, str(err) or type(err).__name__)
