"""Categories and their codes, which stay the same from the tables of training to those of serving.

A model learns what code 17 of a title means. Tables that it reads later must give 17 to the same
title, whatever has become frequent since: they are built `like` those that it was trained on.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.features.catalogue import Catalogue, Profiles
from components.features.config import FeaturesConfig
from components.features.phrases import LEVELS

HOURS, WEEKDAYS = 25, 8


class Categories(NamedTuple):
    """Texts by code, "" first, which stands for all others.

    Attributes:
        industry, place, skill: all that the catalogue, or profiles, have.
        company, title: those shown often.
        core: cores of queries whose results are shown often.
        headline: those that several members have.
    """

    industry: list[str]
    place: list[str]
    skill: list[str]
    company: list[str]
    title: list[str]
    core: list[str]
    headline: list[str]

    @classmethod
    def learn(
        cls,
        catalogue: Catalogue,
        places: list[str],
        *,
        companies: NDArray,
        titles: NDArray,
        cores: tuple[Sequence[str], NDArray],
        headlines: tuple[Sequence[str], NDArray],
        config: FeaturesConfig,
    ) -> Self:
        """Choose what is a category of its own.

        Args:
            catalogue: of the postings.
            places: by code.
            companies: times shown, by code.
            titles: times shown, by code.
            cores: cores of queries by code, and times that results of theirs were shown.
            headlines: headlines by code, and members.
            config: from how many on a text is a category.
        """

        def frequent(texts: Sequence[str], times: NDArray, minimum: int) -> list[str]:
            codes = np.flatnonzero(times >= minimum).tolist()
            return ["", *(texts[code] for code in codes if code > 0)]

        shown, members = config.minimum_category_count, config.minimum_headline_members
        return cls(
            industry=catalogue.industry.texts,
            place=places,
            skill=catalogue.first_skill.texts,
            company=frequent(catalogue.company.texts, companies, shown),
            title=frequent(catalogue.title.texts, titles, shown),
            core=frequent(*cores, shown),
            headline=frequent(*headlines, members),
        )

    def sizes(self) -> dict[str, int]:
        """Return how many codes each categorical feature has."""
        return {
            "posting_industry": len(self.industry),
            "posting_place": len(self.place),
            "posting_level": len(LEVELS),
            "posting_skill": len(self.skill),
            "posting_company": len(self.company),
            "posting_title": len(self.title),
            "query_place": len(self.place),
            "query_level": len(LEVELS),
            "query_core": len(self.core),
            "member_place": len(self.place),
            "member_headline": len(self.headline),
            "hour": HOURS,
            "weekday": WEEKDAYS,
        }

    def of_postings(self, catalogue: Catalogue, places: Sequence[str]) -> NDArray[np.int32]:
        """Return int32[postings, 6], in the order of the specification."""
        columns = [
            translate(catalogue.industry.texts, self.industry)[catalogue.industry.codes],
            translate(places, self.place)[catalogue.place],
            catalogue.level,
            translate(catalogue.first_skill.texts, self.skill)[catalogue.first_skill.codes],
            translate(catalogue.company.texts, self.company)[catalogue.company.codes],
            translate(catalogue.title.texts, self.title)[catalogue.title.codes],
        ]
        return np.stack(columns, 1).astype(np.int32)

    def of_members(self, profiles: Profiles, places: Sequence[str]) -> NDArray[np.int32]:
        """Return int32[members, 2], in the order of the specification."""
        headline = translate(profiles.headline.texts, self.headline)[profiles.headline.codes]
        place = translate(places, self.place)[profiles.place]
        return np.stack([place, headline], 1).astype(np.int32)


def translate(texts: Sequence[str], categories: Sequence[str]) -> NDArray[np.int32]:
    """Return the category of each text, 0 for one that is none."""
    codes = {text: code for code, text in enumerate(categories)}
    return np.array([codes.get(text, 0) for text in texts], np.int32)
