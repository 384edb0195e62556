"""What a broker, or whoever sits in between, may send that MQTT does not allow: of each kind, cut, stretched, shuffled.

MQTT 5 and 3.1.1, OASIS standards of 2019 and 2014; chapter 2.1 the lengths, 3 the packets.
"""

from __future__ import annotations

import random
from typing import Final

from tests.mutations import SPOILERS

FAR_ID: Final = 4096  # no message of a test has this id or a higher one
ACKNOWLEDGING: Final = (4, 5, 7)  # PUBACK, PUBREC, PUBCOMP
STATUS: Final = b"homeassistant/status"


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def packet(head: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, seven = size >> 7, size & 0x7F
        length += bytes((seven | (0x80 if size else 0),))
        if not size:
            return bytes((head,)) + length + body


def publish(topic: bytes, payload: bytes, head: int = 0x31, number: bytes = b"", properties: bytes = b"\0") -> bytes:
    """head: 0x31 is QoS 0, retained."""
    return packet(head, text(topic) + number + properties + payload)


def lies(data: bytes) -> bool:
    """Does a client find an acknowledgement in it of a message that may be on its way? A broker that acknowledges what
    it has not got loses it, and nobody can tell: that is no malformed packet."""
    at = 0
    while at < len(data):
        kind, length, shift = data[at] >> 4, 0, 0
        for byte in data[at + 1 : at + 5]:
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        start = at + 1 + shift // 7
        if kind in ACKNOWLEDGING and length >= 2 and int.from_bytes(data[start : start + 2], "big") < FAR_ID:
            return True
        at = start + length
    return False


def drawn(draw: random.Random) -> bytes:
    """One or two packets of which something is wrong; none of them a lie."""
    while True:
        made = draw.choice(KINDS)(draw)
        if draw.random() < 0.3:
            made += draw.choice(KINDS)(draw)
        if draw.random() < 0.4:
            made = draw.choice(SPOILERS)(made, draw)
        if made and not lies(made):
            return made


def _unsolicited(draw: random.Random) -> bytes:
    """An acknowledgement of nothing: PUBACK to PUBCOMP, SUBACK, UNSUBACK."""
    number = draw.choice((FAR_ID, 0xFFFF, 0x8000, draw.randrange(FAR_ID, 1 << 16))).to_bytes(2, "big")
    head = draw.choice((0x40, 0x50, 0x62, 0x70, 0x90, 0xB0, 0x4F, 0x60))
    return packet(head, number + draw.choice((b"", b"\0", b"\x80", b"\x97\0", b"\0\0", b"\x10\x05abc", b"\0" * 40)))


def _connack(draw: random.Random) -> bytes:
    """Another one, or one that cannot be."""
    properties = draw.choice(
        (
            b"\0",
            b"\x03\x21\0\0",
            b"\x05\x27\0\0\0\0",
            b"\x03\x13\0\0",
            b"\x7f",
            b"\x02\x24\x02",
            b"\x05\x21\0\x01\x21\0",
            b"",
        )
    )
    return packet(
        draw.choice((0x20, 0x2F)),
        draw.choice((b"\0", b"\1", b"\xff")) + draw.choice((b"\0", b"\x01", b"\xfe")) + properties,
    )


def _status(draw: random.Random) -> bytes:
    """Something on the topic that is listened to, or on one that is not."""
    topic = draw.choice((STATUS, STATUS, b"", b"#", b"\xff\xfe", b"a\0b", b"mask-edge/door/event", b"t" * 300))
    payload = draw.choice(
        (b"", b"online", b"offline", draw.randbytes(draw.randrange(3000)), b"\xff" * 100, b"[" * 4000)
    )
    head = 0x30 | draw.randrange(16)
    number = draw.choice((b"", b"\0\0", b"\xff\xff", b"\x10\x01"))
    properties = draw.choice(
        (b"\0", b"\x02\x01\x01", b"\x7f", b"\xff\xff\xff\x7f", b"\x03\x23\0\1", b"\x06\x26\0\1a\0\1", b"")
    )
    return publish(topic, payload, head, number, properties)


def _length(draw: random.Random) -> bytes:
    """Announces more than comes, less than comes, or what no length can be."""
    length = draw.choice(
        (b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\x80\x80\x80\x80\x01", b"\x80\x80\x80\0", b"\x7f", b"\0", b"\x80")
    )
    return (
        bytes((draw.choice((0x20, 0x30, 0x40, 0x90, 0xD0, 0xE0, 0xF0)) | draw.randrange(2),))
        + length
        + bytes(draw.randrange(30))
    )


def _goodbye(draw: random.Random) -> bytes:
    """DISCONNECT with a reason, true or not; AUTH; an answer to no PING."""
    reason = bytes((draw.choice((0, 4, 0x80, 0x81, 0x82, 0x8B, 0x8D, 0x93, 0x95, 0x97, 0x9C, 0xA2, 0xFF)),))
    return packet(
        draw.choice((0xE0, 0xE0, 0xF0, 0xD0, 0xD1)),
        draw.choice((b"", reason, reason + b"\0", reason + b"\x04\x1f\0\1a")),
    )


def _of_a_client(draw: random.Random) -> bytes:
    """What only a client sends, or nobody: CONNECT, SUBSCRIBE, PINGREQ, type 0."""
    return packet(draw.choice((0x00, 0x10, 0x82, 0xA2, 0xC0)), draw.randbytes(draw.randrange(20)))


def _noise(draw: random.Random) -> bytes:
    return draw.randbytes(draw.randint(1, 200))


def _another_protocol(draw: random.Random) -> bytes:
    return draw.choice(
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x16\x03\x01\0\x05\x01\0\0\1\0",
            b"220 mail\r\n",
        )
    )


KINDS: Final = (_unsolicited, _connack, _status, _status, _length, _goodbye, _of_a_client, _noise, _another_protocol)
