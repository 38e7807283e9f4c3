"""What a figure says of the program that was measured."""

import sysconfig

import pytest

from recovery import packet
from tests.bench import figures


@pytest.mark.parametrize(
    ("file", "config_args", "told"),
    [
        ("/fixgw/recovery/packet.py", "'--enable-optimizations' '--with-lto'", ", interpreted"),
        ("/fixgw/recovery/packet.py", "'--with-lto'", " built without --enable-optimizations, interpreted"),
        ("/fixgw/recovery/packet.cpython-311-x86_64-linux-gnu.so", "'--enable-optimizations'", ", compiled modules"),
    ],
)
def test_the_conditions_say_what_ran(monkeypatch: pytest.MonkeyPatch, file: str, config_args: str, told: str) -> None:
    monkeypatch.setattr(packet, "__file__", file)
    monkeypatch.setattr(sysconfig, "get_config_var", {"CONFIG_ARGS": config_args}.get)
    assert figures.program().endswith(told)
    assert figures.program().startswith("CPython 3.")
    assert figures.program() in figures.machine()
