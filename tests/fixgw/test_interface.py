"""One file, many hosts: each finds its own address on the network of the streams."""

from pathlib import Path

import pytest

from fixgw.config import Config, load
from fixgw.interface import interface_of

EXAMPLE = Path(__file__).resolve().parents[2] / "conf" / "exchange.yaml"


def on(interface: str) -> Config:
    loaded = load(EXAMPLE)
    return loaded.model_copy(update={"venue": loaded.venue.model_copy(update={"interface": interface})})


def test_an_address_is_taken_as_it_stands() -> None:
    assert interface_of(on("192.0.2.7")) == "192.0.2.7"


def test_of_a_network_it_is_this_hosts_address_there() -> None:
    assert interface_of(on("127.0.0.0/8")) == "127.0.0.1"
    with pytest.raises(OSError, match=r"venue.interface: this host has no address in 192.0.2.128/30"):
        interface_of(on("192.0.2.128/30"))
