"""A quiet client: so many persistent messages a second, each with its receipt, to a queue that it consumes itself.
    quiet.py PORT SECONDS RATE QUEUE      one line of JSON: milliseconds from send to receipt and to delivery, and what was refused
"""
import json
import sys
import threading
import time

from openwire import DISPATCH, Connection, Message, Refused, acknowledgement, content, message


def take(connection, name, arrivals):
    """Notes when each message came, until the connection is closed."""
    unanswered = []
    try:
        while True:
            data = connection.frame(60)
            if data[0] != DISPATCH:
                continue
            got = Message(data)
            arrivals[got.sequence] = time.perf_counter()
            unanswered.append(got.identity)
            if len(unanswered) >= 20:
                connection.send(acknowledgement(connection.command(), connection.id, name, unanswered[0], unanswered[-1], len(unanswered)))
                unanswered.clear()
    except (OSError, EOFError):
        pass


def figures(values):
    """Of milliseconds."""
    values = sorted(values)
    at = lambda share: round(values[min(len(values) - 1, int(len(values) * share))], 2)  # noqa: E731
    return {"p50": at(0.5), "p99": at(0.99), "max": at(1)}


def main(port, seconds, rate, name):
    consumer, sender = Connection(port), Connection(port)
    consumer.consume(name)
    sender.produce(name)
    arrivals, sent, receipts, refused = {}, {}, {}, []
    thread = threading.Thread(target=take, args=(consumer, name, arrivals), daemon=True)
    thread.start()
    begin = time.perf_counter()
    for number in range(1, int(seconds * rate) + 1):
        # A message's time begins when it is due: who waited for the one before it waited as well.
        due = begin + number / rate
        time.sleep(max(0, due - time.perf_counter()))
        sent[number] = due
        try:
            sender.put(name, number, content(number, 200), timeout=60)
            receipts[number] = time.perf_counter()
        except Refused as refusal:
            refused.append(str(refusal))
    end = time.time() + 20
    while len(arrivals) < len(receipts) and time.time() < end:
        time.sleep(0.05)
    consumer.close()
    print(json.dumps({
        "sent": len(sent), "refused": refused, "missing": len(receipts) - len(arrivals),
        "receipt": figures([(receipts[number] - sent[number]) * 1000 for number in receipts]),
        "delivery": figures([(arrivals[number] - sent[number]) * 1000 for number in arrivals]),
    }))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), sys.argv[4])
