"""The exchange's language and its deterministic matching engine.

Reading order: `commands` in, `events` out with their `codes`, `order` and `book` (price-time priority), `instruments`,
`state` and `outcomes` (all that is remembered); `trade` and `incoming` (the match); `entry`, `conditions`, `admission`,
`amend`, `stops`, `pegs` and `selfmatch` (what orders do); `phases`, `advance`, `auction` and `uncross`, `protection`
and `circuit` (what the market does); `day`, `renewal`, `expiry`, `sessions`, `mass_cancel` and `bust` (what operators
do); `engine` (one function from a command to its events), `queries` and `answers` (what may be asked), `snapshot` (all
of it as bytes), `wire` (the messages as bytes), `shard` (the engine as a state machine over bytes); `ledger` (what a
participant was told, as rows).
"""
