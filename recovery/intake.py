"""What a link has brought goes to the primary, in turn: the inner loop of `recovery.links`, without a wait in it."""

from collections.abc import Callable, Sequence

from recovery.frames import LinkError
from recovery.link import Command, Login
from recovery.primary import Primary
from recovery.sources import TAKE, Verdict


def submit_some(
    primary: Primary, login: Login, events: Sequence[Login | Command], first: int, end: int, stamp: Callable[[], int]
) -> int:
    """Submit the commands among `events` from `first` on: up to `end`, a login, or what the primary does not take now.

    Gives where it stopped. Raises LinkError when this source may not go on from there.
    """
    source_id, incarnation = login
    for index in range(first, min(end, len(events))):
        command = events[index]
        if not (primary.ready and isinstance(command, Command)):
            return index
        source_seq, session_id, session_seq, kind, body = command
        now = stamp()
        verdict = primary.submit(source_id, incarnation, source_seq, session_id, session_seq, kind, body, now)
        if verdict is TAKE:
            continue
        if verdict is Verdict.GAP:
            last = primary.sources.last_source_seq(source_id)
            raise LinkError(f"command {source_seq}, but {last + 1} is next")
        if verdict is Verdict.FENCED or verdict is Verdict.UNOPENED:
            raise LinkError(f"incarnation {incarnation} is over")
    return min(end, len(events))
