"""Of a shard's stream, what is worth waking a replica for: a filter in the kernel, on the socket that hears it.

An order is several datagrams on the stream, and each wakes all who hear it. Two kinds are of no use to a replica:

- its own words, which multicast brings back to a primary;
- a packet that only advances the commit. Readers release by it; a backup applies by the next packet or heartbeat.

With both gone a replica is woken once for an order, and so do the others on its machine get the processor sooner. It is
a classic BPF program (Linux, `SO_ATTACH_FILTER` in socket(7)), which needs no privilege. Where there is none a replica
hears all, and does what it does here: nothing depends on the filter.
"""

import ctypes
import socket
import sys
from contextlib import suppress
from struct import Struct
from typing import Final

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; not among Python's names
_INSTRUCTION: Final = Struct("=HBBI")  # struct sock_filter: code, jt, jf, k
_PROGRAM: Final = Struct("HP")  # struct sock_fprog: instructions, and where they stand

# linux/filter.h; a jump goes over so many instructions as jt says if the comparison holds, else as jf says.
_LOAD_U32: Final = 0x20
_LOAD_U16: Final = 0x28
_LOAD_U8: Final = 0x30
_JUMP_IF_EQUAL: Final = 0x15
_RETURN: Final = 0x06
_WHOLE: Final = 0xFFFFFFFF
_NOTHING: Final = 0

# The program sees a datagram from its UDP header on, 8 bytes; the packet's fields are `recovery.packet`'s.
_FLAGS_AT: Final = 8 + 3
_COUNT_AT: Final = 8 + 6
_EPOCH_AT: Final = 8 + 8


def hear_what_matters(receiver: socket.socket, own_epoch: int = 0) -> None:
    """Let a stream's receiver be woken by neither bare commits nor packets of `own_epoch` (0: it has none).

    A later call takes the place of an earlier one. What was received before stays.
    """
    if sys.platform != "linux":
        return
    program = b"".join(
        _INSTRUCTION.pack(*instruction)
        for instruction in (
            (_LOAD_U32, 0, 0, _EPOCH_AT),
            (_JUMP_IF_EQUAL, 5, 0, own_epoch),
            (_LOAD_U16, 0, 0, _COUNT_AT),
            (_JUMP_IF_EQUAL, 0, 2, 0),
            (_LOAD_U8, 0, 0, _FLAGS_AT),
            (_JUMP_IF_EQUAL, 1, 0, 0),
            (_RETURN, 0, 0, _WHOLE),
            (_RETURN, 0, 0, _NOTHING),
        )
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    attached = _PROGRAM.pack(len(program) // _INSTRUCTION.size, ctypes.addressof(instructions))
    with suppress(OSError):  # a kernel, or a sandbox, without it
        receiver.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, attached)
