"""Numbered streams that survive: records, packets, gaps, journal, links, and the primary that makes a stream.

`README.md` is the protocol. To read the code, in this order; cores first, each a function of bytes and `now`:

    record                  messages, transactions, the chained digest
    packet                  datagrams, heartbeats, requests
    outbox, reader, gaps    writing a stream; reading one
    store, retransmitter    keeping messages; answering for them
    sources, clock          at most once; stamps
    primary                 commands in, transactions out
    frames, link            the command link, both ends
    segment                 the journal's format, and the rule about damage

and the shells around them:

    journal, journal_reader, journal_store      the files
    multicast, alarm                            sockets and timers
    stream, pump                                a reader on sockets; a link on a connection
    node, retransmission_server                 the two kinds of process

This package imports nothing else of the exchange: to it, commands and events are kinds and bytes.
"""
