"""What answers are made of, as one directory that needs nothing else."""

import json
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from components.candidates.attributes import Attributes
from components.candidates.clauses import Clauses, load_array
from components.candidates.config import CandidatesConfig
from components.candidates.errors import CandidatesError
from components.candidates.postings import Lists, Postings, open_texts, save_texts
from components.candidates.weights import Weights
from components.features.index import TextIndex

ABOUT = "about.json"


class Package(NamedTuple):
    """One served variant, as of the run that wrote it.

    Attributes:
        clauses: of every member.
        weights: of clauses.
        attributes: titles and skills.
        postings: the catalogue.
        members: numbers of the members' ids.
        applied: postings that each member applied to.
        popular: rows of the postings most applied to, best first.
    """

    clauses: Clauses
    weights: Weights
    attributes: Attributes
    postings: Postings
    members: TextIndex
    applied: Lists
    popular: NDArray[np.int32]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Map what `save` wrote.

        Raises:
            CandidatesError: a file is missing or damaged; names it.
        """
        return cls(
            Clauses.open(directory),
            Weights.open(directory),
            Attributes.open(directory),
            Postings.open(directory),
            open_texts(directory, "members"),
            Lists.open(directory, "applied"),
            load_array(directory / "popular.npy"),
        )

    def save(self, directory: Path, config: CandidatesConfig, *, variant: str) -> None:
        """Write everything, and what it is in `about.json`."""
        directory.mkdir()
        for part in (self.clauses, self.weights, self.attributes, self.postings):
            part.save(directory)
        save_texts(self.members, directory, "members")
        self.applied.save(directory, "applied")
        np.save(directory / "popular.npy", self.popular)
        about = {
            "variant": variant,
            "members": len(self.members.keys),
            "postings": len(self.postings),
            "config": config.model_dump(),
        }
        (directory / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def read_config(directory: Path) -> CandidatesConfig:
    """Read the settings with which a package was made.

    Raises:
        CandidatesError: there is no package, or it is damaged; says which.
    """
    if directory.parent.is_dir() and not any(directory.parent.iterdir()):
        raise CandidatesError(
            f"{directory.parent}: this run has no candidates: its source has no postings or does "
            "not tell what it showed, or too little was applied to"
        )
    path = directory / ABOUT
    try:
        return CandidatesConfig(**json.loads(path.read_text())["config"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CandidatesError(f"{path}: missing or damaged: {error!r}") from error
