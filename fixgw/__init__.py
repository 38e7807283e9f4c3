"""The exchange's face: the FIX gateway, the configuration and the command line.

Reading order: `config` (what an exchange is made of), `codec` (bytes to FIX messages and back), `session` (logon,
sequence numbers, resend), `translate` (FIX to the exchange's language and back), `gateway` (all of it as a process).
"""

__version__ = "0.1.0"
