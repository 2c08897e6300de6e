"""What needs no browser: what is in a page, what is refused, and the server."""

import importlib
import json
import re
import sys
import threading
import urllib.error
import urllib.request
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest

import embrl
from embrl.agents.canonical import canonical
from embrl.cli import main
from embrl.core.errors import EmbrlError
from embrl.explorer.page import column
from embrl.explorer.serve import server_of
from embrl.loading import load_run

sys.path.append(str(Path(__file__).parents[1] / "agents"))  # for `skilled`


def data_of(page: Path) -> dict:
    text = page.read_text()
    assert not re.search(r"(src|href)=", text)  # nothing is loaded from anywhere
    return json.loads(re.search(r'id="data">(.*)</script>', text).group(1))  # type: ignore


def array(packed: dict) -> np.ndarray:
    return np.frombuffer(b64decode(packed["data"]), packed["type"]).reshape(packed["shape"])


def test_a_run_is_explored_by_its_folder(trained, tmp_path, capsys):
    assert main(["explore", str(trained.path), "--out", f"{tmp_path}/new/run.html"]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path}/new/run.html"
    data = data_of(tmp_path / "new/run.html")
    assert [view["key"] for view in data["views"]] == ["S", "X", "A", "E"]
    run = load_run(trained.path)
    assert (array(data["clouds"]["states"]["vectors"]) == run.embedding().phi(range(100))).all()
    chosen = [run.policy().act(at, deterministic=True) for at in (0, 50, 99)]
    assert array(data["policy"]["action"])[[0, 50, 99]].tolist() == chosen
    assert data["walk"]["bins"] == 10


def test_an_embedding_is_explored_without_excluded_actions_and_with_metadata(trained, tmp_path):
    embedding = load_run(trained.path).embedding().without([2, 3])
    prices = {"price": np.arange(6) / 2}
    page = embrl.explore(embedding, tmp_path / "a.html", metadata=prices, max_points=50)
    actions = data_of(page)["clouds"]["actions"]
    assert array(actions["ids"]).tolist() == [0, 1, 4, 5, 6, 7]
    (price,) = [each for each in actions["columns"] if each["name"] == "price"]
    assert array(price["values"]).tolist() == (np.arange(6) / 2).tolist()
    assert data_of(page)["clouds"]["states"]["ids"]["shape"] == [50]
    assert data_of(page)["walk"] is None


def test_columns_keep_their_values():
    assert array(column("a", np.array([1, 2**40]))["values"]).tolist() == [1, 2**40]
    flags = column("b", np.array([True, False]))
    assert [flags["labels"][at] for at in array(flags["values"])] == ["true", "false"]
    texts = column("c", np.array(["y", "x", "y"], object))
    assert [texts["labels"][at] for at in array(texts["values"])] == ["y", "x", "y"]


def test_weights_of_agents_have_components_that_lead_back(tmp_path):
    made = importlib.import_module("skilled").population(tmp_path / "population", 3, 4)
    data = data_of(embrl.explore(made))
    z = array(data["clouds"]["agents"]["vectors"])
    decoder = data["agents"]["decoder"]
    (layer,) = decoder["layers"]
    back = array(decoder["mean"]) + z @ array(layer["weight"])  # 11 components hold 12 agents
    assert back == pytest.approx(canonical(made.architecture, made.weights()), abs=1e-3)


def test_what_is_wrong_is_said_in_one_line(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "umap", None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    run = str(trained.path)
    for arguments, said in [
        ([run, "--out", "config.json"], "out must be a file that ends in .html, got config.json"),
        ([run, "--projection", "umap"], r"pip install 'embrl\[explore\]'"),
        ([run, "--seed", "7"], "seed of .* must be in 0 to 1, got 7"),
        ([run, "--max-points", "1"], "max_points must be 2 or more, got 1"),
        ([run, "--embedding", run], "embedding must be left out"),
        (["empty", "--out", "a.html"], "path must be a folder that embrl wrote"),
        (["nowhere"], "source must be a folder that embrl wrote, got nowhere"),
    ]:
        assert main(["explore", *arguments]) == 2
        assert re.search(said, capsys.readouterr().err), arguments
    assert not list(tmp_path.glob("*.html"))
    with pytest.raises(EmbrlError, match="source must be a run, an embedding or a population"):
        embrl.explore(3, "a.html")


def test_a_page_is_served_on_this_machine_alone(tmp_path):
    (tmp_path / "page.html").write_text("<p>here</p>")
    with server_of(tmp_path / "page.html", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"
        with urllib.request.urlopen(f"http://{host}:{port}/") as answer:
            assert answer.read() == b"<p>here</p>"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://{host}:{port}/../etc/passwd")
        with pytest.raises(EmbrlError, match="--port"):
            server_of(tmp_path / "page.html", port)
        server.shutdown()
