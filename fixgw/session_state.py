"""Where a session can be, and how it gets from one state to another: the whole law, as one table.

The names follow FIX 4.4 Volume 2. `Session` changes its state by `TRANSITIONS` alone; a trigger that the table does
not have for a state is a bug of ours, not something a peer can bring about.
"""

from enum import Enum
from typing import Final


class State(Enum):
    """Where a session is with its peer."""

    DISCONNECTED = "no connection"
    ACTIVE = "logged on, all is in order"
    AWAITING_RESEND = "logged on, a gap in the peer's numbers is being filled"
    AWAITING_TEST_RESPONSE = "logged on, the peer is silent and has been sent a TestRequest"
    LOGOUT_SENT = "our Logout is out; nothing new is sent"


#: States in which new messages go to the peer.
LIVE: Final = (State.ACTIVE, State.AWAITING_RESEND, State.AWAITING_TEST_RESPONSE)


class Trigger(Enum):
    """What makes a session change state."""

    LOGON_ACCEPTED = "Logon accepted"
    GAP_FOUND = "MsgSeqNum too high"
    GAP_FILLED = "everything missed has come"
    PEER_SILENT = "1.2 × HeartBtInt without a message"
    PEER_HEARD = "any message"
    LOGOUT = "Logout sent"
    CONNECTION_LOST = "the connection is gone"


_ENDS: Final = {Trigger.LOGOUT: State.LOGOUT_SENT, Trigger.CONNECTION_LOST: State.DISCONNECTED}

#: The whole law of states. A missing entry is a bug of ours.
TRANSITIONS: Final[dict[State, dict[Trigger, State]]] = {
    State.DISCONNECTED: {
        Trigger.LOGON_ACCEPTED: State.ACTIVE,
        Trigger.CONNECTION_LOST: State.DISCONNECTED,  # after a refused Logon
    },
    State.ACTIVE: {
        Trigger.GAP_FOUND: State.AWAITING_RESEND,
        Trigger.PEER_SILENT: State.AWAITING_TEST_RESPONSE,
        **_ENDS,
    },
    State.AWAITING_RESEND: {
        Trigger.GAP_FILLED: State.ACTIVE,
        Trigger.PEER_SILENT: State.AWAITING_TEST_RESPONSE,
        **_ENDS,
    },
    State.AWAITING_TEST_RESPONSE: {
        Trigger.PEER_HEARD: State.ACTIVE,
        Trigger.GAP_FOUND: State.AWAITING_RESEND,  # the gap that was open before the silence
        **_ENDS,
    },
    State.LOGOUT_SENT: {Trigger.LOGOUT: State.LOGOUT_SENT, Trigger.CONNECTION_LOST: State.DISCONNECTED},
}
