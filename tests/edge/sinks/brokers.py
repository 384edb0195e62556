"""Brokers that misbehave on purpose: enough MQTT to be wrong in one way each."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

CONNECT, PUBLISH, SUBSCRIBE, DISCONNECT = 1, 3, 8, 14
PUBACK = 0x40


class Wire:
    """One connection to the stub, packet by packet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def read(self) -> tuple[int, bytes] | None:
        """Packet type and body; None where the client is gone."""
        first = self._exactly(1)
        if not first:
            return None
        length, shift = 0, 0
        while byte := self._exactly(1):
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if not byte[0] & 0x80:
                break
        return first[0] >> 4, self._exactly(length)

    def send(self, packet: bytes) -> None:
        self._sock.sendall(packet)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (part := self._sock.recv(count - len(data))):
            data += part
        return data


def protocol_of(connect_body: bytes) -> int:
    """4 is MQTT 3.1.1, 5 is MQTT 5."""
    return connect_body[6]


def payload_of(publish_body: bytes) -> tuple[bytes, bytes]:
    """Packet id and payload of a QoS 1 message without properties (3.1.1)."""
    topic_bytes = int.from_bytes(publish_body[:2], "big")
    return publish_body[2 + topic_bytes : 4 + topic_bytes], publish_body[4 + topic_bytes :]


@contextlib.contextmanager
def stub(talk: Callable[[Wire], None]) -> Iterator[int]:
    """A listener that lets ``talk`` have each connection, one after the other; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server, talk), daemon=True)
        thread.start()
        yield int(server.getsockname()[1])
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def _serve(server: socket.socket, talk: Callable[[Wire], None]) -> None:
    with contextlib.suppress(OSError):
        while True:
            sock, _ = server.accept()
            with sock, contextlib.suppress(OSError):
                talk(Wire(sock))
