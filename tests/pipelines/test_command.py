"""The `intent` command: help, exit codes and how mistakes are told."""

import errno
import subprocess
import sys

import pytest

from pipelines.command import main
from pipelines.local import runs


def test_help_starts_without_the_heavy_libraries():
    script = (
        "import sys; from pipelines.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'kfp', 'torch', 'numpy', 'pyarrow', 'pydantic', 'rich', 'yaml'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(command in shown for command in ("run", "report", "suggest", "compile"))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("run", ["--recipe", "--set", "--resume", "--runs"]),
        ("report", ["--run", "--runs"]),
        ("suggest", ["--member", "--actions", "--surface", "-k", "--run"]),
        ("compile", ["--pipeline", "--format", "--image", "--queue", "--output"]),
        ("serve", ["--down", "--port", "--run"]),
        ("fortnight", ["--days", "--visits", "--seed", "--run"]),
        ("variant", ["register", "list"]),
        ("store", ["status", "get", "push", "rollback", "delete"]),
        ("experiment", ["list", "ramp", "stop", "status", "analyse"]),
    ],
)
def test_the_help_of_a_command_names_its_options(command, options, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert all(option in shown for option in options)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["run", "--set", "seed"],
        ["suggest"],
        ["suggest", "--member", "ann", "--actions", "visitor.csv"],
        ["suggest", "--member", "ann", "--surface", "email"],
        ["suggest", "--member", "ann", "-k", "0"],
        ["experiment", "ramp", "ranker", "full", "many"],
    ],
)
def test_a_wrong_command_line_is_refused_with_the_usage(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: intent" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--recipe", "quickstat"], "did you mean quickstart?"),
        (["run", "--set", "pretrain.epoch=1"], "did you mean pretrain.epochs?"),
        (["run", "--resume"], "no unfinished run of recipe 'quickstart'"),
        (["run", "--resume", "yesterday"], "no run 'yesterday'"),
        (["report"], "no run 'latest'"),
        (["suggest", "--member", "ann"], "no run 'latest'"),
        (["serve"], "no run 'latest'"),
        (["fortnight"], "no run 'latest'"),
        (["store", "push"], "no run 'latest'"),
        (["store", "get", "ann"], "no store here"),
        (["experiment", "list"], "no such directory of experiments"),
        (["experiment", "ramp", "ranker", "full", "5"], "no such directory of experiments"),
        (["variant", "list", "ranker-full"], "holds no variant ranker-full"),
        (["variant", "register", "nowhere"], "nowhere: no package"),
    ],
)
def test_a_mistake_is_one_message_exit_code_1_and_nothing_written(
    arguments, told, tmp_path, capsys
):
    assert main([*arguments, "--runs", str(tmp_path / "runs")]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("intent: ")
    assert told in shown.err
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_recipe_is_not_continued(tmp_path, capsys):
    run = runs.create("shopping", "shopping", {}, root=tmp_path)
    arguments = ["run", "--recipe", "quickstart", "--resume", run.path.name]
    assert main([*arguments, "--runs", str(tmp_path)]) == 1
    assert "is a run of recipe shopping, not of quickstart" in capsys.readouterr().err


def test_a_run_without_a_report_has_none_to_print(tmp_path, capsys):
    run = runs.create("quickstart", "quickstart", {}, root=tmp_path)
    assert main(["report", "--run", run.path.name, "--runs", str(tmp_path)]) == 1
    assert f"intent run --resume {run.path.name}" in capsys.readouterr().err


def test_a_full_disk_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    def fill(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device", "runs/log.txt")

    monkeypatch.setattr(runs, "create", fill)
    assert main(["run", "--runs", str(tmp_path)]) == 1
    assert "No space left on device: 'runs/log.txt'" in capsys.readouterr().err


def test_an_interrupt_before_the_first_step_exits_with_130(tmp_path, capsys, monkeypatch):
    def interrupt(*arguments, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "create", interrupt)
    assert main(["run", "--runs", str(tmp_path)]) == 130
    assert capsys.readouterr().err.strip() == "intent: stopped"
