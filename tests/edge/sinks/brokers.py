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
        packet = self.read_raw()
        if not packet:
            return None
        header_bytes = 2 + next(i for i, byte in enumerate(packet[1:]) if not byte & 0x80)
        return packet[0] >> 4, packet[header_bytes:]

    def read_raw(self) -> bytes:
        """A packet as it came; empty where the other end is gone."""
        packet = self._exactly(1)
        length, shift = 0, 0
        while byte := self._exactly(1):
            packet += byte
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if not byte[0] & 0x80:
                break
        return packet + self._exactly(length)

    def send(self, packet: bytes) -> None:
        self._sock.sendall(packet)

    def settle(self, at_most_s: float) -> None:
        """Let the client read what it was sent, until it has gone."""
        self._sock.settimeout(at_most_s)
        with contextlib.suppress(OSError):
            while self._sock.recv(4096):
                pass

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

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


def relay(
    wire: Wire,
    broker_port: int,
    answer: Callable[[bytes], bytes | None] = lambda packet: packet,
    *,
    takes: Callable[[bytes], bool] = lambda _packet: True,
) -> None:
    """Stand between the client and a real broker. answer: what the client gets for a packet of the broker's, empty for
    nothing; None hangs up on both. takes: False for a packet of the client's hangs up on both."""
    with socket.create_connection(("127.0.0.1", broker_port)) as upstream:
        broker = Wire(upstream)
        up = threading.Thread(target=_pass_on, args=(wire, broker, upstream, takes), daemon=True)
        up.start()
        while packet := broker.read_raw():
            passed = answer(packet)
            if passed is None:
                break
            wire.send(passed)
        wire.hang_up()
        up.join(5)


def _pass_on(wire: Wire, broker: Wire, upstream: socket.socket, takes: Callable[[bytes], bool]) -> None:
    with contextlib.suppress(OSError):
        while (packet := wire.read_raw()) and takes(packet):
            broker.send(packet)
    with contextlib.suppress(OSError):
        upstream.shutdown(socket.SHUT_RDWR)


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
