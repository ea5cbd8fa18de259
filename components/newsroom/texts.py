"""Items of the generated news as lines of news.tsv."""

import json
from collections.abc import Sequence

import numpy as np

from components.newsroom.catalogue import NONE, Catalogue
from components.newsroom.config import NewsroomConfig
from components.newsroom.words import (
    ABOUT,
    DAYS,
    FAMILY_NAMES,
    GIVEN_NAMES,
    GROUP_ENDS,
    GROUP_STEMS,
    ODD,
    PLACE_ENDS,
    PLACE_STEMS,
    PLAIN,
    SENTENCES,
    VERBS,
)

ODD_SHARE = 0.03
NO_ENTITY_FIELD_SHARE = 0.005
_LUCK = 12


def item_ids(catalogue: Catalogue, *, seed: int) -> list[str]:
    """Give items their ids, `N` and a number that says nothing about them."""
    numbers = np.random.default_rng([seed, 2]).permutation(len(catalogue.topic)) + 1
    return [f"N{number}" for number in numbers.tolist()]


def news_lines(
    catalogue: Catalogue, ids: Sequence[str], config: NewsroomConfig, *, seed: int
) -> list[str]:
    """Write every item as its line of news.tsv, without the line's end.

    A line is id, category, subcategory, title, abstract, address, entities of the title and of the
    abstract, between tabs.

    Args:
        catalogue: the items.
        ids: of the items.
        config: how many lack an abstract.
        seed: decides everything random.
    """
    rng = np.random.default_rng([seed, 3])
    count = len(ids)
    entities = [_entity(number) for number in range(len(catalogue.entity_topic))]
    luck = rng.integers(0, 1 << 30, (count, _LUCK)).tolist()
    abstract = (rng.random(count) >= config.without_abstract).tolist()
    odd = (rng.random(count) < ODD_SHARE).tolist()
    no_field = (rng.random(count) < NO_ENTITY_FIELD_SHARE).tolist()
    lines = []
    for item, topic in enumerate(catalogue.topic.tolist()):
        category, subcategory, words = catalogue.topics[topic]
        in_title = _known(entities, catalogue.title_entities[item])
        in_abstract = _known(entities, catalogue.abstract_entities[item])
        title = _title(words, in_title, luck[item])
        if odd[item]:
            title = ODD[luck[item][0] % len(ODD)].format(title)
        text = _abstract(words, in_abstract, luck[item]) if abstract[item] else ""
        fields = (
            ids[item],
            category,
            subcategory,
            title,
            text,
            f"https://news.example/{ids[item]}.html",
            "" if no_field[item] else _tell(in_title, title),
            _tell(in_abstract, text),
        )
        lines.append("\t".join(fields))
    return lines


def _entity(number: int) -> dict[str, str]:
    """Name an entity; at large sizes two of them may have one name, as real ones do."""
    kind, rest = "PPGO"[number % 4], number // 4 * 2 + (number % 4 == 1)
    if kind == "P":
        family, given = divmod(rest, len(GIVEN_NAMES))
        label = f"{GIVEN_NAMES[given]} {FAMILY_NAMES[family % len(FAMILY_NAMES)]}"
        surface = FAMILY_NAMES[family % len(FAMILY_NAMES)] if number % 3 == 0 else label
    else:
        stems, ends = (PLACE_STEMS, PLACE_ENDS) if kind == "G" else (GROUP_STEMS, GROUP_ENDS)
        stem, end = divmod(number // 4, len(ends))
        name = (stems[stem % len(stems)], ends[end])
        surface = label = "".join(name) if kind == "G" else " ".join(name)
    return {"Label": label, "Type": kind, "WikidataId": f"Q{1000 + 7 * number}", "Surface": surface}


def _known(entities: list[dict[str, str]], numbers: np.ndarray) -> list[dict[str, str]]:
    return [entities[number] for number in numbers.tolist() if number != NONE]


def _title(words: list[str], entities: list[dict[str, str]], luck: list[int]) -> str:
    fitting = [form for form in ABOUT if ("{f}" in form) == (len(entities) > 1)]
    forms = fitting if entities else PLAIN
    title = forms[luck[1] % len(forms)].format(**_fillings(words, entities, luck[2:6]))
    return title[0].upper() + title[1:]


def _abstract(words: list[str], entities: list[dict[str, str]], luck: list[int]) -> str:
    # Each entity is spoken of in a sentence; the first sentence is about none.
    plain = [form for form in SENTENCES if "{e}" not in form]
    about = [form for form in SENTENCES if "{e}" in form]
    text = [plain[luck[6] % len(plain)].format(**_fillings(words, [], luck[6:10]))]
    for place, entity in enumerate(entities):
        form = about[luck[7 + place] % len(about)]
        text.append(form.format(**_fillings(words, [entity], luck[7 + place : 11 + place])))
    return " ".join(text)


def _fillings(
    words: list[str], entities: list[dict[str, str]], luck: list[int]
) -> dict[str, str | int]:
    first = luck[0] % len(words)
    step = 1 + luck[1] % (len(words) // 2 - 1)
    names = [entity["Surface"] for entity in entities]
    return {
        **dict(zip("abc", (words[(first + i * step) % len(words)] for i in range(3)), strict=True)),
        **dict(zip("ef", names, strict=False)),
        "v": VERBS[luck[2] % len(VERBS)],
        "d": DAYS[luck[2] % len(DAYS)],
        "n": 3 + luck[3] % 18,
    }


def _tell(entities: list[dict[str, str]], text: str) -> str:
    """Write the entities that a text names as MIND does, with where it names them."""
    told = [
        {
            "Label": entity["Label"],
            "Type": entity["Type"],
            "WikidataId": entity["WikidataId"],
            "Confidence": 1.0,
            "OccurrenceOffsets": [text.index(entity["Surface"])],
            "SurfaceForms": [entity["Surface"]],
        }
        for entity in entities
        if entity["Surface"] in text
    ]
    return json.dumps(told)
