import base64
import io
import json
import pickle
import sys
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from embrl.agents import importing
from embrl.agents.architecture import Architecture
from embrl.agents.importing import import_agents, read_agent
from embrl.agents.population import Population
from embrl.core.errors import EmbrlError
from embrl.envs.gridworld import GridworldConfig
from embrl.training.evaluation import Episodes

ENV = GridworldConfig()


def linear(outputs, inputs, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "weight": rng.normal(size=(outputs, inputs)).astype(np.float32),
        "bias": rng.normal(size=outputs).astype(np.float32),
    }


def network(layers):
    """Layers by name, each (outputs, inputs)."""
    return {
        f"{name}.{part}": tensor
        for seed, (name, shape) in enumerate(layers.items())
        for part, tensor in linear(*shape, seed=seed).items()
    }


NET = {"net.0": (3, 4), "net.2": (5, 3), "net.10": (2, 5)}


def as_torch(tensors, order, activation, x):
    """What PyTorch's Linear layers compute: x W^T + b."""
    act = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}[activation]
    for number, name in enumerate(order):
        x = (act(x) if number else x) @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
    return x


def logits(agent, x):
    return np.asarray(agent.architecture.logits(agent.weights, x))


@pytest.fixture
def save(tmp_path):
    def write(tensors, name="net.safetensors"):
        save_file(
            {key: np.ascontiguousarray(tensor) for key, tensor in tensors.items()}, tmp_path / name
        )
        return tmp_path / name

    return write


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_state_dict_is_the_same_function(save, activation):
    tensors = network(NET)
    agent = read_agent(save(tensors), activation)
    assert agent.architecture == Architecture(4, (3, 5), 2, activation)
    x = np.random.default_rng(9).normal(size=(7, 4)).astype(np.float32)
    np.testing.assert_allclose(logits(agent, x), as_torch(tensors, NET, activation, x), rtol=1e-5)


def test_layers_that_numbers_do_not_order(save):
    tensors = network({"out": (2, 3), "hidden": (3, 4)})
    path = save(tensors)
    with pytest.raises(EmbrlError, match="'hidden' and 'out' differ in more than numbers"):
        read_agent(path)
    agent = read_agent(path, layers=("hidden", "out"))
    assert agent.architecture == Architecture(4, (3,), 2)
    x = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(
        logits(agent, x), as_torch(tensors, ["hidden", "out"], "tanh", x), rtol=1e-5
    )
    with pytest.raises(EmbrlError, match=r"has no tensor middle\.weight"):
        read_agent(save(network({"out": (2, 3)})), layers=("middle", "out"))


def test_numbers_of_other_kinds(save):
    tensors = network(NET)
    exact = {name: tensor.astype(np.float16).astype(np.float32) for name, tensor in tensors.items()}
    one = read_agent(save({name: tensor.astype(np.float16) for name, tensor in exact.items()}))
    other = read_agent(save({name: tensor.astype(np.float64) for name, tensor in exact.items()}))
    assert one.weights.dtype == other.weights.dtype == np.float32
    np.testing.assert_array_equal(one.weights, other.weights)


def but(tensors, **changes):
    tensors = {**tensors, **{name.replace("_", "."): value for name, value in changes.items()}}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


WRONG = {
    "unexpected": ({"log": np.zeros(2, np.float32)}, "layers .* differ in more|unexpected tensor"),
    "norm": ({"net_1_running": np.ones(3, np.float32)}, "unexpected tensor net.1.running"),
    "convolution": ({"net_0_weight": np.ones((3, 4, 2, 2), np.float32)}, "net.0.weight must be"),
    "chain": (
        {"net_2_weight": np.ones((5, 7), np.float32)},
        r"net.2.weight must be .*, 3\], got \[5, 7\]",
    ),
    "bias": ({"net_2_bias": np.ones(4, np.float32)}, r"net.2.bias must be \[5\], got \[4\]"),
    "no bias": ({"net_2_bias": None}, "has no tensor net.2.bias"),
    "nan": ({"net_2_bias": np.full(5, np.nan, np.float32)}, "net.2.bias must be finite"),
    "large": ({"net_2_bias": np.full(5, 1e300)}, "net.2.bias must be finite"),
    "whole": ({"net_2_bias": np.ones(5, np.int64)}, "net.2.bias must be .*got int64"),
    "empty": ({"net_0_weight": np.ones((3, 0), np.float32)}, "net.0.weight must be"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_state_dict_that_is_no_agent(save, what):
    changes, message = WRONG[what]
    with pytest.raises(EmbrlError, match=message):
        read_agent(save(but(network(NET), **changes)))


def test_a_file_that_is_no_state_dict(tmp_path, save, monkeypatch):
    path = tmp_path / "some.safetensors"
    path.write_bytes(b"no tensors at all")
    with pytest.raises(EmbrlError, match="not a readable safetensors"):
        read_agent(path)
    with pytest.raises(EmbrlError, match="has no layers"):
        read_agent(save({}))
    for missing, message in [
        ("a.safetensors", "missing"),
        ("a.zip", "missing"),
        ("a.pt", "state dict"),
    ]:
        with pytest.raises(EmbrlError, match=message):
            read_agent(tmp_path / missing)
    with pytest.raises(EmbrlError, match="unknown activation 'elu'"):
        read_agent(save(network(NET)), "elu")
    monkeypatch.setattr(importing, "MAX_BYTES", 100)
    with pytest.raises(EmbrlError, match="100 bytes at most"):
        read_agent(save(network(NET)))


# Zips of Stable-Baselines3

PPO = {
    "mlp_extractor.policy_net.0": (3, 4),
    "mlp_extractor.policy_net.2": (5, 3),
    "mlp_extractor.value_net.0": (6, 4),
    "action_net": (2, 5),
    "value_net": (1, 6),
}
PPO_ORDER = ("mlp_extractor.policy_net.0", "mlp_extractor.policy_net.2", "action_net")
DQN = {
    f"{net}.{number}": shape
    for net in ("q_net.q_net", "q_net_target.q_net")
    for number, shape in ((0, (3, 4)), (2, (2, 3)))
}
DQN_ORDER = ("q_net.q_net.0", "q_net.q_net.2")
DATA = {
    "policy_kwargs": {},
    "action_space": {":type:": "<class 'gymnasium.spaces.discrete.Discrete'>"},
}


def inner(member=b"weights"):
    """Of the kind that torch.save writes; what is in it is PyTorch's to read."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", member)
    return file.getvalue()


@pytest.fixture
def zipped(tmp_path):
    def write(data=DATA, policy=None, name="agent.zip", **others):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            if data is not None:
                archive.writestr("data", data if isinstance(data, str) else json.dumps(data))
            archive.writestr("policy.pth", inner() if policy is None else policy)
            for other, content in others.items():
                archive.writestr(other, content)
        return tmp_path / name

    return write


@pytest.fixture
def holds(monkeypatch):
    """What PyTorch reads from policy.pth, without PyTorch."""

    def set_(tensors):
        monkeypatch.setattr(importing, "_torch_tensors", lambda data, path: dict(tensors))

    return set_


def kwargs(activation):
    return {
        **DATA,
        "policy_kwargs": {
            ":type:": "<class 'dict'>",
            ":serialized:": "bm90IGEgcGlja2xl",
            "activation_fn": f"<class 'torch.nn.modules.activation.{activation}'>",
        },
    }


@pytest.mark.parametrize(
    ("net", "order", "hidden", "data", "activation"),
    [
        (PPO, PPO_ORDER, (3, 5), DATA, "tanh"),
        (PPO, PPO_ORDER, (3, 5), None, "tanh"),
        (PPO, PPO_ORDER, (3, 5), kwargs("ReLU"), "relu"),
        (DQN, DQN_ORDER, (3,), DATA, "relu"),
        (DQN, DQN_ORDER, (3,), kwargs("Tanh"), "tanh"),
        ({"action_net": (2, 4), "value_net": (1, 4)}, ("action_net",), (), DATA, "tanh"),
    ],
)
def test_a_zip_is_the_same_function(zipped, holds, net, order, hidden, data, activation):
    tensors = network(net)
    holds(tensors)
    agent = read_agent(zipped(data))
    assert agent.architecture == Architecture(4, hidden, 2, activation)
    x = np.random.default_rng(9).normal(size=(7, 4)).astype(np.float32)
    np.testing.assert_allclose(logits(agent, x), as_torch(tensors, order, activation, x), rtol=1e-5)
    assert read_agent(zipped(data), "relu").architecture.activation == "relu"


@pytest.mark.parametrize(
    ("net", "message"),
    [
        ({**PPO, "log_std": (1, 1)}, "unexpected tensor log_std.weight"),
        ({**PPO, "features_extractor.cnn.0": (3, 4)}, "unexpected tensor features_extractor"),
        ({**PPO, "mlp_extractor.shared_net.0": (3, 4)}, "unexpected tensor mlp_extractor.shared"),
        ({**PPO, "action_net": (2, 6)}, r"action_net.weight must be \[outputs, 5\], got \[2, 6\]"),
        ({"actor.mu": (2, 4)}, "unexpected tensor actor.mu"),
        ({**DQN, **PPO}, "unexpected tensor mlp_extractor.policy"),
    ],
)
def test_a_policy_of_other_layers(zipped, holds, net, message):
    holds(network(net))
    with pytest.raises(EmbrlError, match=message):
        read_agent(zipped())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("no JSON", "data is not JSON"),
        ("[" * 100_000, "data is not JSON"),
        (kwargs("ELU"), "activation must be Tanh or ReLU, got .*ELU'>"),
        (
            {"action_space": {":type:": "<class 'gymnasium.spaces.multi_discrete.MultiDiscrete'>"}},
            "action space must be Discrete, got .*MultiDiscrete",
        ),
    ],
)
def test_data_of_other_policies(zipped, holds, data, message):
    holds(network(PPO))
    with pytest.raises(EmbrlError, match=message):
        read_agent(zipped(data))


class Evil:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_pickles_outside_policy_pth_are_never_loaded(tmp_path, zipped, holds):
    holds(network(PPO))
    mark = tmp_path / "ran"
    evil = pickle.dumps(Evil(mark))
    text = base64.b64encode(evil).decode()
    data = {**DATA, **{name: {":serialized:": text} for name in ("policy_class", "lr_schedule")}}
    path = zipped(data, **{"pytorch_variables.pth": evil, "../../elsewhere": b"x"})
    before = set(tmp_path.iterdir())
    assert read_agent(path).architecture.hidden == (3, 5)
    assert set(tmp_path.iterdir()) == before
    assert not (tmp_path.parent.parent / "elsewhere").exists()
    pickle.loads(evil)
    assert mark.exists()  # had it been loaded, this would have been there


def test_a_zip_bomb_is_not_unpacked(zipped, holds, monkeypatch):
    holds(network(PPO))
    monkeypatch.setattr(importing, "MAX_BYTES", 100_000)
    bomb = "0" * 100_001
    with pytest.raises(EmbrlError, match="data must have 100,000 bytes at most, got 100,001"):
        read_agent(zipped(bomb))
    with pytest.raises(
        EmbrlError, match=r"policy\.pth must have 100,000 bytes at most, got 100,001"
    ):
        read_agent(zipped(policy=bomb))


def test_a_zip_that_is_none(tmp_path, zipped):
    path = zipped()
    data = path.read_bytes()
    path.write_bytes(b"no zip")
    with pytest.raises(EmbrlError, match="is not a zip"):
        read_agent(path)
    path.write_bytes(data[:-30])
    with pytest.raises(EmbrlError, match="is not a zip"):
        read_agent(path)
    at = data.index(b"policy.pth") + 20
    path.write_bytes(data[:at] + bytes(8) + data[at + 8 :])
    with pytest.raises(EmbrlError, match=r"agent\.zip"):
        read_agent(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something", "else")
    with pytest.raises(EmbrlError, match=r"has no policy\.pth"):
        read_agent(path)
    with pytest.raises(EmbrlError, match="layers must not be given"):
        read_agent(path, layers=("a", "b"))


class FakeTensor:
    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def to(self, dtype):
        return FakeTensor(self.values.astype(dtype))

    def numpy(self):
        return self.values


@pytest.fixture
def fake_torch(monkeypatch):
    """PyTorch as far as it is used here."""

    def install(state, version="2.10.0+cpu"):
        def load(file, *, map_location, weights_only):
            assert weights_only is True
            assert map_location == "cpu"
            if isinstance(state, Exception):
                raise state
            return state

        fake = types.SimpleNamespace(__version__=version, float32=np.float32, load=load)
        monkeypatch.setattr(importing, "require", lambda module, extra: fake)

    return install


def test_policy_pth_is_read_as_weights_only(zipped, fake_torch, monkeypatch):
    fake_torch({name: FakeTensor(tensor) for name, tensor in network(PPO).items()})
    assert read_agent(zipped()).architecture == Architecture(4, (3, 5), 2)
    with pytest.raises(EmbrlError, match=r"policy\.pth must be written by PyTorch 1.6"):
        read_agent(zipped(policy=pickle.dumps([1])))
    monkeypatch.setattr(importing, "MAX_BYTES", 1000)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(5000))
    with pytest.raises(EmbrlError, match=r"policy\.pth must have 1,000 bytes at most, got 5,000"):
        read_agent(zipped(policy=file.getvalue()))
    for strange in ([1, 2], {"a": 1}, ValueError("Weights only load failed.\nMore")):
        fake_torch(strange)
        with pytest.raises(EmbrlError, match=r"policy\.pth must contain weights alone"):
            read_agent(zipped())
    fake_torch({}, "2.9.1")
    with pytest.raises(EmbrlError, match=r"torch must be 2.10 .* got 2\.9\.1"):
        read_agent(zipped())


def test_without_pytorch_the_extra_is_named(zipped, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(EmbrlError, match=r"pip install 'embrl\[torch\]'"):
        read_agent(zipped())


def torch_or_skip():
    return pytest.importorskip("torch", reason="needs the extra: pip install 'embrl[torch]'")


def test_a_policy_pth_of_pytorch_itself(zipped):
    torch = torch_or_skip()
    file = io.BytesIO()
    tensors = network(PPO)
    torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, file)
    agent = read_agent(zipped(policy=file.getvalue()))
    x = np.ones((1, 4), np.float32)
    np.testing.assert_allclose(logits(agent, x), as_torch(tensors, PPO_ORDER, "tanh", x), rtol=1e-5)


def test_a_malicious_policy_pth_does_not_run(tmp_path, zipped):
    torch = torch_or_skip()
    file = io.BytesIO()
    torch.save({"action_net.weight": Evil(tmp_path / "ran")}, file)
    with pytest.raises(EmbrlError, match=r"policy\.pth must contain weights alone"):
        read_agent(zipped(policy=file.getvalue()))
    assert not (tmp_path / "ran").exists()


# Into a population


def evaluate(architecture, weights):
    returns = np.arange(3.0) + 10 * np.arange(len(weights))[:, None]
    return Episodes(returns, np.full((len(weights), 3), 4))  # type: ignore[arg-type]


def test_files_become_a_population_and_are_added_to_one(tmp_path, save):
    paths = [
        save({k: v + n for k, v in network(NET).items()}, f"{n}.safetensors") for n in range(3)
    ]
    import_agents(paths[:2], tmp_path / "some", "gridworld", ENV, evaluate)
    found = import_agents(paths[2:], tmp_path / "some", "gridworld", ENV, evaluate)
    assert (found.count, found.episodes) == (3, 3)
    assert (found.environment, found.env) == ("gridworld", ENV)
    for path, weights in zip(paths, found.weights(), strict=True):
        np.testing.assert_array_equal(read_agent(path).weights, weights)
    table = found.table()
    assert table["lineage"].tolist() == [0, 1, 2]
    assert table["step"].tolist() == [0, 0, 0]
    assert table["seed"].tolist() == [-1, -1, -1]
    assert table["return_mean"].tolist() == [1, 11, 1]
    np.testing.assert_allclose(table["return_std"], np.sqrt(2 / 3), rtol=1e-6)
    assert table["survival_mean"].tolist() == [4, 4, 4]


def test_what_does_not_go_together(tmp_path, save):
    out = tmp_path / "some"
    one = save(network(NET), "one.safetensors")
    other = save(network({"net.0": (2, 4)}), "other.safetensors")
    with pytest.raises(EmbrlError, match=r"got 4-2 tanh in .*other\.safetensors and 4-3-5-2 tanh"):
        import_agents([one, other], out, "gridworld", ENV, evaluate)
    with pytest.raises(EmbrlError, match=r"files must be .* got none"):
        import_agents([], out, "gridworld", ENV, evaluate)
    assert not out.exists()
    import_agents([one], out, "gridworld", ENV, evaluate)

    def fewer(architecture, weights):
        return Episodes(*(part[:, :2] for part in evaluate(architecture, weights)[:2]))

    wrong = [
        ([other], "gridworld", ENV, evaluate, "4-3-5-2 tanh .* got 4-2 tanh"),
        ([one], "slot_machine", ENV, evaluate, "environment must be gridworld .* got slot_machine"),
        (
            [one],
            "gridworld",
            GridworldConfig(actuators=3),
            evaluate,
            "must be gridworld .*actuators=9.* got .*actuators=3",
        ),
        ([one], "gridworld", ENV, fewer, "episodes must be 3 .* got 2"),
    ]
    for paths, name, env, measure, message in wrong:
        with pytest.raises(EmbrlError, match=message):
            import_agents(paths, out, name, env, measure)
    assert Population(out).count == 1
