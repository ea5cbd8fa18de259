"""What torchrun starts on every GPU of a training job: pre-training as one group.

    torchrun --nproc-per-node 8 -m components.encoder.distributed REQUEST

A process that is asked to stop (SIGTERM) has the whole group write a checkpoint and leave with 143;
started again, with as many processes, the group ends with the weights of one that was not stopped.
"""

import logging
import sys
from pathlib import Path

from components.config import Config
from components.encoder.config import EncoderConfig, PretrainConfig
from components.errors import IntentError


class PretrainRequest(Config):
    """What to pre-train on, and how; all paths on a volume that all machines share.

    Attributes:
        tokens: directory written by `write_tokens`.
        vocabulary: directory written by `train_vocabulary`.
        target: encoder directory to write.
        checkpoints: directory for the state that an interrupted job goes on from.
        encoder: sizes.
        config: training settings.
        seed: of initial weights, order, masking and dropout.
    """

    tokens: Path
    vocabulary: Path
    target: Path
    checkpoints: Path
    encoder: EncoderConfig
    config: PretrainConfig
    seed: int


def run(request: PretrainRequest) -> None:
    """Pre-train in the group that torchrun describes, or alone.

    Raises:
        EncoderError: as `pretrain`, or more processes than GPUs.
    """
    from components.encoder.parallel import processes
    from components.encoder.pretrain import pretrain

    with processes() as group:
        pretrain(
            request.tokens,
            request.vocabulary,
            request.target,
            encoder=request.encoder,
            config=request.config,
            seed=request.seed,
            checkpoints=request.checkpoints,
            group=group,
        )


def main() -> None:
    """Do what the request in the file named by the first argument says."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    try:
        run(PretrainRequest.model_validate_json(Path(sys.argv[1]).read_text()))
    except IntentError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
