"""Numbered streams that survive: records, packets, gaps, journal, links, and the primary that makes a stream.

`README.md` is the protocol. To read the code, in this order; cores first, each a function of bytes and `now`:

    checksum, record                    CRC-32C; messages, transactions, the chained digest
    versions                            what another version says is told, and dropped
    packet                              datagrams, heartbeats, requests
    outbox, reader, gaps, past          writing a stream; reading one; asking for the missing; where one stood
    stall                               waiting in vain, as the operator is told
    store, retransmitter                keeping messages; answering for them
    sources, clock                      at most once; stamps
    command_log, execution              the log of commands; what a shard becomes by it
    primary                             commands in, transactions out
    replica                             the theory of replication: roles, leading, what the host owes
    member, election, follower          what roles share; changing the primary; following one
    view_change, quorum                 one attempt at a change; majorities
    tail                                mode async: what servers have beyond a candidate's log
    stable, history, heard              what must not be forgotten; logs compared; commands off the stream
    control, settings                   what replicas say to each other; what they are configured with
    snapshot, replayed_log              the shard at one transaction; a journal read back beside it
    state_digests                       states compared
    frames, link, intake                the command link, both ends; what it brings, submitted
    service_frames, service, query      what a replica may be asked; a quorum read
    operated                            what came of an operator's command
    segment                             the journal's format, and the rule about damage

and the shells around them:

    journal, journal_reader, disk_thread  the files; who waits for the disk
    journal_store, snapshot_files       a stream's messages in them; snapshots
    multicast, socket_filter, alarm     sockets; what of a stream is worth waking a replica for; timers
    coordinator                         whose an epoch is: the interface, and a locked file
    zookeeper, zookeeper_client         the same in a ZooKeeper ensemble; the connection to it
    stream, catch_up                    a reader on sockets; long ranges over TCP
    pump, links                         a link on a connection; all links of a shard
    served, service_host                a replica as its askers see it; the service on a listener
    service_client                      asking it
    operating                           having it do a command of the operator's
    forked, snapshots                   work on a picture of the process; snapshots taken, fetched, kept
    node, retransmission_server         the two kinds of process

This package imports nothing else of the exchange: to it, commands and events are kinds and bytes.
"""
