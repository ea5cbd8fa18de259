"""Settings of the baselines that a learned model has to beat."""

from collections.abc import Sequence
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from components.baselines.sequence_config import SequenceConfig
from components.config import Config
from components.encoder.config import OptimiserConfig, Precision

EndToEndMethod = Literal["CNN+e2e", "fastText+e2e"]
SequenceMethod = Literal["ACG", "MNSRF", "CARS", "LostNet"]
Baseline = Literal[SequenceMethod, EndToEndMethod]
END_TO_END, SEQUENCES = get_args(EndToEndMethod), get_args(SequenceMethod)


class FastTextConfig(Config):
    """How fastText skip-gram word vectors are trained; the paper's values, but for `loss`.

    Attributes:
        dimension: length of a word vector.
        learning_rate: at the start; falls linearly to 0.
        epochs: passes over the corpus.
        window: most words to either side that a word predicts.
        minimum_count: occurrences below which a word, or a company phrase, has no vector.
        loss: "softmax" over the whole vocabulary, as the paper names it, at a cost per word that
            grows with the vocabulary (one core: about 500 words of the corpus a second at 5,000
            words and 100 dimensions); "hs", a softmax factored over a Huffman tree of the words
            (about 160,000 a second); "ns", negative sampling.
        subsampling: share of the corpus above which a word's occurrences are thinned out.
        threads: fastText's threads write to the same vectors without locks, so that two runs give
            equal vectors only with one thread.
    """

    dimension: int = Field(default=300, ge=1, le=4096)
    learning_rate: float = Field(default=0.08, gt=0, le=10)
    epochs: int = Field(default=5, ge=1, le=1000)
    window: int = Field(default=5, ge=1, le=1000)
    minimum_count: int = Field(default=2, ge=1)
    loss: Literal["softmax", "hs", "ns"] = "hs"
    subsampling: float = Field(default=1e-4, gt=0, le=1)
    threads: int = Field(default=1, ge=1, le=1024)


class EndToEndConfig(OptimiserConfig):
    """How a network over words is trained on members' labels, as the encoder is fine-tuned.

    Attributes:
        batch: examples of one step.
        learning_rate: peak of the network over words.
        warmup: share of the steps in which the learning rate rises.
        precision: of matrix products; these are too small for half precision to pay.
        epochs: passes over the training examples; the weights kept are those with the highest
            precision at 1 on validation members, which is taken `evaluations` times.
        dataset: whose labels are learnt: D1, of the target sessions; D2, of all sessions. One
            network answers for every data set, as BERT+e2e does.
        label_learning_rate: peak learning rate of the label layer.
        dropout: share of the features dropped before the label layer.
        label_chunk: labels whose scores are held in memory at once.
    """

    batch: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=2e-3, gt=0)
    warmup: float = Field(default=0.1, ge=0, le=1)
    precision: Precision = "fp32"
    epochs: float = Field(default=20.0, gt=0)
    dataset: Literal["D1", "D2"] = "D2"
    label_learning_rate: float = Field(default=5e-3, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    label_chunk: int = Field(default=65536, ge=1)

    @model_validator(mode="after")
    def _batches_can_be_normalised(self) -> Self:
        if self.batch == self.accumulate:
            raise ValueError(f"accumulate {self.accumulate}: batches of one cannot be normalised")
        return self


class WordsEndToEndConfig(EndToEndConfig):
    """fastText+e2e: fully connected layers over the mean word vector (paper, section 5.1).

    Attributes:
        units: of each layer, which is followed by batch normalisation and ReLU.
    """

    units: tuple[int, ...] = Field(default=(64, 64), min_length=1)


class CnnConfig(EndToEndConfig):
    """CNN+e2e: convolutions over the most recent words (paper, section 5.1).

    Attributes:
        words: most recent words of a context.
        widths: of the filters, in words.
        filters: of each width.
        units: of the fully connected layer.
    """

    epochs: float = Field(default=6.0, gt=0)
    words: int = Field(default=2048, ge=1)
    widths: tuple[int, ...] = Field(default=(2, 3, 4, 5), min_length=1)
    filters: int = Field(default=128, ge=1)
    units: int = Field(default=512, ge=1)


class BaselinesConfig(Config):
    """Which baselines run beside those that every run has (floors and fastText+Slice).

    Attributes:
        methods: their names in Table 3.
        words_end_to_end: of fastText+e2e.
        cnn: of CNN+e2e.
        sequence: of ACG, MNSRF, CARS and LostNet.
    """

    methods: tuple[Baseline, ...] = ("CNN+e2e", "fastText+e2e")
    words_end_to_end: WordsEndToEndConfig = WordsEndToEndConfig()
    cnn: CnnConfig = CnnConfig()
    sequence: SequenceConfig = SequenceConfig()

    def named(self, known: Sequence[Baseline]) -> list[Baseline]:
        """Return the methods that run, of some."""
        return [method for method in known if method in self.methods]
