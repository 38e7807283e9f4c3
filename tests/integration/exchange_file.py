"""A configuration's addresses replaced by free ones, so that its exchange can run beside others on one machine."""

import re
import secrets
from pathlib import Path

from tests.venue import ROOT, free_ports

DEMO_FILE = ROOT / "conf/exchange.yaml"


def write_exchange(directory: Path) -> Path:
    """The example configuration on ports and multicast groups of its own."""
    text = DEMO_FILE.read_text()
    ports = sorted(set(re.findall(r"\d+\.\d+\.\d+\.\d+:(\d+)", text)))
    for old, new in zip(ports, free_ports(len(ports)), strict=True):
        text = re.sub(rf":{old}\b", f":{new}", text)
    file = directory / "exchange.yaml"
    file.write_text(text.replace("239.192.", f"239.{secrets.randbelow(190)}."))
    return file
