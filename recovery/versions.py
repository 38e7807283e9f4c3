"""The version of what processes say to each other, and who speaks another one.

One number for all of it: packets and requests, control messages, links, the service. Whatever changes the bytes or the
meaning of any of them raises it. Nothing is translated, and nobody votes, serves or trades with another version: what
it says is dropped as if it were garbled, but told, or the operator would see no more than silence.
"""

from typing import Final

from recovery.record import StreamError

VERSION: Final = 2


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


class OtherVersions:
    """Those that were heard, each to be told once: one process of another version says many packets a second."""

    def __init__(self) -> None:
        self.heard: set[int] = set()
        self.untold: list[str] = []

    def hear(self, other: OtherVersion) -> None:
        if other.version not in self.heard:
            self.heard.add(other.version)
            self.untold.append(str(other))

    def take_untold(self) -> list[str]:
        """What is to be told, for the log; mostly nothing."""
        untold = self.untold
        if untold:
            self.untold = []
        return untold
