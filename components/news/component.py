"""Kubeflow steps of the news room; a source that is not of news makes empty outputs."""

from kfp import dsl

from components.image import TRAIN_IMAGE


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def rank_news(
    feed: dsl.Input[dsl.Dataset],
    pretrained: dsl.Input[dsl.Model],
    finetuned: dsl.Input[dsl.Model],
    config: dict,
    seed: int,
    checkpoints: str,
    ranked: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Rank news by pairs of vectors, and measure that as MIND does; resumes where it was."""
    import shutil
    from pathlib import Path

    from components.news.config import NewsConfig
    from components.news.impressions import has_news

    if not has_news(Path(feed.path)):
        Path(ranked.path).mkdir(parents=True)
        return

    from components.news.rank import rank_news

    own_checkpoints = Path(checkpoints, "rank-news")
    tables = rank_news(
        Path(feed.path),
        Path(finetuned.path),
        Path(ranked.path),
        NewsConfig(**config),
        pretrained=Path(pretrained.path),
        seed=seed,
        checkpoints=own_checkpoints,
    )
    for row in tables.get("mind", []):
        metrics.log_metric(f"{row['combination']} auc", row["auc"])
    shutil.rmtree(own_checkpoints, ignore_errors=True)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def study_appendix(
    settings: dict,
    seed: int,
    checkpoints: str,
    studied: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Run the paper's Appendix A in small, from news traffic to its Table 9; resumes."""
    import shutil
    from pathlib import Path

    from components.news.appendix import study_news

    own_checkpoints = Path(checkpoints, "appendix")
    tables = study_news(settings, Path(studied.path), seed=seed, checkpoints=own_checkpoints)
    for row in tables.get("mind", []):
        metrics.log_metric(f"{row['combination']} auc", row["auc"])
    shutil.rmtree(own_checkpoints, ignore_errors=True)
