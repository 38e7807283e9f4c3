"""A whole exchange in one thread, without its feed: brokers, one gateway, shards, and what is under way between them.

It does by hand what the shells do, in the same order: take a batch, write its record, let it out. So a test can stop
the world between any two of these, drop a process with everything it had in memory, and start it again from what it
had written. Nothing moves by itself: `step` carries one piece of what is under way, `settle` carries all of it.
"""

from collections import deque
from collections.abc import Callable, Container, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from fixgw import history
from fixgw.awake import SteadyClock
from fixgw.codec import Framer, decode
from fixgw.delivery import portions
from fixgw.logon import Identity
from fixgw.reports import DIALECTS
from fixgw.router import Batch, Router, Seat
from fixgw.session import Session
from fixgw.session_state import State
from fixgw.throttle import TokenBucket
from fixgw.timestamps import SECOND
from fixgw.translate import TradedInstrument
from matching.commands import DefineInstrument, DefineSession, StartDay
from matching.shard import Shard
from matching.wire import encode
from recovery.link import LinkServer, Login
from recovery.primary import Primary
from recovery.reader import Reader
from recovery.retransmitter import Retransmitter
from recovery.sources import Verdict
from tests.fixgw.broker_in_memory import Broker
from tests.fixgw.fixtalk import NOW, STEADY
from tests.recovery.adder import next_epoch, replay

if TYPE_CHECKING:
    from fixgw.inquiries import Inquiry

SOURCE = 1
KEY = bytes(range(32))
NONCE = bytes(32)
#: By symbol: the instrument and the shard it trades on.
INSTRUMENTS = {
    "ALPHA": TradedInstrument(1, b"ALPHA", 1, 100, 1),
    "GAMMA": TradedInstrument(2, b"GAMMA", 2, 100, 10),
}
SESSIONS = (("AMBER", "FIX.4.4"), ("BIRCH", "FIX.4.2"))


class Crash(Enum):
    """Where a process stops: its record was not written, or written but nothing let out."""

    UNWRITTEN = "unwritten"
    UNRELEASED = "unreleased"


class _Stopped(Exception):
    pass


class Gateway:
    """One life of a gateway's process."""

    def __init__(self, venue: "Venue", records: list[bytes]) -> None:
        self.records = records
        self.router = Router(SOURCE, KEY, venue.seats(), venue.instruments, venue.shard_ids, clock=venue.clock)
        for number, record in enumerate(records, start=1):
            self.router.restore(number, record)
        self.router.begin(venue.now)
        self.readers = {
            shard_id: Reader(shard_id, state.position, epoch=state.epoch, past=state.past)
            for shard_id, state in self.router.shards.items()
        }
        #: session_id → the bytes of its connection.
        self.framers: dict[int, Framer] = {}
        self.batches: list[Batch] = []

    def read(self, number: int) -> bytes:
        return self.records[number - 1]


class Venue:
    """One gateway, shards 1 … and brokers by CompID. Session ids and participant ids count from 1."""

    def __init__(
        self,
        sessions: Sequence[tuple[str, str]] = SESSIONS,
        shard_count: int = 1,
        orders_per_second: int = 1_000_000,
        cancel_on_disconnect: Container[str] = (),
        unlisted: Container[bytes] = (),
    ) -> None:
        self._now = NOW
        #: The steady clock of all processes.
        self.clock = SteadyClock(STEADY)
        #: By shard_id, how far the clock of its primary's machine is ahead of all others (ns).
        self.fast: dict[int, int] = {}
        self.cancel_on_disconnect = cancel_on_disconnect
        #: Symbols that the gateway knows and the shards do not.
        self.unlisted = unlisted
        self.shard_ids = range(1, shard_count + 1)
        self.instruments = [each for each in INSTRUMENTS.values() if each.shard_id in self.shard_ids]
        self.orders_per_second = orders_per_second
        numbered = range(1, len(sessions) + 1)
        #: Bytes under way; b"" says that the sender closed its connection.
        self.to_gateway: dict[int, deque[bytes]] = {session_id: deque() for session_id in numbered}
        self.to_broker: dict[int, deque[bytes]] = {session_id: deque() for session_id in numbered}
        self.up: dict[int, deque[bytes]] = {shard_id: deque() for shard_id in self.shard_ids}
        self.down: dict[int, deque[bytes]] = {shard_id: deque() for shard_id in self.shard_ids}
        self.stream: dict[int, deque[bytes]] = {shard_id: deque() for shard_id in self.shard_ids}
        self.brokers = {
            comp_id: Broker(session_id, comp_id, version, lambda: self.now, self.to_gateway[session_id].append)
            for session_id, (comp_id, version) in zip(numbered, sessions, strict=True)
        }
        self.by_session = {broker.session_id: broker for broker in self.brokers.values()}
        #: What brokers asked and was not answered yet.
        self.asked: deque[Inquiry] = deque()
        #: What each process has written down, in its life and its lives before.
        self.gateway_records: list[bytes] = []
        self.shard_entries: dict[int, list[bytes]] = {shard_id: [] for shard_id in self.shard_ids}
        self.primaries: dict[int, Primary] = {}
        self.machines: dict[int, Shard] = {}
        self.servers: dict[int, LinkServer] = {}
        #: The next process to come there stops.
        self.gateway_crash: Crash | None = None
        self.shard_crash: Crash | None = None
        for shard_id in self.shard_ids:
            self.start_shard(shard_id)
            self._open_market(shard_id)
        self._gateway: Gateway | None = None
        self.start_gateway()

    def _open_market(self, shard_id: int) -> None:
        """What an operator's configuration makes a shard do."""
        primary = self.primaries[shard_id]
        for each in self.instruments:
            if each.shard_id == shard_id and each.symbol not in self.unlisted:
                listed = DefineInstrument(each.instrument_id, each.symbol, each.tick_size, each.lot_size, 100)
                primary.command(*encode(listed), self.stamp(shard_id))
        for comp_id, broker in self.brokers.items():
            if comp_id in self.cancel_on_disconnect:
                primary.command(
                    *encode(DefineSession(broker.session_id, broker.session_id, SOURCE, 1)), self.stamp(shard_id)
                )
        primary.command(*encode(StartDay(20261122, b"2611220001", NOW - 34_200 * SECOND)), self.stamp(shard_id))
        self.flush_shard(shard_id)

    def seats(self) -> list[Seat]:
        rate = self.orders_per_second
        return [
            Seat(
                broker.session_id,
                broker.session_id,
                Session(Identity(broker.version.encode(), b"FIXGW", comp_id.encode())),
                DIALECTS[broker.version.encode()],
                TokenBucket(rate, rate, self.now),
                TokenBucket(rate, rate, self.now),
                comp_id in self.cancel_on_disconnect,
            )
            for comp_id, broker in self.brokers.items()
        ]

    @property
    def gateway(self) -> Gateway:
        assert self._gateway is not None, "the gateway is down"
        return self._gateway

    @property
    def gateway_is_up(self) -> bool:
        return self._gateway is not None

    @property
    def router(self) -> Router:
        return self.gateway.router

    def seat(self, comp_id: str) -> Seat:
        return self.router.seats[self.brokers[comp_id].session_id]

    # Time

    @property
    def now(self) -> int:
        """The wall clock, which all processes have. Where it goes on, time has passed, and the steady clock goes on
        with it; it does not go back."""
        return self._now

    @now.setter
    def now(self, now: int) -> None:
        self.clock.time += max(now - self._now, 0)
        self._now = now

    def stamp(self, shard_id: int) -> int:
        """What the shard stamps commands with: the wall clock's time, but that it does not follow that where it is set
        (`recovery.clock`)."""
        return NOW + self.clock.time - STEADY + self.fast.get(shard_id, 0)

    def set_clock(self, step: int) -> None:
        """Somebody sets the wall clock ahead or back by so much (ns)."""
        self._now += step

    # Processes

    def start_gateway(self) -> None:
        self._gateway = Gateway(self, self.gateway_records)
        self._guarded(self.flush)

    def kill_gateway(self) -> None:
        """The process is gone: what it had sent still arrives, what it had received does not."""
        self._gateway = None
        self.gateway_crash = None
        self.asked.clear()
        for session_id, broker in self.by_session.items():
            self.to_gateway[session_id].clear()
            if broker.connected:
                self.to_broker[session_id].append(b"")
        for shard_id in self.shard_ids:
            self.down[shard_id].clear()
            self.up[shard_id].append(b"")

    def restart_gateway(self) -> None:
        """Kill and start it; then it has its links, and has heard heartbeats of all shards."""
        self.kill_gateway()
        self.settle()
        self.start_gateway()
        self.wait(0.1)

    def start_shard(self, shard_id: int) -> None:
        machine = self.machines[shard_id] = Shard(shard_id)
        primary = Primary(shard_id, machine)
        replay(primary, self.shard_entries[shard_id])
        primary.lead(next_epoch(self.shard_entries[shard_id]), self.stamp(shard_id))
        self.primaries[shard_id] = primary
        self.flush_shard(shard_id)

    def kill_shard(self, shard_id: int) -> None:
        """The process is gone, and with it what was under way to it; what it had said still arrives."""
        del self.primaries[shard_id]
        self.shard_crash = None
        self.servers.pop(shard_id, None)
        self.up[shard_id].clear()
        self.down[shard_id].append(b"")

    # What can be done next

    def connect(self, comp_id: str, extra: str = "") -> None:
        """The broker connects and logs on. Everything of its connection before has come to its end."""
        broker = self.brokers[comp_id]
        assert not broker.connected
        self.to_gateway[broker.session_id].clear()
        self.to_broker[broker.session_id].clear()
        self._gateway_loses(broker.session_id)
        if self.gateway_is_up and self.seat(comp_id).cancel_on_disconnect:
            self._guarded(self.flush)
        broker.connect(extra)

    def disconnect(self, comp_id: str) -> None:
        """The broker's connection breaks; what was under way is lost."""
        broker = self.brokers[comp_id]
        self.to_gateway[broker.session_id].clear()
        self.to_broker[broker.session_id].clear()
        self._gateway_loses(broker.session_id)
        if self.gateway_is_up and self.seat(comp_id).cancel_on_disconnect:
            self._guarded(self.flush)
        broker.disconnected()

    def link(self, shard_id: int) -> bool:
        """Connect the gateway with the shard, if they are not; says whether there was something to do."""
        if not self.gateway_is_up or shard_id not in self.primaries or shard_id in self.servers:
            return False
        self.up[shard_id].clear()
        self.down[shard_id].clear()
        self.servers[shard_id] = LinkServer(shard_id, {SOURCE: KEY}, NONCE, self.clock.time)
        self.router.shards[shard_id].link.connected(NONCE, self.clock.time)
        self.down[shard_id].append(self.servers[shard_id].data_to_send())
        return True

    def busy(self) -> list[tuple[str, int]]:
        """Where something is under way that can arrive."""
        found = []
        if self.gateway_is_up:
            found += [("to_gateway", each) for each, waiting in self.to_gateway.items() if waiting]
            found += [("down", each) for each, waiting in self.down.items() if waiting]
            found += [("stream", each) for each, waiting in self.stream.items() if waiting]
        found += [("to_broker", each) for each, waiting in self.to_broker.items() if waiting]
        found += [("up", each) for each, waiting in self.up.items() if waiting]
        return found

    def step(self, way: str, number: int) -> None:
        """Let arrive what is under way there: all bytes of a connection, one datagram of a stream."""
        waiting: deque[bytes] = getattr(self, way)[number]
        if way == "stream":
            data, closed = waiting.popleft(), False
        else:
            data, closed = b"".join(waiting), not waiting[-1]
            waiting.clear()
        if way == "to_gateway":
            self._guarded(lambda: self._from_broker(number, data))
        elif way == "stream":
            self._guarded(lambda: self._from_stream(number, data))
        elif way == "down":
            self._guarded(lambda: self._from_shard(number, data, closed))
        elif way == "up":
            self._to_shard(number, data, closed)
        else:
            self._to_broker(number, data, closed)

    def settle(self) -> None:
        """Until nothing is under way and every link stands that can."""
        while True:
            for shard_id in self.shard_ids:
                self.link(shard_id)
            busy = self.busy()
            if not busy and self.asked and self.gateway_is_up:
                self.answer()
            elif not busy:
                return
            for each in busy:
                if each in self.busy():
                    self.step(*each)

    def wait(self, seconds: float) -> None:
        """Let time pass in steps of a twentieth of a second, with all timers."""
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            self.now = min(self.now + SECOND // 20, end)
            self.tick()
            self.settle()

    def listen(self, seconds: float) -> None:
        """Let time pass with the gateway's own timers: it is awake, and nobody tells it anything."""
        end = self.now + round(seconds * SECOND)
        while self.now < end:
            self.now = min(self.now + SECOND // 10, end)
            self.router.handle_deadline(self.now)

    def tick(self) -> None:
        """Every timer that is due."""
        for shard_id, primary in self.primaries.items():
            primary.handle_deadline(self.stamp(shard_id))
            self.flush_shard(shard_id)
        for shard_id, server in self.servers.items():
            server.handle_deadline(self.clock.time)
            self._send(self.down[shard_id], server.data_to_send())
        if self.gateway_is_up:
            self._guarded(self._tick_gateway)

    # The gateway's shell

    def _guarded(self, act: Callable[[], None]) -> None:
        try:
            act()
        except _Stopped:
            self.kill_gateway()

    def flush(self) -> None:
        gateway = self.gateway
        batch = gateway.router.take_batch()
        if self.gateway_crash is Crash.UNWRITTEN and batch.record:
            raise _Stopped
        if batch.record:
            self.gateway_records.append(batch.record)
            gateway.router.written(len(self.gateway_records), batch)
        gateway.batches.append(batch)
        if self.gateway_crash is Crash.UNRELEASED and batch.record:
            raise _Stopped
        for shard_id, data in batch.commands:
            if shard_id in self.servers:
                self._send(self.up[shard_id], data)
        for session_id, data in batch.sends:
            if session_id in gateway.framers:
                self._send(self.to_broker[session_id], data)
        for session_id, _ in batch.closes:
            if session_id in gateway.framers:
                self._gateway_loses(session_id)
                self.to_broker[session_id].append(b"")
        for session_id in gateway.framers:
            self._resend(gateway, session_id)
        self.asked.extend(batch.inquiries)

    def answer(self) -> None:
        """The next of what brokers have asked is answered; by nobody, where a shard is down."""
        inquiry, router = self.asked.popleft(), self.router
        answer = router.answer_of(inquiry)
        while (question := answer.question()) is not None:
            shard_id, query = question
            if shard_id in self.primaries:
                reports = answer.receive(self.machines[shard_id].read(query), self.now)
            else:
                reports = answer.failed(self.now)
            for portion in history.portions(reports):
                router.tell(portion, self.now)
                self._guarded(self.flush)
                if not self.gateway_is_up:
                    return
        router.tell(router.answered(answer), self.now)
        self._guarded(self.flush)
        router.inquiries.done(inquiry.session_id)

    def _resend(self, gateway: Gateway, session_id: int) -> None:
        seat = gateway.router.seats[session_id]
        while data := gateway.router.resend(seat, seat.session.next_out_seq, gateway.read, self.now):
            self._send(self.to_broker[session_id], data)

    def _tick_gateway(self) -> None:
        gateway = self.gateway
        gateway.router.handle_deadline(self.now)
        for shard_id, reader in gateway.readers.items():
            deadline = reader.next_deadline()
            if deadline is not None and deadline <= self.now:
                reader.handle_deadline(self.now)
                self._ask(shard_id, reader)
            if shard_id in self.servers:
                gateway.router.shards[shard_id].link.handle_deadline(self.clock.time)
        self.flush()

    def _from_broker(self, session_id: int, data: bytes) -> None:
        gateway = self.gateway
        seat = gateway.router.seats[session_id]
        framer = gateway.framers.get(session_id) or Framer()
        for message in map(decode, framer.receive_data(data)):
            if session_id in gateway.framers:
                goes_on = gateway.router.receive(seat, message, self.now)
            elif message.msg_type != b"A":
                return  # for the connection of an earlier life
            else:
                gateway.framers[session_id] = framer
                events = seat.session.accept_logon(message, self.now)
                goes_on = gateway.router.handle_events(seat, events, self.now)
            if not goes_on:
                break
        self.flush()

    def _gateway_loses(self, session_id: int) -> None:
        if self.gateway_is_up and self.gateway.framers.pop(session_id, None) is not None:
            seat = self.gateway.router.seats[session_id]
            if seat.session.state is not State.DISCONNECTED:
                self.gateway.router.left(seat, self.now)

    def _from_stream(self, shard_id: int, data: bytes) -> None:
        gateway = self.gateway
        reader = gateway.readers[shard_id]
        released = reader.receive_datagram(data, self.now)
        for portion, position in portions(released, reader.position):
            gateway.router.deliver(shard_id, portion, position, self.now)
            self.flush()
        for reports in history.portions(gateway.router.status_reports(shard_id)):
            gateway.router.tell(reports, self.now)
            self.flush()
        self._ask(shard_id, reader)

    def _ask(self, shard_id: int, reader: Reader) -> None:
        """Requests are answered at once, if there is anybody to answer."""
        for _, request in reader.datagrams_to_send():
            if shard_id in self.primaries:
                server = Retransmitter({shard_id: self.primaries[shard_id]})
                self.stream[shard_id].extend(server.receive_request(request, ("", 0), self.now))

    def _from_shard(self, shard_id: int, data: bytes, closed: bool) -> None:
        link = self.router.shards[shard_id].link
        if data:
            link.receive_data(data, self.clock.time)
        if link.open:
            self.router.link_opened(shard_id)
        if closed:
            link.disconnected()
            self.router.link_lost(shard_id, self.now)
            self.servers.pop(shard_id, None)
        self.flush()

    # The shard's shell

    def _to_shard(self, shard_id: int, data: bytes, closed: bool) -> None:
        server = self.servers.get(shard_id)
        if server is None or shard_id not in self.primaries:
            return
        primary = self.primaries[shard_id]
        incarnation = server.login.incarnation if server.login is not None else 0
        for event in server.receive_data(data, self.clock.time):
            if isinstance(event, Login):
                last = primary.open_source(event.source_id, event.incarnation, self.stamp(shard_id))
                assert last is not None
                server.accept(last, self.clock.time)
            else:
                verdict = primary.submit(SOURCE, incarnation, *event, self.stamp(shard_id))
                assert verdict in (Verdict.TAKE, Verdict.DUPLICATE, Verdict.REPEATED), verdict
        if self.flush_shard(shard_id):
            self._send(self.down[shard_id], server.data_to_send())
            if closed:
                del self.servers[shard_id]
                self.down[shard_id].clear()

    def flush_shard(self, shard_id: int) -> bool:
        """Write down and commit what the shard did; false if that is where it stopped."""
        primary = self.primaries[shard_id]
        entries = primary.take_entries()
        if entries and self.shard_crash is Crash.UNWRITTEN:
            self.kill_shard(shard_id)
            return False
        self.shard_entries[shard_id] += entries
        if entries and self.shard_crash is Crash.UNRELEASED:
            self.kill_shard(shard_id)
            return False
        primary.committed(primary.last_tx)
        self.stream[shard_id].extend(primary.datagrams_to_send())
        return True

    # The brokers' side

    def _to_broker(self, session_id: int, data: bytes, closed: bool) -> None:
        broker = self.by_session[session_id]
        if not broker.connected:
            return
        broker.receive(data)
        if closed:
            broker.disconnected()

    @staticmethod
    def _send(way: deque[bytes], data: bytes) -> None:
        if data:
            way.append(data)
