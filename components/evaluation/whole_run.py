"""What a run measures and shows, from the outputs of its steps.

`measure_run` is the one place where the truth is read: grades of suggestions, and the groups by
which members are coloured on the map. `report_run` draws from what it wrote.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from components.baselines.fasttext import WordVectors
from components.baselines.floors import Ranking
from components.baselines.linear import linear_predictor
from components.baselines.predictions import Rank, read_predictions
from components.encoder.vectors import NEWEST, load_vectors
from components.encoder.weights import load_label_weights
from components.evaluation.config import EvaluationConfig
from components.evaluation.evaluate import METHODS, OURS, evaluate
from components.evaluation.grading import truth_grader
from components.evaluation.predictors import slice_predictor, stored_predictors
from components.evaluation.report import Suggestion, Trail, VectorMap, write_report
from components.evaluation.sections import sections
from components.extreme.training_sets import load_slices
from components.files import whole_directory
from components.labels.examples import SPLITS, Examples
from components.marketplace.truth import Truth
from components.text.documents import Tokens
from components.text.vocabulary import Vocabulary

SURFACES = {"Suggested searches": "D1-new", "Try searching for": "D2"}
"""The surface without past labels, and the one with them; whose Slice ranks for it."""

EVALUATION, TRAILS, FACTS = "evaluation.json", "trails.json", "facts.json"
MAP, GROUPS = "map", "groups.json"
MEMBERS_SHOWN = 6
SESSIONS_SHOWN = 6
CANDIDATES = 200


class Trained(NamedTuple):
    """Vectors of the examples, and the directory of the Slices trained on them."""

    vectors: Path
    slices: Path


class Inputs(NamedTuple):
    """Outputs of earlier steps.

    Attributes:
        examples: contexts and labels.
        tokens: documents, for the trails shown.
        vocabulary: of the documents.
        entities: word vectors of the entity sequences.
        finetuned: encoder directory, whose label layer is BERT+e2e.
        truth: what is known of the members; an empty directory when nothing is.
    """

    examples: Path
    tokens: Path
    vocabulary: Path
    entities: Path
    finetuned: Path
    truth: Path


def measure_run(
    inputs: Inputs,
    trained: Mapping[str, Trained],
    target: Path,
    config: EvaluationConfig,
    *,
    baselines: Sequence[Path] = (),
    seed: int,
) -> list[dict]:
    """Measure all methods, and choose what the report shows of members; all or nothing.

    Args:
        inputs: what to measure on.
        trained: method to its vectors and Slices, `BERT_FT+Slice` among them.
        target: directory to write.
        config: sizes.
        baselines: predictions of methods that ranked for themselves; an empty directory is of one
            that was not run.
        seed: of everything drawn.

    Returns:
        The rows of the table `query_recommendation`.
    """
    data = Examples.open(inputs.examples)
    truth = Truth.open(inputs.truth) if any(inputs.truth.iterdir()) else None
    vectors = {method: load_vectors(paths.vectors) for method, paths in trained.items()}
    slices = {method: _slices(paths.slices, vectors[method]) for method, paths in trained.items()}
    end_to_end = _end_to_end(inputs.finetuned, trained[OURS].vectors)
    stored = [said for said in map(read_predictions, baselines) if said is not None]
    words = WordVectors.load(inputs.entities)
    with whole_directory(target) as directory:
        result = evaluate(
            data,
            {
                **slices,
                "BERT+e2e": end_to_end,
                **{said.method: stored_predictors(said) for said in stored},
            },
            directory / EVALUATION,
            config,
            entity_vectors=words.phrases(data.label_texts),
            grader=truth_grader(truth, data.label_texts) if truth else None,
            told={said.method: said.about for said in stored},
            seed=seed,
        )
        shown = _choose_members(data, seed)
        trails = _trails(inputs, data, slices[OURS], shown, config)
        _write_json(directory / TRAILS, trails)
        _write_map(directory / MAP, data, vectors, truth, config, seed)
        test = int(np.count_nonzero(data.table["split"] == SPLITS["test"]))
        _write_json(directory / FACTS, {"labels": len(data.label_texts), "test members": test})
    return result["rows"]


def report_run(
    target: Path,
    *,
    recipe: str,
    measured: Path,
    sessions: Path,
    described: Path,
    uses: Mapping[str, list[dict]],
    logs: Mapping[str, Path],
    shown: int,
    seed: int,
) -> dict[str, Any]:
    """Write the report of a run; all or nothing.

    Args:
        target: directory to write `report.json` and `report.html` into.
        recipe: its name.
        measured: what `measure_run` wrote.
        sessions: the sessions directory.
        described: what `describe_sessions` wrote.
        uses: rows by table, of the uses of vectors and entities.
        logs: title to training log.
        shown: suggestions that repeats and grades were taken over.
        seed: of the map.

    Returns:
        What `report.json` holds.
    """
    result = _read_json(measured / EVALUATION)
    counts = _read_json(sessions / "sessions.json")
    about = _read_json(described / "report.json")
    facts = {name: counts[name] for name in ("members", "sessions", "actions")}
    tables = {
        "query_recommendation": result["rows"],
        "sessions": about["rows"],
        "differences": result["differences"],
        "order": result["order"],
        "frequency": result["frequency"],
        "baselines": result["baselines"],
        **uses,
    }
    with whole_directory(target) as directory:
        write_report(
            directory,
            recipe=recipe,
            tables=tables,
            seed=seed,
            facts=facts | _read_json(measured / FACTS),
            logs=logs,
            trails=_read_json(measured / TRAILS),
            vector_map=_read_map(measured / MAP),
            session_figures=[
                figure | {"path": str(described / figure["path"])} for figure in about["figures"]
            ],
            shown=shown,
        )
        return _read_json(directory / "report.json")


def markdown(report: Mapping[str, Any]) -> str:
    """Write the report's tables in Markdown, for a pipeline's page."""
    columns = ("p@1", "p@3", "p@5", "coverage")
    suggested = [
        [row["dataset"], row["method"], *(f"{row[column]:.3f}" for column in columns)]
        for row in report["tables"]["query_recommendation"]
    ]
    parts = [_markdown_table(["data set", "method", *columns], suggested)]
    for section in sections(report["tables"]):
        parts.append(f"## {section.title}\n\n{section.text}\n")
        for table in section.tables:
            parts.append(f"### {table.caption}\n")
            parts.append(_markdown_table(table.head, table.rows))
    return "\n".join(parts)


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _slices(directory: Path, vectors: NDArray[np.float32]) -> dict[str, Rank]:
    return {name: slice_predictor(model, vectors) for name, model in load_slices(directory).items()}


def _end_to_end(encoder: Path, vectors: Path) -> Rank:
    layer, newest = load_label_weights(encoder), load_vectors(vectors, NEWEST)

    def predict(rows: NDArray[np.int64], k: int, exclude: sp.csr_matrix | None) -> Ranking:
        predictor = linear_predictor(layer.features(newest[rows]), layer.weight, layer.bias)
        return predictor(np.arange(len(rows)), k, exclude)

    return predict


def _choose_members(data: Examples, seed: int) -> NDArray[np.int64]:
    """Draw test members with something new to find; half of them never searched, if they can."""
    rows, _ = data.select("D1-new", "test")
    rows = np.random.default_rng(seed).permutation(rows)
    searched = data.table["searched"][rows]
    silent, talking = rows[~searched][: MEMBERS_SHOWN // 2], rows[searched]
    return np.concatenate([talking[: MEMBERS_SHOWN - len(silent)], silent])


def _trails(
    inputs: Inputs,
    data: Examples,
    predictors: Mapping[str, Rank],
    rows: NDArray[np.int64],
    config: EvaluationConfig,
) -> list[Trail]:
    tokens, vocabulary = Tokens.open(inputs.tokens), Vocabulary.load(inputs.vocabulary)
    ranked = {
        surface: predictors[dataset](
            rows,
            min(CANDIDATES, len(data.label_texts)),
            data.context[rows] if dataset == "D1-new" else None,
        )
        for surface, dataset in SURFACES.items()
    }
    kind = "query" if "query" in data.label_kinds else "entity"
    trails: list[Trail] = []
    for place, row in enumerate(rows):
        member, end = data.table["member_id"][row], int(data.table["context_end"][row])
        document = int(tokens.rows([member])[0])
        past, future = data.context[[row]], data.target[[row]]
        trails.append(
            Trail(
                member=member,
                sessions=[
                    _actions(tokens.document(document, session, session + 1), vocabulary)
                    for session in range(max(0, end - SESSIONS_SHOWN), end)
                ],
                suggestions={
                    surface: [
                        Suggestion(text=data.label_texts[label], score=round(float(score), 4))
                        for label, score in zip(labels[place], scores[place], strict=True)
                        if label >= 0 and data.label_kinds[label] == kind
                    ][: config.shown]
                    for surface, (labels, scores) in ranked.items()
                },
                past=[data.label_texts[label] for label in past.indices[np.argsort(-past.data)]],
                truth=[data.label_texts[label] for label in future.indices],
            )
        )
    return trails


def _actions(session: NDArray[np.int32], vocabulary: Vocabulary) -> list[str]:
    words = session[session != vocabulary.sep]
    starts = np.flatnonzero(np.isin(words, vocabulary.action_ids))
    return [vocabulary.decode(part) for part in np.split(words, starts[1:])] if len(starts) else []


def _write_map(
    directory: Path,
    data: Examples,
    vectors: Mapping[str, NDArray[np.float32]],
    truth: Truth | None,
    config: EvaluationConfig,
    seed: int,
) -> None:
    test = np.flatnonzero(data.table["split"] == SPLITS["test"])
    chosen = np.sort(np.random.default_rng(seed).permutation(test)[: config.map_members])
    directory.mkdir()
    for method, own in vectors.items():
        np.save(directory / f"{method}.npy", own[chosen])
    groups = truth.family(data.table["member_id"][chosen]).tolist() if truth else None
    _write_json(directory / GROUPS, groups)


def _read_map(directory: Path) -> VectorMap:
    files = {method: directory / f"{method}.npy" for method in METHODS}
    vectors = {method: np.load(file) for method, file in files.items() if file.exists()}
    groups = _read_json(directory / GROUPS)
    return VectorMap(vectors=vectors, groups=groups, group_name="occupation")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n")


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text())
