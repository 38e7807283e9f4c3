"""What runs where, and what to type next: told when an exchange is up."""

from fixgw.config import Config


def table(config: Config) -> str:
    """What runs where, and what to type next."""
    rows = [("what", "where", "speaks")]
    rows += [
        (f"gateway {each.name}", str(each.fix), "FIX.4.2, FIX.4.4: brokers connect here") for each in config.gateways
    ]
    for shard in config.shards:
        symbols = ", ".join(each.symbol for each in config.instruments_of(shard.name))
        rows.append((f"shard {shard.name}", str(shard.stream[0]), f"the stream of {symbols}"))
    rows += [
        (f"retransmitter {each.name}", str(each.address), "what was missed of the streams")
        for each in config.retransmitters
    ]
    rows += [
        (f"ledger {each.name}", str(config.directory("ledger", each.name)), "SQLite: fixgw ledger reads it")
        for each in config.ledgers
    ]
    for channel in config.feed.channels:
        for line, address in sorted(channel.lines.items()):
            rows.append((f"feed {channel.shard} line {line}", str(address), "ITCH 5.0 in MoldUDP64"))
    for publisher in config.feed.publishers:
        for shard_name, address in publisher.requests.items():
            rows.append((f"requests {publisher.name} {shard_name}", str(address), "MoldUDP64 requests"))
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    lines = [f"{what:{widths[0]}}  {where:{widths[1]}}  {speaks}" for what, where, speaks in rows]
    lines.insert(1, "-" * max(map(len, lines)))
    return "\n".join(lines)


def next_steps(config: Config) -> str:
    """What to type next, in another terminal, where `up` runs."""
    steps = []
    for session in config.sessions[:1]:
        gateway = config.gateway(session.gateway)
        symbol = config.instruments[0].symbol if config.instruments else "SYMBOL"
        steps.append(
            f"trade:   FIXGW_PASSWORD=… .venv/bin/python examples/broker.py --host {gateway.fix.host} "
            f"--port {gateway.fix.port} --target {config.venue.comp_id} \\\n           "
            f"--sender {session.sender_comp_id} --username {session.username} "
            f"--version {session.begin_string} --symbol {symbol} --orders 100"
        )
    for channel in config.feed.channels[:1]:
        line = channel.lines[min(channel.lines)]
        steps.append(f"look at: tshark -i lo -f 'udp port {line.port}' -d udp.port=={line.port},moldudp64")
    return "\n".join(["In another terminal (Ctrl-C here ends the exchange):", *(f"  {step}" for step in steps)])
