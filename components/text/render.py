"""The one rule by which queries, companies and titles become text.

Documents, labels and suggestions are all rendered here, so that a query typed in two ways is one
query everywhere. Rendered text holds no upper-case letter; action types and special tokens are
written in upper case, so no member can type one of them into a document.
"""

import re
from unicodedata import normalize

# Room for a headline and its abstract. A longer query was pasted and says little about intent, and
# one of 100K characters would push everything else out of the member's chunks of 512 subwords.
MAXIMUM_CHARACTERS = 500

# Compatibility forms expand a character to at most 18 others and most often shorten the text
# (runs of spaces, composed accents): a generous prefix is enough, whatever the length of the input.
_READ_CHARACTERS = 20 * MAXIMUM_CHARACTERS

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def normalise(text: str) -> str:
    """Fold the variants of a text of any script: compatibility forms, case, white space, length.

    The result is stable: normalising it again changes nothing.
    """
    text = _UNPRINTABLE.sub(" ", text[:_READ_CHARACTERS]).lower()
    if not text.isascii():
        # Before lower-casing, because compatibility forms hide capitals; after, because
        # lower-casing undoes composition.
        text = normalize("NFKC", normalize("NFKC", text).lower())
    return " ".join(text.split())[:MAXIMUM_CHARACTERS].rstrip()


def company_word(company: str) -> str:
    """Render a company as one word, so that it is masked, counted and matched as a whole.

    `Acme Inc` becomes `c_acme_inc`; a blank name becomes an empty string.
    """
    name = normalise(company).replace(" ", "_")
    return f"c_{name}" if name else ""


def entity_text(
    *,
    query: str | None = None,
    company: str | None = None,
    title: str | None = None,
    posting_label: str = "company_title",
) -> str:
    """Render what an action is about: the text of its label.

    Args:
        query: what was searched for, when the action is a search.
        company: the posting's company or brand.
        title: the posting's title.
        posting_label: "company_title" names a posting by both, "title" by its title alone.

    Returns:
        The text; empty when there is nothing to name.
    """
    if posting_label == "title":
        company = None
    parts = (
        normalise(query) if query else "",
        company_word(company) if company else "",
        normalise(title) if title else "",
    )
    return " ".join(filter(None, parts))


def action_text(
    action: str, query: str | None = None, company: str | None = None, title: str | None = None
) -> str:
    """Render one action as in Figure 2 of the paper, such as `VIEW c_acme_inc data engineer`."""
    return f"{action} {entity_text(query=query, company=company, title=title)}".rstrip()
