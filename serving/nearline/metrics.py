"""What the updates count, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """Counters of one process; a registry of its own keeps tests and servers apart."""

    def __init__(self) -> None:
        own = self.registry = CollectorRegistry()
        self.messages = Counter("intent_nearline_messages", "Messages read", registry=own)
        self.dead = Counter(
            "intent_nearline_dead_letters",
            "Messages that no update can be made from",
            ["reason"],
            registry=own,
        )
        self.late = Counter(
            "intent_nearline_late_actions",
            "Actions that came after their place was encoded, or twice",
            registry=own,
        )
        self.lost = Counter(
            "intent_nearline_lost_messages",
            "Messages the topic no longer held when we came to them",
            registry=own,
        )
        self.sessions = Counter("intent_nearline_sessions", "Sessions closed", registry=own)
        self.encoded = Counter("intent_nearline_chunks", "Chunks encoded", registry=own)
        self.written = Counter(
            "intent_nearline_records",
            "Records by what became of them in the store",
            ["result"],
            registry=own,
        )
        self.failures = Counter(
            "intent_nearline_failures", "Attempts that are repeated", ["of"], registry=own
        )
        self.seconds = Histogram(
            "intent_nearline_batch_seconds", "Time that a batch took", registry=own
        )
        self.open = Gauge(
            "intent_nearline_open_members", "Members with a session under way", registry=own
        )
        self.lag = Gauge(
            "intent_nearline_lag_messages",
            "Messages in the topic not yet read",
            ["partition"],
            registry=own,
        )
        self.behind = Gauge(
            "intent_nearline_behind_seconds",
            "Age of the last message read while more are waiting, else 0",
            ["partition"],
            registry=own,
        )
