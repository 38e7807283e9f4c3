"""A broker that is told of forks: what News(35=B) names is void, and is taken out of the account.

As strict as `fix_broker.Broker`, whose account of the rest must come out as if the void reports had never come: what a
report said that stays must follow from those that stay.

* News names only reports that this broker holds, each with its ClOrdID(11), each once, and the latest first: the
  account comes out after each News, also if several of them tell of one fork;
* a request whose answer is void may stay without one, or be answered once more: by what is history after all.
"""

import re
from dataclasses import dataclass, field

from tests.integration.fix_broker import Broker, Fields, _content

NEWS = b"B"
_LINE = re.compile(rb"ExecID\(17\) (\S+) of ClOrdID\(11\) (\S+) is void")


@dataclass
class ForkBroker(Broker):
    #: ExecID(17) of what is void.
    void: set[bytes] = field(default_factory=set)
    #: MsgSeqNum(34) of each News.
    news: list[int] = field(default_factory=list)
    #: Requests whose answer was void.
    lost: set[bytes] = field(default_factory=set)

    def _act(self, message: Fields, number: int) -> None:
        if message[35] != NEWS:
            super()._act(message, number)
            return
        reports = {each[17]: each for each in self.told.values() if each[35] == b"8"}
        self.told[number] = _content(message)
        self.news.append(number)
        lines = message[58].split(b"\x01")
        assert int(message[33]) == len(lines), message
        for line in lines:
            named = _LINE.fullmatch(line)
            assert named is not None, message
            exec_id, cl_ord_id = named.groups()
            assert reports[exec_id][11] == cl_ord_id, f"{self.sender} holds {reports[exec_id]}: {line!r}"
            assert exec_id not in self.void, f"{self.sender} was told twice: {line!r}"
            self.void.add(exec_id)
        self._account_again()

    def _account_again(self) -> None:
        """The account, made of what is left."""
        answered = set(self.answers)
        for account in (self.answers, self.refusals, self.open, self.traded, self.exec_ids):
            account.clear()
        for number in sorted(self.told):
            message = self.told[number]
            if message[35] != NEWS and message.get(17) not in self.void:
                super()._act(message, number)
        self.exec_ids |= self.void  # none of them comes again
        self.lost |= answered - set(self.answers)

    def check_answers(self) -> None:
        """Every request has its answer, and only one; but it may have been void."""
        assert not self.unanswered, f"{self.sender} has no answer to {sorted(self.unanswered)}"
        for cl_ord_id in self.requests:
            assert self.answers[cl_ord_id] == 1 or (self.answers[cl_ord_id] == 0 and cl_ord_id in self.lost), cl_ord_id

    async def hear_again(self, number: int) -> None:
        """Ask for one message once more; that it says the same is checked as it is read."""
        before = self.repeated
        self._say(b"2", b"7=%d\x0116=%d\x01" % (number, number))
        await self.wait_until(lambda: self.repeated > before, f"message {number} once more")
