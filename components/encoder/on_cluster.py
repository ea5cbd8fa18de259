"""Pre-training on several machines, by a TrainJob."""

import json
from pathlib import Path

from components.cluster.config import JobConfig
from components.cluster.handover import Handover
from components.cluster.launch import Launcher, job_labels
from components.cluster.trainjob import train_job
from components.encoder.config import EncoderConfig, PretrainConfig
from components.encoder.distributed import PretrainRequest
from components.encoder.errors import EncoderError

PROGRAM = "components.encoder.distributed"


def pretrain_on_cluster(
    tokens: Path,
    vocabulary: Path,
    target: Path,
    *,
    encoder: EncoderConfig,
    config: PretrainConfig,
    seed: int,
    job: JobConfig,
    launcher: Launcher | None = None,
) -> list[dict]:
    """Train an encoder as `pretrain` does, by a group of processes on a cluster.

    The job's checkpoints stay on the shared volume until its encoder was taken, so that another try
    of the step, or of the job, goes on from them.

    Args:
        tokens: directory written by `write_tokens`.
        vocabulary: directory written by `train_vocabulary`.
        target: encoder directory to write.
        encoder: sizes.
        config: training settings; `batch` is that of all processes together.
        seed: of initial weights, order, masking and dropout.
        job: machines, and where.
        launcher: makes and follows the TrainJob; from `job` when None.

    Returns:
        The training log, also written as `target/log.jsonl`.

    Raises:
        EncoderError: the batch cannot be spread evenly over the processes.
        ClusterError: the shared volume is not mounted, or the job failed.
    """
    processes = job.nodes * job.processes
    if config.batch % (config.accumulate * processes):
        raise EncoderError(
            f"pretrain.batch {config.batch} is not a multiple of accumulate {config.accumulate} x "
            f"{processes} processes ({job.nodes} nodes x {job.processes})"
        )
    launcher = launcher or Launcher(job)
    settings = [encoder.model_dump(), config.model_dump(), seed, job.image]
    name = launcher.name("pretrain", str(tokens), str(vocabulary), *settings)
    shared = Handover(job.work, name)
    output = shared.output("encoder")
    if not output.exists():  # an earlier try may have been stopped between job and hand-over
        request = PretrainRequest(
            tokens=shared.give("tokens", tokens),
            vocabulary=shared.give("vocabulary", vocabulary),
            target=output,
            checkpoints=shared.checkpoints,
            encoder=encoder,
            config=config,
            seed=seed,
        )
        written = shared.write("request.json", request.model_dump_json())
        command = ["torchrun", "-m", PROGRAM, str(written)]
        launcher.run(train_job(name, command, job, labels=job_labels("pretrain")))
    shared.take("encoder", target)
    shared.clear()
    return [json.loads(line) for line in (target / "log.jsonl").open()]
