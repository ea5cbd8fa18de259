"""Which postings there are, by whatever names one asks for them."""

from typing import NamedTuple, Self

import pyarrow as pa

from components.audience.errors import AudienceError
from components.text.render import entity_text, normalise

Posting = str | tuple[str | None, str]
"""An item_id, or a company and a title; without a company, the title wherever it is offered."""


class Catalogue:
    """The postings that there are, and those that members once applied to.

    Args:
        postings: with `item_id`, `company` and `title`.
        applied: likewise, of applications.
    """

    def __init__(self, postings: pa.Table, applied: pa.Table):
        self._now, self._once = _Names.of(postings), _Names.of(applied)

    def find(self, posting: Posting) -> tuple[str | None, str, list[str]]:
        """Return company, title and all item_ids of a posting.

        Raises:
            AudienceError: there is no such posting, or no longer; names it.
        """
        item_ids = self._now.find(posting)
        if item_ids:
            company, title = self._now.by_id[item_ids[0]]
            anywhere = not isinstance(posting, str) and not posting[0]
            return None if anywhere else company, title, item_ids
        if isinstance(posting, str):
            said = posting
        else:
            said = repr(posting[1]) + (f" at {posting[0]!r}" if posting[0] else "")
        if self._once.find(posting):
            raise AudienceError(
                f"posting {said} was removed: members applied to it, but it is no longer in the "
                "catalogue"
            )
        raise AudienceError(f"the catalogue has no posting {said}, and nobody ever applied to it")


class _Names(NamedTuple):
    """Postings by id, and the ids of each company's title and of each title."""

    by_id: dict[str | None, tuple[str | None, str]]
    by_entity: dict[str, list[str]]
    by_title: dict[str, list[str]]

    @classmethod
    def of(cls, postings: pa.Table) -> Self:
        names = cls({}, {}, {})
        columns = (postings[name].to_pylist() for name in ("item_id", "company", "title"))
        for item, company, title in zip(*columns, strict=True):
            if title and item not in names.by_id:
                names.by_id[item] = (company, title)
                entity = entity_text(company=company, title=title)
                names.by_entity.setdefault(entity, []).append(item)
                names.by_title.setdefault(normalise(title), []).append(item)
        return names

    def find(self, posting: Posting) -> list[str]:
        """Return the ids of all postings that are asked for."""
        if isinstance(posting, str):
            if posting not in self.by_id:
                return []
            company, title = self.by_id[posting]
        else:
            company, title = posting
            if not company:
                return self.by_title.get(normalise(title), [])
        return self.by_entity.get(entity_text(company=company, title=title), [])
