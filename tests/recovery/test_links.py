import pytest
import trio
import trio.testing

from recovery.frames import LinkError
from recovery.history import ReplicaDiverged, StateLost
from recovery.journal import JournalFailed
from recovery.links import Links, NotPrimary
from recovery.primary import Primary
from recovery.pump import Pump


class FailingHost:
    """A process whose next batch ends with an error, whoever's link it is."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def leading(self) -> Primary:
        raise NotPrimary("a backup")

    async def settle(self) -> Primary:
        return self.leading()

    def stamp(self) -> int:
        return 0

    def flush(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error", [JournalFailed("disk"), ReplicaDiverged("bytes"), StateLost("state"), AssertionError()]
)
async def test_what_ends_the_replica_comes_out_of_a_link(error):
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    with trio.fail_after(5), pytest.raises(type(error)) as caught:
        await Links(FailingHost(error), 1, {7: b"key"}).serve(ours)
    assert caught.value is error


async def test_another_error_ends_its_link_only():
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    with trio.fail_after(5):
        await Links(FailingHost(KeyError("a bug of a link")), 1, {7: b"key"}).serve(ours)
        while await theirs.receive_some():
            pass  # our first words, and then the end


class _TooLate:
    """The end of a link that is found to be over while what has come on it is handled."""

    over = False

    def data_to_send(self) -> bytes:
        if self.over:
            raise LinkError("too late")
        return b""

    def next_deadline(self) -> None:
        return None

    def handle_deadline(self, now: int) -> None:
        pass


async def test_what_ends_the_replica_is_not_hidden_by_an_end_of_the_link_at_the_same_time():
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.send_all(b"x")
    link = _TooLate()

    async def received(data: bytes, now: int) -> None:
        link.over = True
        pump.wake()
        try:
            await trio.sleep_forever()
        finally:
            link.over = False
            raise ReplicaDiverged("bytes")

    pump = Pump(link, ours, received)
    with trio.fail_after(5), pytest.raises(ReplicaDiverged):
        await pump.run()
