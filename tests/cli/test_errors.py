import subprocess
import sys

import pytest

from embrl.cli import main

pytestmark = pytest.mark.usefixtures("quick")


def error_of(capsys, *arguments: str) -> str:
    """Run a command that must fail; return its one line on standard error."""
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("embrl: ")
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    return err


def train(capsys, *flags: str) -> str:
    return error_of(capsys, "train", "gridworld", *flags)


def test_an_unknown_command_offers_the_nearest(capsys):
    assert "unknown command 'trian': did you mean train?" in error_of(capsys, "trian")


def test_an_unknown_environment_offers_the_nearest(capsys):
    message = error_of(capsys, "train", "gridwrold")
    assert (
        "unknown environment 'gridwrold': did you mean gridworld or continuous_gridworld?"
        in message
    )


def test_no_environment_says_which_there_are(capsys):
    assert "one of gridworld, recommender" in error_of(capsys, "train")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--env.actuatorz", "3"], ["'--env.actuatorz': did you mean --env.actuators"]),
        (["--sedes", "3"], ["unknown flag '--sedes'", "--seeds"]),
        (["--seeds", "many"], ["--seeds must be a whole number, got many"]),
        (["--seeds", "1", "2"], ["--seeds must be a whole number, got 1 2"]),
        (["--seeds"], ["--seeds must be a whole number, got nothing"]),
        (["--policy.bounded", "3"], ["--policy.bounded", "got 3"]),
        (["--env.walls", "brick"], ["--env.walls must be one of released, swept, got brick"]),
        (["--env.goal", "0", "1"], ["--env.goal must be 4 values, each a number, got 0 1"]),
        (["--method", "jsea"], ["unknown method 'jsea': did you mean jsae?"]),
        (["--algorithm", "vgp"], ["unknown algorithm 'vgp': did you mean vpg?"]),
        (["--settings", "bets"], ["unknown settings 'bets': did you mean best?"]),
        (
            ["--method", "none", "--embedding.state-dim", "3"],
            ["embedding.state_dim", "method none"],
        ),
        (["--env.actuators", "0"], ["env.actuators", "0", "2", "12"]),
        (
            ["--policy.hidden", "8", "9" * 12],
            ["policy.hidden must be at most 2,147,483,647", "999"],
        ),
        (["--ppo.actor-lr", "1e39"], ["ppo.actor_lr must be at most 3.4e+38, got 1e+39"]),
        (["--pretrain.timesteps", "1"], ["pretrain.timesteps must be at least 60", "got 1"]),
        (["--policy.hidden=--"], ["--policy.hidden=--: cannot be read"]),
        (["--env.actuators", "40"], ["env.actuators", "40", "2", "12"]),
        (["--env.start", "0.1", "0.38"], ["env.start", "(0.1, 0.38)", "obstacle"]),
        (["--total-timesteps", "10"], ["total_timesteps must be at least", "got 10"]),
        (["--embedding.ring", "8"], ["embedding.ring must be 0", "got 8"]),
        (["extra"], ["--out", "extra"]),
        (["--env.reels.0", "3"], ["unknown flag '--env.reels.0'"]),
    ],
)
def test_a_wrong_flag_is_named_with_what_it_takes(capsys, tmp_path, flags, said):
    message = train(capsys, "--out", str(tmp_path / "run"), *flags)
    for part in said:
        assert part in message
    assert not (tmp_path / "run").exists()


def test_an_image_that_no_layers_take_leaves_nothing_behind(capsys, tmp_path):
    run = tmp_path / "run"
    flags = ["--embedding.image-layers", "nature", "--out", str(run)]
    for method in ("jsae", "none"):
        message = error_of(capsys, "train", "traffic_lights", "--method", method, *flags)
        assert "embedding.image_layers must be small" in message
        assert "12 x 12, got nature" in message
    assert not run.exists()


def test_a_word_that_no_flag_takes_is_named(capsys):
    assert "unexpected argument 'extra'" in train(capsys, "extra", "--seeds", "1")


def test_items_of_lists_of_lists_have_flags_of_their_own(capsys):
    message = error_of(capsys, "train", "slot_machine", "--env.reels.0", "many")
    assert "--env.reels.0 must be any number of values" in message
    assert "many" in message


def test_an_out_folder_with_something_else_is_refused(capsys, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    assert f"{tmp_path} exists and is not a run folder" in train(capsys, "--out", str(tmp_path))


def test_a_recommender_without_a_log_says_so(capsys):
    assert "env.data" in error_of(capsys, "train", "recommender")


def test_resuming_where_there_is_no_run_says_so(capsys, tmp_path):
    message = error_of(capsys, "train", "--resume", "--out", str(tmp_path))
    assert f"{tmp_path} is not a run folder: it has no config.json" in message


def test_a_damaged_configuration_names_the_file_and_the_entry(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"format": 2, "environment": "gridworld"}')
    assert "config.json lacks" in error_of(capsys, "train", "--resume", "--out", str(tmp_path))
    (tmp_path / "config.json").write_text('{"environment": ')
    assert "is damaged" in error_of(capsys, "plot", str(tmp_path))


def test_a_run_folder_of_another_format_names_the_version_that_reads_it(capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"environment": "gridworld"}')
    message = error_of(capsys, "train", "--resume", "--out", str(tmp_path))
    assert "config.json has format 1" in message
    assert "embrl 0.1" in message


@pytest.mark.parametrize("command", ["plot", "compare"])
def test_a_folder_without_a_run_is_named(capsys, tmp_path, command):
    message = error_of(capsys, command, str(tmp_path))
    assert str(tmp_path) in message
    assert "config.json" in message


def test_comparing_nothing_says_what_to_give(capsys):
    assert "embrl compare RUN RUN" in error_of(capsys, "compare")


@pytest.mark.parametrize("command", [[], ["train"], ["plot"], ["compare"], ["train", "gridworld"]])
def test_every_level_has_help(capsys, command):
    assert main([*command, "--help"]) == 0
    assert "embrl" in capsys.readouterr().out


def test_a_reader_that_has_had_enough_is_no_error():
    command = subprocess.Popen(
        [sys.executable, "-m", "embrl", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert command.stdout is not None
    command.stdout.close()
    _, said = command.communicate()
    assert (command.returncode, said) == (141, b"")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train", "embrl: interrupted; --resume continues from the last checkpoint\n"),
        ("reproduce", "embrl: interrupted; the same command continues from the last checkpoint\n"),
        ("fit", "embrl: interrupted\n"),
    ],
)
def test_an_interruption_says_how_to_go_on(capsys, monkeypatch, command, said):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["embrl.cli.main"], "_run", interrupted)
    assert main([command]) == 130
    assert capsys.readouterr().err == said


def test_a_quoted_tilde_is_the_home_folder(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for flags in (["--out", "~/there"], ["--out=~/there"]):
        (tmp_path / "there").mkdir(exist_ok=True)
        (tmp_path / "there" / "mine").touch()
        assert f"{tmp_path}/there exists and is not a run folder" in train(capsys, *flags)
    assert "~/there" in error_of(capsys, "play", "a~/there")


def test_what_the_system_refuses_is_one_line(capsys, tmp_path):
    assert "File name too long" in train(capsys, "--out", "x" * 300)
    assert "File name too long" in error_of(capsys, "play", str(tmp_path / ("x" * 300)))
