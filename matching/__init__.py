"""The exchange's language and its deterministic matching engine.

Reading order: `messages` (commands in, events out), `engine` (what a command means), `book` (price-time priority),
`wire` (the same messages as bytes), `shard` (the engine as a state machine over bytes), `host` (a shard as a process).
"""
