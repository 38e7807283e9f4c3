"""Half a transaction is on the wire when the primary dies: its successor says the rest as the dead one would have."""

import pytest

from recovery import packet
from recovery.packet import parse_packet
from recovery.record import END, PACKET_HEADER_BYTES, split
from recovery.replica import Role
from tests.simulation.schedule import Mail, Trio


def messages_in(mail: list[Mail], epoch: int) -> dict[int, bytes]:
    """By seq: the messages of the stream's packets of this epoch."""
    found: dict[int, bytes] = {}
    for each in mail:
        if each.control is None:
            _, packet_epoch, _, count, first_seq, _ = parse_packet(each.data)
            if packet_epoch == epoch and count:
                found |= dict(enumerate(split(each.data, PACKET_HEADER_BYTES), first_seq))
    return found


def only_first(mail: Mail) -> Mail:
    """The packet as if the primary had died after its first message: cut there, and whole as a packet."""
    shard_id, epoch, flags, _, first_seq, commit_seq = parse_packet(mail.data)
    first = split(mail.data, PACKET_HEADER_BYTES)[:1]
    (data,) = packet.pack_messages(shard_id, epoch, flags, first_seq, commit_seq, first)
    return mail._replace(data=data)


@pytest.mark.parametrize("heir", [2, 3])
def test_the_rest_of_a_transaction_is_the_same_bytes_from_its_successor(heir):
    trio = Trio()
    assert trio.lead(1, 2, 3)
    trio.beat(1)
    trio.write(1, b"first")
    trio.deliver(trio.among(1, 2, 3))
    trio.beat(1)
    trio.deliver(trio.among(1, 2, 3))
    tx = trio.write(1, b"the last words of the old primary")
    said = messages_in(trio.mail, epoch=1)
    assert len(said) >= 2
    assert said[max(said)][3] & END
    heard = [mail for mail in trio.mail if mail.target == heir and messages_in([mail], epoch=1)]
    trio.mail = [only_first(heard[0])]
    trio.deliver(lambda mail: mail.target == heir)
    trio.mail.clear()  # nobody else heard anything, and 1 is dead
    other = 5 - heir
    assert trio.lead(heir, other)
    successor = trio.replicas[heir]
    assert successor.role is Role.PRIMARY
    assert successor.last_tx == tx
    trio.beat(heir)
    again = messages_in(trio.mail, epoch=2)
    assert {seq: again[seq] for seq in said} == said
    trio.deliver(trio.among(heir, other))
    assert successor.commit_tx == tx
    trio.check()
