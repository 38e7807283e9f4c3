"""Whole clusters in one thread, from a seed: the real cores on a made-up network, clock, disk and coordinator.

    world.py      virtual time, chance, the network          faults.py    what goes wrong, drawn from the seed
    cluster.py    what a run is made of                      witness.py   what must hold while it runs
    hosts.py      a replica's process                        verdict.py   what must hold in the end
    disk.py       its journal and snapshots                  linear.py    could one machine have answered so?
    snapshots.py  taking, fetching, pruning                  accounts.py  the simulated exchange's books
    service.py    quorum reads, both ends                    workload.py, tape.py   what the shard computes
    gateway.py, server.py, coordinator.py                    mutants.py   the protocol broken on purpose
    runs.py, __main__.py   seeds, one or many                schedule.py  replicas driven by hand

Which invariant is asserted where (async: only I3, I4, I5, I6, I9; a released tail may be lost there, and is told):

| | | |
|---|---|---|
| I1 | committed prefixes agree, epochs of entries too | verdict: logs of all replicas, stream against what was released |
| I2 | nothing acknowledged is lost | witness: on a majority of disks when first released; verdict: stream, gateways |
| I3 | each command once | verdict: `_judge_commands` |
| I4 | in its source's order | verdict: `_judge_commands` |
| I5 | equal bytes and states, made again and from snapshots too | verdict: `_Again`, `_judge_replicas`; the cores' chain |
| I6 | one primary an epoch; promise, completion and commit never go back | witness: `observe` |
| I7 | acknowledged before forwarded is before in the log | witness: `acknowledged`; verdict: `linear.py` |
| I8 | reads: committed, and not older than what had ended | verdict: `judge_reads`, `linear.py` |
| I9 | healed, all is answered and equal within 12 s | `Cluster.settled` |
| I10 | nothing above the commit is released | witness: `released` |
| I11 | readers see each number once, whole transactions, without holes | witness: `released` |
| I12 | nothing of a deposed primary is taken by who has heard a later one | witness: `check_stale`; what left is counted |
| I13 | shares and cash have two sides | accounts.py, in the runs with the real exchange (one in ten) |
| I14 | retransmitted is the original, and committed | witness: `check_retransmitted` |

Not simulated: a record of the journal half written (the real journal cuts it, so here it is not there), a flipped bit
in a journal, more than a minority of replicas that forget at a time, a source that never comes back.
"""
