"""Three small steps that leave a trace of their executions, to test the local runner with.

`python -m tests.pipelines.toy RUNS TRACE WORD` runs them, or continues the run that is there.
"""

import sys
from pathlib import Path

from kfp import dsl
from rich.console import Console

from components.image import TRAIN_IMAGE
from pipelines.local import runs


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def spell(word: str, trace: str, letters: dsl.Output[dsl.Dataset]):
    """Write one file for each letter."""
    from pathlib import Path

    with Path(trace, "trace").open("a") as out:
        out.write("spell\n")
    Path(letters.path).mkdir()
    for place, letter in enumerate(word):
        Path(letters.path, str(place)).write_text(letter)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def count(letters: dsl.Input[dsl.Dataset], trace: str, counted: dsl.Output[dsl.Artifact]) -> int:
    """Count the letters as soon as the file `gate` is there."""
    import os
    import time
    from pathlib import Path

    from components.files import whole_directory
    from components.progress import progress

    files = list(Path(letters.path).iterdir())
    with Path(trace, "trace").open("a") as out:
        out.write("count\n")
    with (
        whole_directory(Path(counted.path)) as aside,
        progress("letters", total=len(files)) as bar,
    ):
        for file in files:
            (aside / file.name).write_bytes(file.read_bytes())
            bar.advance(letter=file.read_text())
        Path(trace, "pid").write_text(str(os.getpid()))
        while not Path(trace, "gate").exists():
            time.sleep(0.01)
    return len(files)


@dsl.component(base_image=TRAIN_IMAGE, install_kfp_package=False)
def judge(length: int, trace: str, verdict: dsl.Output[dsl.Metrics]):
    """Fail in the way that the file `fault` says, if it is there."""
    import os
    from pathlib import Path

    from components.errors import IntentError

    with Path(trace, "trace").open("a") as out:
        out.write("judge\n")
    fault = Path(trace, "fault")
    if fault.exists():
        kind = fault.read_text()
        if kind == "mendable":
            raise IntentError(f"words.txt row 7: {length} letters are too many")
        if kind == "bug":
            raise ZeroDivisionError("division of a word by zero")
        os.kill(os.getpid(), 9)
    verdict.log_metric("length", length)


@dsl.pipeline(name="toy")
def toy(word: str = "word", trace: str = "trace"):
    """Spell, count, judge."""
    spelt = spell(word=word, trace=trace)
    counted = count(letters=spelt.outputs["letters"], trace=trace).set_display_name("count-letters")
    judge(length=counted.outputs["Output"], trace=trace).set_retry(num_retries=3)


def main() -> int:
    """Run the toy in a process that a test may interrupt."""
    from pipelines.local.runner import RunStopped, run_pipeline

    root, trace, word = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    started = [path.parent for path in root.glob("*/run.json")]
    run = runs.find(str(started[0])) if started else runs.create("toy", "toy", {}, root=root)
    try:
        arguments = {"word": word, "trace": trace}
        run_pipeline(toy.pipeline_spec, arguments, run=run, console=Console())
    except RunStopped as stopped:
        print(stopped)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
