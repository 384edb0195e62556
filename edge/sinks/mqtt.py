"""Events to an MQTT broker: each at least once, in order, whatever the network does meanwhile.

The pipeline puts events into the outbox and goes on; a thread of its own connects, delivers and connects again. A
broker that is away, slow or unfriendly never ends the run and never holds up a frame.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import replace
from typing import Final

from paho.mqtt.enums import MQTTProtocolVersion

from edge.backoff import Backoff
from edge.errors import DiskError, EdgeError, Undelivered
from edge.events import Event
from edge.journal import asks
from edge.outbox import Outbox
from edge.records import ImageU8
from edge.sinks.mqtt_address import find_password, parse_address, refuse_unused_tls, tls_context
from edge.sinks.mqtt_endings import Ended, How, rivalled
from edge.sinks.mqtt_lessons import Lessons
from edge.sinks.mqtt_line import Closing, Line
from edge.sinks.mqtt_session import FAREWELL_S, HANG_UP_S, Session
from edge.sinks.notices import Notice, Notices
from edge.sinks.settings import SinkSettings
from edge.snapshot import as_jpeg
from edge.topics import check_base, check_name, default_base, discovery_topic, event_topic, snapshot_topic

log = logging.getLogger(__name__)

_HURRIED_PAUSE_S: Final = 0.5  # between attempts once the run is ending: little time is left
_SLOW_SPREAD: Final = 0.2  # of the pause after a refusal, up or down: doors that were refused together part ways
_NAMES: Final = {MQTTProtocolVersion.MQTTv5: "MQTT 5", MQTTProtocolVersion.MQTTv311: "MQTT 3.1.1"}


class MqttSink:
    """The sink ``mqtt://[user@]host[:port]``; ``line_to`` makes its line. The broker may be away."""

    wants_more = True

    def __init__(self, line: Line, outbox: Outbox) -> None:
        self._line = line
        self.name = str(line.address)
        self._outbox = outbox
        self._notices = Notices()
        self._closing = Closing()
        self._backoff = Backoff(line.settings.retry_min_s, line.settings.retry_max_s)
        self._session: Session | None = None  # the one that serves just now
        self._trouble: Ended | None = Ended(How.LOST, "no connection yet")  # why events wait; None while all is well
        self._told: set[Ended] = set()  # troubles that the log has been told of since it last worked
        self._complaints: set[str] = set()
        self._is_refused = False  # the login, at the last attempt
        # Longer than any pause of ours: a rival's stay lasts as long as our pause, and must not pass for a good one.
        self._lessons = Lessons(2 * max(line.settings.retry_max_s, line.settings.refused_retry_s))
        self._last_ack_mono_s: float | None = None
        self._ignored = 0
        if line.settings.has_snapshot:
            log.warning("mqtt: mqtt.snapshot is on: pictures of faces leave this machine, to %s", line.snapshot_topic)
        self._thread = threading.Thread(target=self._run, name="mqtt-sender", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Events that the broker has not acknowledged."""
        return self._outbox.waiting

    @property
    def ignored(self) -> int:
        """Messages on Home Assistant's status topic that were none of its own."""
        session = self._session
        return self._ignored + (session.ignored if session else 0)

    @property
    def base_topic(self) -> str:
        return self._line.base_topic

    @property
    def last_ack_s(self) -> float | None:
        """Seconds since the broker last acknowledged anything, whatever else is believed of it; None: it never did."""
        session = self._session
        last_s = (session.last_ack_mono_s if session else None) or self._last_ack_mono_s
        return None if last_s is None else time.monotonic() - last_s

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is wrong between the broker and us, as words of ``edge.health.REASONS``; it may be reachable all the
        same."""
        session = self._session
        is_over = session is not None and session.lasted_s >= self._lessons.steady_s
        holds = {
            "broker_refuses": self._is_refused or bool(self._lessons.refused),
            "name_taken": self._lessons.is_rivalled and not is_over,
        }
        return tuple(reason for reason, is_so in holds.items() if is_so)

    def publish(self, event: Event, payload: bytes) -> None:
        self._outbox.put(event.seq, payload)
        self._wake()

    def retain(self, notice: Notice) -> None:
        """Have the broker retain this as the latest word on its topic, now and after every connection."""
        self._notices.put(notice)
        self._wake()

    def show(self, event: Event, face_bgr: ImageU8) -> None:
        """Publish the face of a decision once; where no broker is there just now, it is forgotten."""
        session = self._session
        if session is None or not self._line.settings.has_snapshot:
            return
        try:
            session.show(as_jpeg(face_bgr), event.id)
        except Exception:  # a picture that cannot be made must not cost the decision that it is of
            log.exception("mqtt: no picture of event %s", event.id)

    def close(self, drain_s: float) -> None:
        """Deliver what waits, for at most ``drain_s`` seconds, say ``offline`` and leave.

        Raises Undelivered where events are left on disk, DiskError where the disk does not take them either.
        """
        if self.waiting:
            log.info("mqtt: %s: waiting up to %g s for %d events to be taken", self.name, drain_s, self.waiting)
        self._closing.begin(drain_s)
        session = self._session  # read after the line above: a session that begins just now sees the end by itself
        if session is not None:
            session.wake()
        if session is not None or self.waiting:  # else there is nothing to wait for, not even a broker
            self._thread.join(drain_s + FAREWELL_S + 2 * HANG_UP_S)
        if self.waiting:
            refused = self._lessons.refused.get(event_topic(self._line.base_topic))
            why = self._trouble.why if self._trouble else refused or "no time was left"
            what = f"{self.waiting} events could not be delivered to {self.name} ({why})"
            if lost := self._outbox.save():
                raise DiskError(f"{what}, and {lost} of them are lost: the disk takes none", "make room, or mend it")
            raise Undelivered(what, "check the broker, then run again; they are kept and go first")

    def _wake(self) -> None:
        session = self._session  # one that begins just now looks by itself
        if session is not None:
            session.wake()

    def _run(self) -> None:
        while not self._is_over():
            try:
                ended = self._connect_and_serve()
            except Exception:
                # Ours, whatever it is; but a door must not fall silent for it.
                log.exception("mqtt: unexpected fault, trying again", extra=asks("fault"))
                ended = Ended(How.LOST, "unexpected fault")
            if ended.how is How.FINISHED or (self._closing.has_begun and not self.waiting):
                return
            self._pause(self._tell(ended))

    def _connect_and_serve(self) -> Ended:
        """One round: MQTT 5 first, and 3.1.1 at once where the broker does not know it."""
        ended = self._one_session(MQTTProtocolVersion.MQTTv5)
        if ended.how is How.UNANSWERED and self._lessons.not_answered() and not self._is_over():
            ended = self._one_session(MQTTProtocolVersion.MQTTv311)
        return ended

    def _one_session(self, version: MQTTProtocolVersion) -> Ended:
        session = Session(
            self._renewed(),
            self._outbox,
            self._notices,
            self._closing,
            version,
            lessons=self._lessons,
            complain=self._complain,
        )
        try:
            refused = session.dial()
            self._is_refused = refused is not None and refused.how is How.REFUSED
            if refused is not None:
                self._lessons.not_connected()
                return refused
            if version is MQTTProtocolVersion.MQTTv5:
                self._lessons.answered()
            log.info("mqtt: connected to %s by %s as %s", self.name, _NAMES[version], self._line.client_id)
            self._session = session
            ended = self._judged(session, session.serve())
            self._forget_trouble(session)
            return ended
        finally:
            self._last_ack_mono_s = session.last_ack_mono_s or self._last_ack_mono_s
            self._session = None
            session.hang_up()
            # A login alone is no success: two devices of one name log in without end.
            if session.has_delivered or session.lasted_s >= self._lessons.steady_s:
                self._backoff.reset()
            self._ignored += session.ignored

    def _renewed(self) -> Line:
        """With the certificates as they are now: those of a device may be good for days. What cannot be read just now
        leaves those that were."""
        if self._line.tls is not None:
            try:
                self._line = replace(self._line, tls=tls_context(self._line.settings))
            except EdgeError as error:
                self._complain(f"{error.what}: what was read before is used")
        return self._line

    def _judged(self, session: Session, ended: Ended) -> Ended:
        """Where one connection after the other ends soon and for nothing, the reason is most likely our name."""
        is_told = ended.how is How.RIVALLED
        self._lessons.ended(session.lasted_s, owed_nothing=session.owed_nothing, is_told=is_told)
        if self._lessons.is_rivalled and not is_told and ended.how is How.LOST:
            return rivalled(self._line.client_id, is_told=False)
        return ended

    def _forget_trouble(self, session: Session) -> None:
        """After it worked, whatever comes next is news. Where events were refused, only a delivered one is a sign."""
        if self._lessons.is_rivalled:
            return
        is_refused = self._trouble is not None and self._trouble.how is How.REFUSED
        if session.has_delivered or (session.was_acknowledged and not is_refused):
            self._trouble = None
            self._told.clear()

    def _tell(self, ended: Ended) -> float:
        """Log what is new; returns the pause before the next attempt, seconds."""
        is_slow = ended.how in (How.REFUSED, How.RIVALLED)
        spread = random.uniform(1 - _SLOW_SPREAD, 1 + _SLOW_SPREAD)
        pause_s = self._line.settings.refused_retry_s * spread if is_slow else self._backoff.next_s()
        level = logging.DEBUG if ended in self._told else logging.ERROR if is_slow else logging.WARNING
        self._trouble = ended
        self._told.add(ended)
        asking = asks("broker_away", broker=self.name)
        log.log(level, "mqtt: %s: %s; events wait, next attempt in %.1f s", self.name, ended.why, pause_s, extra=asking)
        return pause_s

    def _complain(self, complaint: str) -> None:
        """Once a run: what the broker refuses today it refuses tomorrow."""
        if complaint not in self._complaints:
            log.warning("mqtt: %s: %s", self.name, complaint, extra=asks("broker_refuses", broker=self.name))
            self._complaints.add(complaint)

    def _pause(self, pause_s: float) -> None:
        if self._closing.has_begun:
            time.sleep(min(pause_s, _HURRIED_PAUSE_S))
        else:
            self._closing.wait_begun(pause_s)

    def _is_over(self) -> bool:
        return self._closing.left_s == 0 or (self._closing.has_begun and not self.waiting)


def line_to(spec: str, settings: SinkSettings) -> Line:
    """What it takes to reach the broker; nobody is dialled. Raises ConfigError where some of it cannot be used."""
    device = check_name("device", settings.device)
    base = settings.mqtt.base_topic
    address = parse_address(spec)
    refuse_unused_tls(address, settings.mqtt)
    return Line(
        address=address,
        password=find_password(address, settings.mqtt),
        tls=tls_context(settings.mqtt) if address.is_tls else None,
        client_id=f"mask-edge-{device}",
        base_topic=default_base(device) if base is None else check_base(base),
        snapshot_topic=snapshot_topic(device),
        discovery_topic=discovery_topic(device) if settings.mqtt.discovery else None,
        settings=settings.mqtt,
    )
