"""What a figure says of the program that was measured."""

import sys

import pytest

from recovery import packet
from tests.bench import figures


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("/fixgw/recovery/packet.py", " of /opt/python, interpreted"),
        ("/fixgw/recovery/packet.cpython-311-x86_64-linux-gnu.so", " of /opt/python, compiled modules"),
    ],
)
def test_the_conditions_say_what_ran(monkeypatch: pytest.MonkeyPatch, file: str, told: str) -> None:
    monkeypatch.setattr(packet, "__file__", file)
    monkeypatch.setattr(sys, "base_prefix", "/opt/python")
    assert figures.program().endswith(told)
    assert figures.program().startswith("CPython 3.")
    assert figures.program() in figures.machine()
