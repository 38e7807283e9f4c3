"""What all replicas of a shard must have in common beside who they are: mode and durability. Pure.

A replica that commits by another rule, or calls safe what another does not, must not count for a majority. So each says
in its control messages how it is configured; what one of another configuration says is dropped, as if it had not come,
and told. A majority that is configured alike goes on, or elects; who hears of its primary that it is configured
otherwise ends (`SettingsDiffer`). It is the odd one, but for mode "async", in which a primary leads alone, too.
"""

from typing import Final, NamedTuple

_MODES: Final = ("quorum", "async")
_DURABILITIES: Final = ("memory", "disk")


class SettingsDiffer(Exception):
    """The shard's primary is configured with another mode or durability than this replica."""


class Settings(NamedTuple):
    """As a control message says it."""

    mode: int
    """1 quorum, 2 async; 0: not told."""
    durability: int
    """1 memory, 2 disk; 0: not told."""

    def __str__(self) -> str:
        if not (0 < self.mode <= len(_MODES) and 0 < self.durability <= len(_DURABILITIES)):
            return f"settings that this program does not know ({self.mode}, {self.durability})"
        return f"mode {_MODES[self.mode - 1]} and durability {_DURABILITIES[self.durability - 1]}"


UNTOLD: Final = Settings(0, 0)


def settings_of(mode: str, durability: str) -> Settings:
    """Of what `Member` was made with."""
    return Settings(_MODES.index(mode) + 1, _DURABILITIES.index(durability) + 1)


class OthersSettings:
    """Compares what the others say with `ours`."""

    def __init__(self, ours: Settings) -> None:
        self.ours = ours
        self._told: dict[int, Settings] = {}  # of those that differ
        self._untold: list[str] = []

    def agree(self, sender: int, theirs: Settings, *, leads: bool) -> bool:
        """Whether the sender's message may be taken. Raises SettingsDiffer when one that `leads` differs."""
        if theirs in (self.ours, UNTOLD):
            return True
        text = f"replica {sender} has {theirs}, this one {self.ours}: all of a shard must be configured alike"
        if leads:
            raise SettingsDiffer(f"{text}; it leads, so this one ends")
        if self._told.get(sender) != theirs:
            self._told[sender] = theirs
            self._untold.append(text)
        return False

    def take_untold(self) -> list[str]:
        """What is to be told, for the log; mostly nothing."""
        untold = self._untold
        if untold:
            self._untold = []
        return untold
