"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), the one checksum of everything in this package.

One polynomial for messages, packets, journal records and the chained digest, so that a reader of a hex dump needs one
tool. The library is untyped; this module is the only place that imports it, and gives its two functions their types.
Both take `bytes` only: the C code refuses memoryview and bytearray.
"""

from collections.abc import Callable
from typing import Final

import google_crc32c

crc32c: Final[Callable[[bytes], int]] = google_crc32c.value
"""crc32c(data) → the checksum as an unsigned 32-bit integer."""

crc32c_extend: Final[Callable[[int, bytes], int]] = google_crc32c.extend
"""crc32c_extend(crc, data) → the checksum of what gave `crc`, followed by `data`."""
