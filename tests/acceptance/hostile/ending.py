"""The end of a process that clients keep waiting."""
import subprocess
import time

from broker import Broker, Folder, Injected, check
from openwire import Connection, session_info

FAILURE = 1
"""Exit code of what is unforeseen."""


def failed_driver(size):
    """A thread's network driver fails while clients of the others do not read what they are owed: the process ends all the same."""
    large = b"x" * (30 << 20)
    with Folder() as folder:
        broker = Broker(folder, arguments=["--io", "epoll", "--cores", "2"])
        broker.must_start()
        idle, sender = [], Connection(broker.port)
        for number in range(4):
            name = f"LARGE.{number}"
            one = Connection(broker.port, receive_buffer=4096)
            one.consume(name, 10)
            sender.produce(name, producer=number + 1)
            sender.put(name, 1, large, persistent=0, producer=number + 1)
            idle.append(one)
        begin = time.time()
        with Injected(broker, "epoll_wait", "error=EBADF", thread="shard-1"):
            for one in idle:
                try:
                    # Who sleeps wakes up.
                    one.send(session_info(9, one.id, 3))
                except OSError:
                    pass
            try:
                code = broker.process.wait(30)
            except subprocess.TimeoutExpired:
                check(False, f"it does not end; log: {broker.complaints()[-3:]}")
        print(f"    exit {code} after {time.time() - begin:.0f} s")
        check(code == FAILURE, f"ends with {code}: {broker.text()[-400:]}")
        check("did not take their answers" in broker.text(), f"nobody was waited for: {broker.text()[-600:]}")
