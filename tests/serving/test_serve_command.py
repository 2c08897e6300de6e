"""`embrl serve`: what is wrong is said before anything is served."""

import socket

import pytest
from small_policies_of_numpy import policy

from embrl.cli import main
from embrl.serving.app import Rates


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--port", "70000"], "--port must be 0 to 65535"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid --port 8000"),
        (["--max-body", "0"], "max_body must be greater than 0"),
        (["--rate", "-1"], "rate must be at least 0"),
        (["--port", "0", "--filter", "x"], "--filter must be left out where there is no --store"),
        (["--port", "0", "--store", "shop"], "policy must be a run folder to serve a store"),
    ],
)
def test_wrong_settings_are_refused(tmp_path, capsys, flags, said):
    pytest.importorskip("uvicorn", reason="pip install 'embrl[serve]'")
    policy().write(tmp_path / "policy")
    assert main(["serve", str(tmp_path / "policy"), *flags]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


def test_a_port_in_use_is_one_line(tmp_path, capsys):
    pytest.importorskip("uvicorn", reason="pip install 'embrl[serve]'")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(tmp_path), "--port", port]) == 2
    assert f"--port {port}: " in capsys.readouterr().err


def test_a_client_may_ask_as_often_as_its_rate_says():
    now = [0.0]
    rates = Rates(2.0, lambda: now[0])
    assert [rates.admits("a") for _ in range(5)] == [True] * 4 + [False]
    assert rates.admits("b")  # another one
    now[0] = 1.0
    assert [rates.admits("a") for _ in range(3)] == [True, True, False]
