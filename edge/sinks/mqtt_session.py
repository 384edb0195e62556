"""One connection to the broker, from the dial to its end.

Two threads meet here: paho's network thread, whose callbacks only put notes into a queue, and the sender, which does
all the rest. So no callback can fail (an exception in one silently ends paho's thread), and no lock is needed.

Each connection has a paho client of its own. One that connects again by itself sends its old messages in between ours,
waits without jitter, and keeps to itself why it failed; a fresh one has no past.
"""

from __future__ import annotations

import contextlib
import math
import queue
import random
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.outbox import RETRY_S, Outbox
from edge.sinks.mqtt_endings import Ended, How, loss, not_reached, refusal, unanswered
from edge.sinks.mqtt_lessons import Lessons
from edge.sinks.mqtt_line import Closing, Line
from edge.sinks.mqtt_notes import Acked, Answered, Down, Heard, Note, Picture, Subscribed, Wake
from edge.sinks.notices import Notices
from edge.topics import HOME_ASSISTANT_STATUS, OFFLINE, ONLINE, availability_topic, event_topic

WINDOW: Final = 20  # unacknowledged messages at most; a broker may allow less (its receive maximum)
FAREWELL_S: Final = 2.0  # for the broker to acknowledge our ``offline``
HANG_UP_S: Final = 1.0  # for paho's thread to notice that its socket is gone
MAX_PACKET_BYTES: Final = 4096  # of what a broker may send us: answers, and Home Assistant's birth message (MQTT 5)
BIRTH: Final = b"online"
DEATH: Final = b"offline"
BIRTH_DELAY_S: Final = (1.0, 5.0)  # drawn at random: Home Assistant asks every device to spread its answer
ONLINE_AGAIN_S: Final = 30.0  # on a connection that lasts, ``online`` is said though two ended over it, so it seemed
_HEARD_BYTES: Final = 16  # of a payload that we keep: more than a birth message has
_STATE: Final = 0  # stands for "no event" where a message's event number is kept


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message on its way. seq: _STATE for what is no event."""

    topic: str
    seq: int


class _Client(paho.Client):
    """paho's client, which also tells when its network thread ends, whatever ends it."""

    on_end: Callable[[], None]

    def loop_forever(self, *args: Any, **kwargs: Any) -> MQTTErrorCode:
        try:
            return super().loop_forever(*args, **kwargs)
        finally:
            self.on_end()


class Session:
    """Dial, serve, be gone. One thread calls everything but ``wake`` and ``show``.

    lessons: of the connections before. complain: told what the broker does not take, again and again.
    """

    def __init__(
        self,
        line: Line,
        outbox: Outbox,
        notices: Notices,
        closing: Closing,
        version: MQTTProtocolVersion,
        *,
        lessons: Lessons,
        complain: Callable[[str], None],
    ) -> None:
        self._line = line
        self._outbox = outbox
        self._before_us = outbox.last_seq  # events up to here waited for a connection
        self._notices = notices
        self._told_version = 0
        self._closing = closing
        self._version = version
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._thread_ended = threading.Event()
        self._in_flight: dict[int, _Sent] = {}  # by paho's message id
        self._fed_seq = 0
        self._window = WINDOW
        self._largest: int | None = None  # packet that the broker takes, bytes; None: it names no limit
        self._owes_online = False
        self._asked: int | None = None  # paho's message id of a subscription that is not answered
        self._began_mono_s = math.inf
        self._progress_mono_s = time.monotonic()
        self.was_acknowledged = False  # anything at all
        self.last_ack_mono_s: float | None = None
        self.has_delivered = False  # an event
        self.ignored = 0  # messages on the topic that we subscribe to, which are none of Home Assistant's
        self._renew_at_mono_s: float | None = None  # when Home Assistant, just started, is told of us again
        self._lessons = lessons
        self._complain = complain
        self.owed_nothing = False  # at its end, which the other side brought about without a word
        self._socket_error = ""
        self._client = self._new_client()

    def wake(self) -> None:
        """Look into the outbox and the notices again. Any thread."""
        self._notes.put(Wake())

    def show(self, jpeg: bytes, event_id: str) -> None:
        """Send a picture once, QoS 0, not retained; it is never kept. Any thread."""
        self._notes.put(Picture(jpeg, event_id))

    def dial(self) -> Ended | None:
        """Connect and log in; None where the broker took us."""
        address, settings = self._line.address, self._line.settings
        try:
            # Not connect_async: it would keep to itself why there is no connection.
            self._client.connect(
                address.host, address.port, settings.keepalive_s, properties=self._connect_properties()
            )
        except (OSError, ValueError) as err:  # ValueError: a host name that cannot be one
            return not_reached(address, err)
        self._client.loop_start()
        return self._await_answer(time.monotonic() + settings.connect_timeout_s)

    @property
    def lasted_s(self) -> float:
        """Since the broker took us; 0 before."""
        return max(0.0, time.monotonic() - self._began_mono_s)

    def serve(self) -> Ended:
        """Say ``online``, then deliver events until the connection or the run ends."""
        self._began_mono_s = time.monotonic()
        self._owes_online = self._say(availability_topic(self._line.base_topic), ONLINE) is None
        self._listen()
        while True:
            self._say_online_at_last()
            self._renew_discovery()
            self._feed_notices()
            self._feed_events()
            if self._is_done():
                return self._farewell()
            ended = self._take(self._next_note(self._patience_s()))
            if ended is not None:
                return ended
            if self._ack_age_s() >= self._line.settings.ack_timeout_s:
                return Ended(How.LOST, f"no acknowledgement for {self._line.settings.ack_timeout_s:g} s")

    def hang_up(self) -> None:
        """Let go of the connection, the last call. Where no farewell was taken, the broker then publishes our will."""
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            with contextlib.suppress(OSError):  # the other end was quicker
                sock.shutdown(socket.SHUT_RDWR)
            # Not loop_stop: it waits for every acknowledgement, without a limit.
            self._thread_ended.wait(HANG_UP_S)
        del self._client  # its callbacks hold us: without this, its sockets would wait for the garbage collector

    # The network thread's side: paho calls these. They do nothing that could fail.

    def _on_connect(self, _c: object, _u: object, _f: object, reason: ReasonCode, granted: Properties | None) -> None:
        largest = getattr(granted, "MaximumPacketSize", None)
        self._notes.put(Answered(reason, int(getattr(granted, "ReceiveMaximum", WINDOW)), largest))

    def _on_publish(self, _c: object, _u: object, mid: int, reason: ReasonCode, _p: object) -> None:
        self._notes.put(Acked(mid, reason))

    def _on_subscribe(self, _c: object, _u: object, _mid: int, reasons: list[ReasonCode], _p: object) -> None:
        for reason in reasons:
            self._notes.put(Subscribed(reason))

    def _on_message(self, _c: object, _u: object, message: paho.MQTTMessage) -> None:
        self._notes.put(Heard(bytes(message.payload[:_HEARD_BYTES])))

    def _on_log(self, _c: object, _u: object, level: int, text: str) -> None:
        if level == paho.MQTT_LOG_ERR:
            self._socket_error = text  # the only place where paho says why a connection broke

    def _on_disconnect(
        self, _c: object, _u: object, flags: paho.DisconnectFlags, reason: ReasonCode, _p: object
    ) -> None:
        self._notes.put(Down(reason if flags.is_disconnect_packet_from_server else None))

    def _on_end(self) -> None:
        self._thread_ended.set()
        self._notes.put(Down(None))

    # The sender's side.

    def _new_client(self) -> _Client:
        line = self._line
        client = _Client(
            CallbackAPIVersion.VERSION2, client_id=line.client_id, protocol=self._version, reconnect_on_failure=False
        )
        client.connect_timeout = line.settings.connect_timeout_s
        client.max_inflight_messages_set(0)  # the window is ours
        client.will_set(availability_topic(line.base_topic), OFFLINE, qos=1, retain=True)
        if line.address.user is not None:
            client.username_pw_set(line.address.user, line.password)
        if line.tls is not None:
            client.tls_set_context(line.tls)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_log = self._on_log
        client.on_disconnect = self._on_disconnect
        client.on_end = self._on_end
        return client

    def _await_answer(self, deadline_mono_s: float) -> Ended | None:
        while True:
            note = self._next_note(max(0.0, deadline_mono_s - time.monotonic()))
            if isinstance(note, Answered):
                self._window, self._largest = min(WINDOW, note.receive_maximum), note.maximum_packet
                return refusal(note.reason) if note.reason.is_failure else None
            if isinstance(note, Down):
                return unanswered(self._line.address, self._socket_error)
            if note is None:
                # amqtt, for one, waits for more where it does not understand MQTT 5.
                return Ended(How.UNANSWERED, "it does not answer (is it an MQTT broker?)")

    def _feed_notices(self) -> None:
        """Hand paho what is to be retained: all of it on a new connection, later what has changed."""
        while len(self._in_flight) < self._window and (found := self._notices.after(self._told_version)):
            self._told_version, notice = found
            self._retain(notice.topic, notice.payload, self._properties(expiry_s=notice.expiry_s))

    def _retain(self, topic: str, payload: bytes, properties: Properties | None) -> int | None:
        """Paho's id of the message; None where the broker does not take it, which must not keep events from it."""
        if self._lessons.is_left_out(topic) or not self._fits(topic, payload, properties):
            return None
        return self._send(topic, payload, _STATE, properties)

    def _feed_events(self) -> None:
        """Hand events to paho, in order, as far as the window allows, and none past one that the broker cannot take."""
        topic = event_topic(self._line.base_topic)
        while len(self._in_flight) < self._window:
            waiting = self._outbox.next(self._fed_seq)
            if waiting is None:
                return
            is_replayed = waiting.seq <= self._before_us
            properties = self._properties(is_replayed=is_replayed, expiry_s=self._line.settings.event_expiry_s)
            if not self._fits(topic, waiting.payload, properties):
                return
            self._send(topic, waiting.payload, waiting.seq, properties)
            self._fed_seq = waiting.seq

    def _fits(self, topic: str, payload: bytes, properties: Properties | None) -> bool:
        """Whether the broker takes a packet of this size: it ends the connection over one that is larger."""
        size = packet_bytes(topic, payload, properties)
        if self._largest is None or size <= self._largest:
            return True
        self._refused(topic, f"it takes packets up to {self._largest} bytes only: raise that limit (docs/mqtt.md)")
        return False

    def _refused(self, topic: str, why: str) -> None:
        is_event = topic == event_topic(self._line.base_topic)
        self._lessons.refused[topic] = why
        self._complain(f"{'events wait' if is_event else f'{topic} is left out'}: {why}")

    def _say_online_at_last(self) -> None:
        """Availability is what others judge us by: connections that broke may have ended over something else."""
        topic = availability_topic(self._line.base_topic)
        if self._owes_online and self.lasted_s >= ONLINE_AGAIN_S and self._fits(topic, ONLINE, None):
            self._owes_online = False
            self._send(topic, ONLINE, _STATE, None)

    def _say(self, topic: str, payload: bytes) -> int | None:
        return self._retain(topic, payload, None)

    def _send(self, topic: str, payload: bytes, seq: int, properties: Properties | None) -> int:
        """One message, QoS 1; what is not an event is retained. Returns paho's id for it.

        What paho answers is not looked at: it says "no connection" and sends nevertheless, or "done" and does not.
        Only an acknowledgement counts.
        """
        if not self._in_flight:
            self._progress_mono_s = time.monotonic()
        sent = self._client.publish(topic, payload, qos=1, retain=seq == _STATE, properties=properties)
        self._in_flight[sent.mid] = _Sent(topic, seq)
        return sent.mid

    def _send_picture(self, picture: Picture) -> None:
        properties = self._properties(content_type="image/jpeg")
        if properties is not None:
            properties.UserProperty = ("event", picture.event_id)
        if self._fits(self._line.snapshot_topic, picture.jpeg, properties):
            self._client.publish(self._line.snapshot_topic, picture.jpeg, qos=0, properties=properties)
            self._lessons.refused.pop(self._line.snapshot_topic, None)

    def _listen(self) -> None:
        """Hear when Home Assistant starts. Not by 3.1.1: there, no limit can be set to what we are sent."""
        is_wanted = self._line.discovery_topic is not None and not self._lessons.is_left_out(HOME_ASSISTANT_STATUS)
        if is_wanted and self._version == MQTTProtocolVersion.MQTTv5:
            # What is retained there is of no interest: whoever connects tells of itself anyway.
            options = SubscribeOptions(qos=0, retainHandling=2)
            _, self._asked = self._client.subscribe(HOME_ASSISTANT_STATUS, options=options)

    def _renew_discovery(self) -> None:
        if self._renew_at_mono_s is not None and time.monotonic() >= self._renew_at_mono_s:
            self._renew_at_mono_s = None
            self._notices.renew(self._line.discovery_topic or "")

    def _connect_properties(self) -> Properties | None:
        """The session ends with the connection: what has to outlast it is in our outbox, not at the broker."""
        if self._version != MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        return properties

    def _properties(
        self, *, is_replayed: bool = False, expiry_s: int | None = None, content_type: str = "application/json"
    ) -> Properties | None:
        """What MQTT 5 says along with a payload; 3.1.1 has nothing of the kind."""
        if self._version != MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.ContentType = content_type
        if is_replayed:
            properties.UserProperty = ("replayed", "true")
        if expiry_s is not None:
            properties.MessageExpiryInterval = expiry_s
        return properties

    def _next_note(self, timeout_s: float | None) -> Note | None:
        try:
            return self._notes.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def _patience_s(self) -> float | None:
        """How long nothing needs to happen; None is for ever, until a note comes."""
        limits = [] if self._closing.left_s is None else [self._closing.left_s]
        if self._in_flight:
            limits.append(max(0.0, self._line.settings.ack_timeout_s - self._ack_age_s()))
        if self._renew_at_mono_s is not None:
            limits.append(max(0.0, self._renew_at_mono_s - time.monotonic()))
        if self._owes_online:
            limits.append(max(0.1, ONLINE_AGAIN_S - self.lasted_s))
        if self._outbox.trouble:
            limits.append(RETRY_S)  # what could not be read may be readable then, and no event comes to tell us
        return min(limits, default=None)

    def _ack_age_s(self) -> float:
        """How long the broker has owed us an acknowledgement without giving any; 0 where it owes none."""
        return time.monotonic() - self._progress_mono_s if self._in_flight else 0.0

    def _take(self, note: Note | None) -> Ended | None:
        if isinstance(note, Acked):
            return self._acked(note)
        if isinstance(note, Down):
            return self._lost(note)
        if isinstance(note, Picture):
            self._send_picture(note)
        elif isinstance(note, Heard):
            self._heard(note.payload)
        elif isinstance(note, Subscribed):
            self._asked = None
            self._lessons.took(HOME_ASSISTANT_STATUS)
            if note.reason.is_failure:
                self._complain(f"it does not let us read {HOME_ASSISTANT_STATUS} ({note.reason}): see its access rules")
        return None

    def _lost(self, note: Down) -> Ended:
        """The connection is gone. Brokers answer in order: what is not answered first may be what it ended over."""
        ended, topic = loss(note.reason, self._line.client_id), self._first_unanswered()
        self.owed_nothing = topic is None and note.reason is None
        if topic is None or ended.how is How.RIVALLED or not self._lessons.suspect(topic):
            return ended
        if topic == event_topic(self._line.base_topic):
            return Ended(ended.how, f"{ended.why}, time and again at the same event", f"see {self._rules(topic)}")
        verb = "asked for" if topic == HOME_ASSISTANT_STATUS else "published on"
        self._refused(topic, f"it ends the connection when that is {verb}: see {self._rules(topic)}")
        return ended

    def _rules(self, topic: str) -> str:
        is_extra = topic in (self._line.discovery_topic, HOME_ASSISTANT_STATUS)
        return "its access rules and size limits" + (", or set mqtt.discovery = false" if is_extra else "")

    def _first_unanswered(self) -> str | None:
        first = next(iter(self._in_flight), None)
        if self._asked is not None and (first is None or self._asked < first):
            return HOME_ASSISTANT_STATUS
        return None if first is None else self._in_flight[first].topic

    def _acked(self, note: Acked) -> Ended | None:
        sent = self._in_flight.pop(note.mid, None)
        if sent is None:  # a picture has left; nobody acknowledges that
            return None
        self._progress_mono_s = time.monotonic()
        if not note.reason.is_failure:
            self.was_acknowledged, self.last_ack_mono_s = True, self._progress_mono_s
            self.has_delivered |= sent.seq != _STATE
            self._outbox.ack(sent.seq)
            self._lessons.took(sent.topic)
            return None
        way_out = ", or set mqtt.discovery = false" if sent.topic == self._line.discovery_topic else ""
        refused = Ended(
            How.REFUSED, f"it takes nothing on {sent.topic} ({note.reason})", f"see the broker's access rules{way_out}"
        )
        self._lessons.took(sent.topic)  # as far as its size is concerned, and the connection lives
        self._lessons.refused[sent.topic] = refused.why
        if sent.seq != _STATE:
            return refused
        self._complain(refused.why)
        return None

    def _heard(self, payload: bytes) -> None:
        """Home Assistant has started, or something else happened, which is none of our business."""
        if payload == BIRTH and self._renew_at_mono_s is None:
            self._renew_at_mono_s = time.monotonic() + random.uniform(*BIRTH_DELAY_S)
        elif payload not in (BIRTH, DEATH):
            self.ignored += 1
            self._complain(f"{HOME_ASSISTANT_STATUS} says neither online nor offline: ignored, and counted")

    def _is_done(self) -> bool:
        left_s = self._closing.left_s
        return left_s is not None and (left_s == 0 or (not self._outbox.waiting and not self._in_flight))

    def _farewell(self) -> Ended:
        """Say ``offline`` ourselves: a disconnect in good order takes back the will."""
        topic = availability_topic(self._line.base_topic)
        mid = self._send(topic, OFFLINE, _STATE, None) if self._fits(topic, OFFLINE, None) else None
        deadline = time.monotonic() + FAREWELL_S
        while mid in self._in_flight and (left_s := deadline - time.monotonic()) > 0:
            if self._take(self._next_note(left_s)) is not None:
                break
        if mid not in self._in_flight:
            self._client.disconnect()
            self._thread_ended.wait(HANG_UP_S)
        return Ended(How.FINISHED, "we are done")  # without the acknowledgement: hang_up, and the will says it


def packet_bytes(topic: str, payload: bytes, properties: Properties | None) -> int:
    """Size of a PUBLISH packet of QoS 1, whole (MQTT 5, 3.3): that is what a broker's limit counts."""
    no_properties = b"\0"  # their length
    extra = no_properties if properties is None else properties.pack()  # type: ignore[no-untyped-call]
    rest = 2 + len(topic.encode()) + 2 + len(extra) + len(payload)  # lengths of the topic and of the message id: 2 each
    length = VariableByteIntegers.encode(rest)  # type: ignore[no-untyped-call]
    return 1 + len(length) + rest
