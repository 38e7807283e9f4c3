"""What is told when an exchange is up."""

from pathlib import Path

from fixgw.config import load
from fixgw.overview import next_steps

ROOT = Path(__file__).resolve().parents[2]


def test_what_to_type_next_names_the_address_where_the_gateway_is() -> None:
    steps = next_steps(load(ROOT / "conf" / "cluster.yaml"))
    assert "examples/broker.py --host 127.0.1.1 --port 9001 --target FIXGW" in steps
    assert "--sender AMBER1 --username amber1 --version FIX.4.4 --symbol ALFA" in steps
