"""The whole simulated fortnight: experiments, a broken variant, servers, replay, analysis."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from pydantic import ValidationError

from components.experiments.analysis import write_analysis
from components.experiments.experiments import Experiments, load_experiments
from components.experiments.page import write_page as write_experiment
from components.files import whole_directory
from components.marketplace.config import MarketplaceConfig
from components.marketplace.population import Population
from components.variants.package import read_about
from serving.fortnight.broken import BROKEN, break_suggestions
from serving.fortnight.client import RouterClient
from serving.fortnight.config import FortnightConfig
from serving.fortnight.errors import FortnightError
from serving.fortnight.findings import Findings, find, write_json
from serving.fortnight.replay import Replay, days_done
from serving.fortnight.responding import Judge
from serving.fortnight.table import write_page
from serving.local.stack import down, up

MANIFESTS = Path(__file__).parent / "manifests"
_TO_BREAK, _BROKEN_MODEL = "suggestions-fasttext", f"suggestions-{BROKEN}"

logger = logging.getLogger(__name__)


class Market(NamedTuple):
    """A generated marketplace and what a run made of it.

    Attributes:
        run: name of the run.
        config: of the marketplace.
        seed: of the marketplace.
        feed, truth: what was generated.
        features: tables as of now.
        hires: the model of confirmed hires.
    """

    run: str
    config: MarketplaceConfig
    seed: int
    feed: Path
    truth: Path
    features: Path
    hires: Path

    @classmethod
    def of_run(cls, run: Path) -> Self:
        """Find everything in the directory of a finished run.

        Raises:
            FortnightError: there is no such run, or its source is not the generated marketplace.
        """
        recipe = run / "recipe.yaml"
        try:
            settings: dict[str, Any] = yaml.safe_load(recipe.read_text())
            config = MarketplaceConfig(**settings["source"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise FortnightError(f"{recipe}: missing or damaged: {error!r}") from error
        except ValidationError as error:
            raise FortnightError(
                f"{recipe}: its source is not the generated marketplace, and only there is it "
                "known what members want"
            ) from error
        return cls(
            run.resolve().name,
            config,
            settings["seed"],
            feed=run / "ingest" / "feed",
            truth=run / "ingest" / "truth",
            features=run / "features" / "now",
            hires=run / "hires" / "hires",
        )


def staged(
    market: Market,
    *,
    variants: Sequence[Path],
    store: str,
    state: Path,
    config: FortnightConfig,
    ports: tuple[int, int],
) -> Findings:
    """Serve the fortnight's own experiments, replay, stop serving, and analyse.

    Four uses are compared; an A/A test and a broken variant, which its guardrail has to stop, run
    beside them. A fortnight that was cut short goes on; one that is done is only analysed.

    Args:
        market: whose members are replayed.
        variants: packages; those that the experiments name are served.
        store: URL of the store that they read. The broken variant's dataset is pushed there.
        state: directory for everything.
        config: how long and how busy.
        ports: for the router, REST and gRPC.

    Raises:
        IntentError: a variant is missing, a server does not come up, or as `replayed`.
    """
    experiments = _experiments(state)
    if days_done(state) >= config.days:
        return analysed(market, experiments=experiments, state=state)
    served = _served(variants, load_experiments(experiments), store, state, seed=config.seed)
    url = up(
        served, store=store, experiments=experiments, state=state, port=ports[0], grpc=ports[1]
    )
    try:
        replay(market, url, experiments=experiments, state=state, config=config)
    finally:
        down(state)
    return analysed(market, experiments=experiments, state=state)


def replay(
    market: Market, url: str, *, experiments: Path, state: Path, config: FortnightConfig
) -> None:
    """Replay members against a running router.

    Args:
        market: whose members are replayed.
        url: of the router.
        experiments: directory of the manifests it routes by.
        state: directory that holds the router's state and whose `outcomes` its guardrails read.
        config: how long and how busy.

    Raises:
        FortnightError: the router is away, refuses, or fails too often.
        MarketplaceError: the truth is missing or of another marketplace.
    """
    population = Population.redraw(market.config, market.truth, seed=market.seed)
    judge = Judge(population, feed=market.feed, features=market.features, hires=market.hires)
    if judge.unpredicted:
        logger.warning("hires are not predicted reason=%r", judge.unpredicted)
    with RouterClient(url, concurrency=config.concurrency, timeout=config.timeout) as client:
        Replay(
            population,
            judge,
            client.ask,
            experiments=experiments,
            state=state,
            config=config,
            run=market.run,
        ).run()


def analysed(market: Market, *, experiments: Path, state: Path) -> Findings:
    """Analyse a replay, and write `table-7/index.html` with a page per experiment.

    Args:
        market: whose members were replayed.
        experiments: directory of the manifests, as the guardrails left them.
        state: directory of the replay and the router.

    Raises:
        FortnightError: no day is done, or the router's log does not hold all of its requests.
    """
    known = list(load_experiments(experiments))
    findings = find(known, state=state, feed=market.feed)
    with whole_directory(state / "table-7") as directory:
        pages = {}
        for analysis in findings.analyses:
            experiment = next(own for own in known if own.name == analysis.experiment)
            pages[experiment.name] = f"{experiment.name}.html"
            write_experiment(experiment, analysis, directory / pages[experiment.name])
            write_analysis(analysis, directory / f"{experiment.name}.json")
        write_json(findings, directory / "table-7.json")
        write_page(findings, directory / "index.html", pages=pages)
    return findings


def _experiments(state: Path) -> Path:
    """The fortnight's manifests; once there, they are as ramps and guardrails leave them."""
    target = state / "experiments"
    if not target.is_dir():
        with whole_directory(target) as directory:
            for manifest in MANIFESTS.glob("*.yaml"):
                shutil.copyfile(manifest, directory / manifest.name)
    return target


def _served(
    variants: Sequence[Path], experiments: Experiments, store: str, state: Path, *, seed: int
) -> list[Path]:
    by_model = {read_about(path).model: path for path in variants}
    named = dict.fromkeys(v.service for experiment in experiments for v in experiment.variants)
    missing = [model for model in named if model not in by_model and model != _BROKEN_MODEL]
    if missing:
        raise FortnightError(
            f"no package of {', '.join(missing)}: there is {', '.join(sorted(by_model)) or 'none'}"
        )
    broken = state / "variants" / _BROKEN_MODEL
    if _BROKEN_MODEL in named:
        # Anew each time: the store may have been pushed to, or replaced, since.
        broken.parent.mkdir(parents=True, exist_ok=True)
        break_suggestions(by_model[_TO_BREAK], broken, store=store, seed=seed)
    return [by_model.get(model, broken) for model in named]
