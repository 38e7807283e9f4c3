"""The venue's end of a FIX session, written out line by line by a test: what is expected, what is answered.

Messages are `35=D|11=a` lines without header and trailer. `expect` reads the next message of the broker and checks its
fields; `send` numbers and sends one. Streams are trio's memory streams: nothing here takes time.
"""

import simplefix
import trio

SENDING_TIME = "20261121-12:00:00.000"


def fields(line):
    return [(int(tag), value) for tag, _, value in (field.partition("=") for field in line.split("|"))]


class ScriptedVenue:
    def __init__(self, stream, *, next_out=1, begin_string="FIX.4.4"):
        self._stream = stream
        self._parser = simplefix.FixParser()
        self._begin_string = begin_string
        self.next_out = next_out

    async def send(self, line, *, number=None):
        """Send a message under the next number, or under another one."""
        message = simplefix.FixMessage()
        pairs = fields(line)
        assert pairs[0][0] == 35
        header = [(8, self._begin_string), pairs[0], (34, self.next_out if number is None else number)]
        for tag, value in [*header, (49, "VENUE"), (52, SENDING_TIME), (56, "BROKER"), *pairs[1:]]:
            message.append_pair(tag, value)
        if number is None:
            self.next_out += 1
        await self._stream.send_all(message.encode())

    async def send_raw(self, data):
        await self._stream.send_all(data)

    async def receive(self):
        """The next message as a dict, tag to text."""
        with trio.fail_after(60):
            while (message := self._parser.get_message()) is None:
                data = await self._stream.receive_some(65536)
                assert data, "the broker closed the connection"
                self._parser.append_buffer(bytes(data))
        return {int(tag): value.decode() for tag, value in message.pairs}

    async def expect(self, line):
        """The next message, which must have these fields (and may have others)."""
        message = await self.receive()
        wanted = dict(fields(line))
        assert {tag: message.get(tag) for tag in wanted} == wanted, message
        return message

    async def expect_closed(self):
        with trio.fail_after(60):
            assert await self._stream.receive_some(65536) == b""

    async def log_on(self):
        await self.expect("35=A|34=1|98=0|108=10|141=Y|553=user|554=secret")
        await self.send("35=A|98=0|108=10|141=Y")

    async def log_out(self):
        await self.expect("35=5")
        await self.send("35=5")
