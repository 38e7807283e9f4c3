"""The version of what processes say to each other, and who speaks another one.

One number for all of it: packets and requests, control messages, links, the service. Whatever changes the bytes or the
meaning of any of them raises it. Nothing is translated, and nobody votes, serves or trades with another version: what
it says is dropped as if it were garbled, but told, or the operator would see no more than silence.
"""

from typing import Final

from recovery.record import StreamError

VERSION: Final = 2

MAX_TOLD: Final = 64
"""Speakers of other versions that are told of: more than a venue has hosts and replicas that one process hears."""


def speaks_other(who: str, version: int, what: str) -> str:
    """What is said of `who`, to be read by an operator."""
    return (
        f"{who} speaks version {version} of {what}, this program version {VERSION}: "
        "all processes of a venue must be of one version"
    )


class OtherVersion(StreamError):
    """A datagram whose checksum is right, of another version of the protocol."""

    def __init__(self, version: int, what: str, who: str = "a process") -> None:
        super().__init__(speaks_other(who, version, what))
        self.version = version
        self.what = what
        self.who = who


class OtherVersions:
    """Those that were heard, each to be told once: one process of another version says many packets a second.

    Who does not say who it is, is told apart by its version and, where that is known, its host.
    """

    def __init__(self) -> None:
        self.heard: set[str] = set()
        self.untold: list[str] = []

    def hear(self, other: OtherVersion, host: str = "") -> None:
        who = f"{other.who} on {host}" if host else other.who
        text = speaks_other(who, other.version, other.what)
        if text not in self.heard and len(self.heard) < MAX_TOLD:
            self.heard.add(text)
            self.untold.append(text)

    def take_untold(self) -> list[str]:
        """What is to be told, for the log; mostly nothing."""
        untold = self.untold
        if untold:
            self.untold = []
        return untold
