"""Numbered streams that survive: records, packets, gaps, journal, links, and the primary that makes a stream.

`README.md` is the protocol. To read the code, in this order; cores first, each a function of bytes and `now`:

    record                  messages, transactions, the chained digest
    packet                  datagrams, heartbeats, requests
    outbox, reader, gaps    writing a stream; reading one
    store, retransmitter    keeping messages; answering for them
    sources, clock          at most once; stamps
    command_log, execution  the log of commands; what a shard becomes by it
    primary                 commands in, transactions out
    replica                 the theory of replication: roles, acknowledging, following, leading
    member, election        what roles share; changing the primary
    view_change, quorum     one attempt at that; majorities
    stable, history, heard  what must not be forgotten; logs compared; commands off the stream
    control                 what replicas say to each other
    frames, link            the command link, both ends
    segment                 the journal's format, and the rule about damage

and the shells around them:

    journal, journal_reader, journal_store      the files
    multicast, alarm                            sockets and timers
    coordinator                                 whose an epoch is: the interface, and a locked file
    zookeeper, zookeeper_client                 the same in a ZooKeeper ensemble; the connection to it
    stream, pump                                a reader on sockets; a link on a connection
    node, retransmission_server                 the two kinds of process

This package imports nothing else of the exchange: to it, commands and events are kinds and bytes.
"""
