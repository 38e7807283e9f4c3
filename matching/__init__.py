"""The exchange's language and its deterministic matching engine.

Reading order: `commands` in, `events` out with their `codes`, `order` and `book` (price-time priority), `state` (all
that is remembered), `trade` (the match), `entry`, `amend`, `day`, `renewal`, `sessions`, `mass_cancel` and `bust` (what each
command means), `engine` (one function from a command to its events), `queries` and `answers` (what may be asked), `snapshot` (all of it as
bytes), `wire` (the messages as bytes), `shard` (the engine as a state machine over bytes).
"""
