"""A feed as small as can be, written row by row."""

import pyarrow as pa
import pyarrow.parquet as pq

from components.activity.schema import SESSION_SCHEMA

MINUTE = 60_000_000
HOUR = 60 * MINUTE

POSTINGS = [
    ("j1", "Acme Inc", "Senior Nurse", "health", "Boston", ["epic", "triage"]),
    ("j2", "Acme Inc", "Nurse", "health", "Denver", ["epic"]),
    ("j3", "Bolt", "Welder II", "metal", "Boston", []),
]
PROFILES = [("ann", "boston", "nurse", 7), ("bob", None, None, None)]
# Every session lies a day after the one before; a page is shown at its start.
DAY = 24 * HOUR


# Pages: the query, and what became of the postings from the top.
NURSE = ("nurse", {"j1": "APPLY", "j2": "", "j3": ""})
WELDER = ("welder boston", {"j3": "VIEW", "j1": "DISMISS"})
SUGGESTED = (None, {"j2": "SAVE", "j3": ""})


def page(member, day, query, **outcomes):
    """What a member was shown on a day, from the top, and what became of it."""
    return {
        "member_id": member,
        "ts": day * DAY,
        "channel": "search" if query else "recommendation",
        "query": query,
        "item_ids": list(outcomes),
        "outcomes": list(outcomes.values()),
    }


class Feed:
    """Pages, with the actions that they imply, and where members are cut."""

    def __init__(self, home):
        self.home = home
        self.pages, self.splits = [], {}
        self.postings = [dict(zip(_POSTING, row, strict=True)) for row in POSTINGS]
        self.profiles = [dict(zip(_PROFILE, row, strict=True)) for row in PROFILES]
        self.responses, self.earlier_examples = [], []
        self.writes = 0

    def member(self, member, split, context, target=()):
        """Give a member one page a day: those of the context, then those of the target."""
        self.splits[member] = (split, len(context))
        for day, (query, outcomes) in enumerate([*context, *target], start=1):
            self.pages.append(page(member, day, query, **outcomes))

    def answer(self, member, item, response, *, applied, answered):
        """Let a recruiter answer, on a day, the application of another day."""
        times = {"applied_ts": applied * DAY + MINUTE, "response_ts": answered * DAY}
        row = {"member_id": member, "item_id": item, "response": response}
        self.responses.append(row | times)

    def write(self):
        self.writes += 1
        home = self.home / str(self.writes)
        for name, rows, schema in (
            ("feed/impressions", self.pages, _IMPRESSIONS),
            ("feed/postings", self.postings, None),
            ("feed/profiles", self.profiles, None),
            ("feed/responses", self.responses, None),
            ("sessions", self._actions(), SESSION_SCHEMA),
        ):
            (home / name).mkdir(parents=True)
            if rows:
                table = pa.Table.from_pylist(rows, schema=schema)
                pq.write_table(table, home / name / "part-00000.parquet")
        (home / "examples").mkdir()
        examples = [
            {"member_id": m, "split": split, "context_end": end, "target_end": self._days(m)}
            for m, (split, end) in self.splits.items()
        ]
        table = pa.Table.from_pylist([*self.earlier_examples, *examples])
        pq.write_table(table, home / "examples/examples.parquet")
        return home

    def _days(self, member):
        return sum(page["member_id"] == member for page in self.pages)

    def _actions(self):
        rows = []
        for own in sorted(self.pages, key=lambda own: (own["member_id"], own["ts"])):
            base = {"member_id": own["member_id"], "channel": own["channel"], "sequence": 0}
            base |= {"session": own["ts"] // DAY}
            if own["query"]:
                search = {"action": "JOB_SEARCH", "query": own["query"], "ts": own["ts"]}
                rows.append(base | search)
            for number, (item, action) in enumerate(
                zip(own["item_ids"] or [], own["outcomes"] or [], strict=False), start=1
            ):
                if action:
                    at = own["ts"] + number * MINUTE
                    rows.append(base | {"action": action, "item_id": item, "ts": at})
        return rows


_POSTING = ("item_id", "company", "title", "industry", "place", "skills")
_PROFILE = ("member_id", "place", "headline", "years")
_TEXTS = pa.list_(pa.string())
_IMPRESSIONS = pa.schema(
    {
        "member_id": pa.string(),
        "ts": pa.int64(),
        "channel": pa.string(),
        "query": pa.string(),
        "item_ids": _TEXTS,
        "outcomes": _TEXTS,
    }
)
