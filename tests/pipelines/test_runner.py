"""The local runner: what is skipped, what runs again, and how a run ends when it ends badly."""

import json
import os
import signal
import subprocess
import sys
import time
from io import StringIO

import pytest
from kfp.local import executor_input_utils, subprocess_task_handler
from rich.console import Console

from pipelines.local import runs
from pipelines.local.runner import StepFailed, run_pipeline
from tests.pipelines.toy import toy

STEPS = ["spell", "count-letters", "judge"]


class Toy:
    """A run of the toy pipeline, and what its steps and its console left behind."""

    def __init__(self, path):
        self.trace = path / "trace"
        self.trace.mkdir()
        self.root = path / "runs"
        self.run = runs.create("toy", "toy", {}, root=self.root)
        self.open_gate()

    def start(self, word="word", *, terminal=False):
        self.shown = StringIO()
        console = Console(file=self.shown, force_terminal=terminal, width=200)
        arguments = {"word": word, "trace": str(self.trace)}
        return run_pipeline(toy.pipeline_spec, arguments, run=self.run, console=console)

    def start_apart(self, word="word"):
        command = [sys.executable, "-m", "tests.pipelines.toy", self.root, self.trace, word]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def open_gate(self):
        (self.trace / "gate").touch()

    def close_gate(self):
        (self.trace / "gate").unlink()

    def break_judge(self, kind):
        (self.trace / "fault").write_text(kind)

    def executions(self):
        """Name the steps that ran since the last call."""
        trace = self.trace / "trace"
        names = trace.read_text().split() if trace.exists() else []
        trace.unlink(missing_ok=True)
        return names

    def pid_of_count(self):
        """Wait until the second step is in the middle of its work."""
        pid = self.trace / "pid"
        wait_until(lambda: pid.exists() and pid.read_text())
        number = int(pid.read_text())
        pid.unlink()
        return number


@pytest.fixture
def run(tmp_path):
    return Toy(tmp_path)


def wait_until(happened):
    for _ in range(3000):
        if happened():
            return
        time.sleep(0.01)
    pytest.fail("waited 30 seconds in vain")


def is_gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "Z"


def test_a_run_keeps_a_directory_for_each_step_and_notes_what_it_cost(run):
    summary = run.start()
    ledger = json.loads((run.run.path / "steps.json").read_text())["steps"]
    assert [step["step"] for step in ledger] == STEPS
    assert all(step["seconds"] > 0 and step["peak_bytes"] > 1e6 for step in ledger)
    assert {path.name for path in run.run.path.iterdir() if path.is_dir()} == set(STEPS)
    assert summary.kept == set()
    assert summary.seconds == pytest.approx(sum(step["seconds"] for step in ledger))


def test_outside_a_terminal_each_step_prints_one_line_and_nothing_else(run):
    run.start()
    lines = run.shown.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        [f"{place}/3", step] for place, step in enumerate(STEPS, 1)
    ]


def test_what_kfp_and_the_steps_print_goes_to_the_log(run, capfd):
    run.start()
    assert capfd.readouterr() == ("", "")
    log = run.run.log.read_text()
    assert "Executing task" in log
    assert "KFP Executor" in log


def test_in_a_terminal_the_bar_of_the_running_step_is_drawn_with_its_figures(run):
    run.start(terminal=True)
    assert "count-letters · letters" in run.shown.getvalue()
    assert "letter=" in run.shown.getvalue()


def test_a_second_start_skips_every_finished_step(run):
    run.start()
    run.executions()
    summary = run.start()
    assert run.executions() == []
    assert summary.kept == set(STEPS)
    assert "kept" in run.shown.getvalue()


def test_a_changed_parameter_runs_its_step_and_those_that_follow(run):
    run.start("word")
    run.executions()
    run.start("words")
    assert run.executions() == ["spell", "count", "judge"]


def test_a_step_whose_inputs_come_out_equal_again_is_kept_only_if_they_are_parameters(run):
    run.start("word")
    run.executions()
    summary = run.start("draw")
    assert run.executions() == ["spell", "count"]
    assert summary.kept == {"judge"}


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: (path / "spell" / "letters" / "0").unlink(),
        lambda path: (path / "spell" / "letters" / "0").write_text("ww"),
        lambda path: (path / "spell" / "executor_output.json").unlink(),
    ],
    ids=["a file is gone", "a file has another size", "the result is gone"],
)
def test_a_step_whose_output_is_not_as_it_was_left_runs_again_with_its_readers(run, harm):
    run.start()
    run.executions()
    harm(run.run.path)
    run.start()
    assert run.executions() == ["spell", "count"]


def test_a_users_mistake_is_told_in_the_words_of_the_error_without_a_traceback(run):
    run.break_judge("mendable")
    with pytest.raises(StepFailed) as failure:
        run.start()
    message = str(failure.value)
    assert message.startswith("step judge: words.txt row 7: 4 letters are too many\n")
    assert "Traceback" not in message
    assert "log.txt" in message
    assert "Traceback" in run.run.log.read_text()


@pytest.mark.parametrize(
    ("fault", "told"),
    [("bug", "ZeroDivisionError: division of a word by zero"), ("killed", "memory runs out")],
)
def test_any_other_end_of_a_step_is_told_in_one_line(run, fault, told):
    run.break_judge(fault)
    with pytest.raises(StepFailed, match=told):
        run.start()


def test_a_failed_step_is_not_tried_again_until_the_user_resumes(run):
    run.break_judge("bug")
    with pytest.raises(StepFailed):
        run.start()
    assert run.executions() == ["spell", "count", "judge"]
    (run.trace / "fault").unlink()
    run.start()
    assert run.executions() == ["judge"]


def test_kfp_is_left_as_it_was(run):
    before = (
        subprocess_task_handler.SubprocessTaskHandler,
        executor_input_utils.get_local_pipeline_resource_name,
    )
    run.break_judge("bug")
    with pytest.raises(StepFailed):
        run.start()
    assert before == (
        subprocess_task_handler.SubprocessTaskHandler,
        executor_input_utils.get_local_pipeline_resource_name,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_run_ends_its_step_says_where_and_continues_later(run, number):
    run.close_gate()
    runner = run.start_apart()
    step = run.pid_of_count()
    runner.send_signal(number)
    told, _ = runner.communicate(timeout=30)
    assert (runner.returncode, told.splitlines()[-1]) == (130, "stopped in step count-letters")
    assert is_gone(step)
    assert list((run.run.path / "count-letters").iterdir()) == []
    run.executions()
    run.open_gate()
    run.start()
    assert run.executions() == ["count", "judge"]


def test_a_step_dies_with_its_killed_runner_and_the_run_continues_later(run):
    run.close_gate()
    runner = run.start_apart()
    step = run.pid_of_count()
    runner.kill()
    runner.wait()
    wait_until(lambda: is_gone(step))
    run.executions()
    run.open_gate()
    run.start()
    assert run.executions() == ["count", "judge"]


def test_two_runners_do_not_share_a_run(run):
    run.close_gate()
    runner = run.start_apart()
    run.pid_of_count()
    with pytest.raises(runs.RunError, match=f"process {runner.pid} is working on this run"):
        run.start()
    run.open_gate()
    assert runner.wait(timeout=30) == 0
