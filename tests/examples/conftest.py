"""The examples are scripts that import each other by name, as they do when started as `python examples/broker.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
