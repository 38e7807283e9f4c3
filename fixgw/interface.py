"""This host's address on the network that carries the streams: what one file cannot say for all hosts."""

import ipaddress
import socket

from fixgw.config import Config


def interface_of(config: Config) -> str:
    """`venue.interface` as an address of this host. Raises OSError when it has none on that network."""
    interface = config.venue.interface
    if "/" not in interface:
        return interface
    network = ipaddress.IPv4Network(interface)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # nothing is sent: the kernel picks a route
        probe.connect((str(network[1]), 9))
        address = str(probe.getsockname()[0])
    if ipaddress.IPv4Address(address) not in network:
        raise OSError(f"venue.interface: this host has no address in {interface}; it would be {address}")
    return address
