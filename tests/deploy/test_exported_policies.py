"""Exported policies against the policies in JAX that they were made of."""

import dataclasses
import hashlib
import json
import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from small_policies import batch, exported, inf, policy

from embrl.algorithms.actors import GaussianActor
from embrl.algorithms.critics import ModelScorer
from embrl.algorithms.policy import OverallPolicy
from embrl.core.errors import EmbrlError
from embrl.decoding import BestAction, NearestAction, Wolpertinger
from embrl.deploy.array_forms import Forms
from embrl.deploy.convert import portable_policy
from embrl.deploy.export import onnx_model
from embrl.deploy.exported import ExportedPolicy
from embrl.embedding.encoders import Norm, RawStates
from embrl.portable.steps import Chain, Nearest, from_json
from embrl.training.trained_policy import Policy

ROWS = 10_000


def f32(values: Any) -> np.ndarray:
    return np.array(values, np.float32)


def i64(values: Any) -> np.ndarray:
    return np.array(values, np.int64)


RAW = RawStates(spaces.Discrete(40))
ACTOR = GaussianActor((40,), 2, (4,), std=0.5, bounded=True, key=jax.random.key(0))
TABLE = jnp.zeros((3, 2))
FORMS = Forms.of(spaces.Discrete(40), spaces.Discrete(3))

CASES: dict[str, tuple[spaces.Space, spaces.Space, dict[str, Any]]] = {
    "discrete": (spaces.Discrete(40, start=3), spaces.Discrete(90, start=-1), {}),
    "factors": (
        spaces.MultiDiscrete([3, 5, 2]),
        spaces.MultiDiscrete(i64([[3, 4], [2, 2]]), start=i64([[1, 0], [0, 5]])),
        {"algorithm": "ppo", "f": "softmax"},
    ),
    "numbers": (
        spaces.Box(-inf, inf, (2, 3), np.float64),
        spaces.Box(-2, 2, (2, 2), np.float64),
        {"algorithm": "sac"},
    ),
    "raw": (
        spaces.MultiBinary([2, 2]),
        spaces.MultiBinary(4),
        {"method": "none", "algorithm": "sac"},
    ),
    "scored": (
        spaces.Box(np.float64(-1), np.float64(1), (3,), np.float64),
        spaces.Discrete(30),
        {"algorithm": "sac", "f": "wolpertinger", "k": 5},
    ),
    "scored of all": (
        spaces.MultiDiscrete([7, 6]),
        spaces.Discrete(30),
        {"method": "ra", "algorithm": "sac", "f": "best"},
    ),
    "raw numbers": (
        spaces.Box(f32([-1, -inf, 0]), f32([3, inf, inf])),
        spaces.Box(i64([-3, 0]), i64([3, 9]), dtype=np.int64),
        {"method": "none", "algorithm": "ppo"},
    ),
    "numbers as they are": (
        spaces.Box(-inf, inf, (3,)),
        spaces.Box(f32([-1, -2]), f32([3, 2])),
        {"algorithm": "sac", "embedding": {"action_dim": 2, "action_network": False}},
    ),
    "both": (
        spaces.Box(f32([-1, -inf, -inf]), f32([1, inf, inf])),
        spaces.Discrete(30),
        {"inputs": "both", "normalise": "scale_down_only"},
    ),
    "codes": (
        spaces.MultiDiscrete([3, 5, 2]),
        spaces.Discrete(30),
        {"algorithm": "ppo", "inputs": "both"},
    ),
    "scored of both": (
        spaces.Box(-inf, inf, (3,)),
        spaces.Discrete(30),
        {"algorithm": "sac", "f": "wolpertinger", "k": 5, "inputs": "both"},
    ),
    "numbers from both": (
        spaces.Box(-inf, inf, (3,)),
        spaces.Box(f32([-1, -2]), f32([3, 2])),
        {"algorithm": "sac", "inputs": "both"},
    ),
    "squashed": (
        spaces.Box(-inf, inf, ()),
        spaces.Discrete(30),
        {"method": "none", "normalise": "squash"},
    ),
    "left alone": (
        spaces.Box(f32([-1, -inf, -inf]), f32([1, inf, inf])),
        spaces.Discrete(30),
        {"method": "none", "normalise": "off"},
    ),
    "scaled down": (
        spaces.Box(f32([-inf, -inf]), f32([inf, inf])),
        spaces.Discrete(30),
        {"method": "none", "normalise": "scale_down_only"},
    ),
    "reinforced actions": (
        spaces.Box(f32([-1, -2]), f32([3, 2])),
        spaces.MultiBinary([2, 2]),
        {"method": "ra", "bounded": False},
    ),
}


# What each half of them says is said by another case.
COMBINED = {"numbers from both"}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.slow if name in COMBINED else ()) for name in CASES
    ],
)
def case(request: pytest.FixtureRequest) -> tuple[Policy, ExportedPolicy, np.ndarray]:
    observations, actions, options = CASES[request.param]
    jaxs = policy(observations, actions, **options)
    return jaxs, exported(jaxs), batch(observations, ROWS)


def same(found: np.ndarray, truth: np.ndarray, form: Any) -> None:
    """Equal; numbers, within 1e-5 of the range."""
    assert found.dtype == form.dtype
    assert found.shape == (ROWS, *form.shape)
    if not form.dtype.startswith("float"):
        np.testing.assert_array_equal(found, truth)
    else:
        np.testing.assert_allclose(found, truth, atol=1e-5 * np.ptp(truth), rtol=0)


def noises(policy: Policy, seen: np.ndarray, mask: Any = None) -> tuple[np.ndarray, Any]:
    """Noise of as many actions, in one array, and the actions that it makes."""
    host: Any = policy.host
    noise = policy.overall.noise(jax.random.key(5), (ROWS,))
    act = jax.jit(lambda policy, seen, noise, mask: policy.act(seen, noise, mask)[0])
    action = np.asarray(act(policy.overall, host.observations(seen), noise, mask))
    columns = [np.asarray(part).reshape(ROWS, -1) for part in noise if part is not None]
    return np.concatenate(columns, -1), host.actions.to_original(action)


def test_the_folder_and_its_code_act_as_the_policy_does(case, tmp_path: Path) -> None:
    jaxs, plain, seen = case
    plain.write(tmp_path / "policy")
    read = ExportedPolicy.read(tmp_path / "policy")
    program: Any = runpy.run_path(str(tmp_path / "policy" / "policy.py"))["act"]
    truth = jaxs.act(seen, deterministic=True)
    for act in (read.act, program):
        same(act(seen), truth, plain.action)
        np.testing.assert_allclose(act(seen[7]), truth[7], rtol=2e-5, atol=1e-5)
    noise, truth = noises(jaxs, seen)
    for act in (read.act, program):
        same(act(seen, noise), truth, plain.action)


def test_the_onnx_file_acts_as_the_policy_does(case) -> None:
    pytest.importorskip("onnx", reason="pip install 'embrl[export]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'embrl[dev]'")
    jaxs, plain, seen = case

    def run(stochastic: bool, **inputs: np.ndarray) -> np.ndarray:
        model = onnx_model(plain, stochastic=stochastic)
        session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
        assert [one.name for one in session.get_inputs()] == list(inputs)
        notes = session.get_modelmeta().custom_metadata_map
        assert ("noise" in notes) == stochastic
        assert notes["run"] == "run"
        return session.run(["action"], inputs)[0]

    seen = seen.astype(plain.observation.dtype)
    same(run(False, observation=seen), jaxs.act(seen, deterministic=True), plain.action)
    noise, truth = noises(jaxs, seen)
    same(run(True, observation=seen, noise=noise), truth, plain.action)


def test_masks_are_kept_to_in_every_form(case, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="pip install 'embrl[export]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'embrl[dev]'")
    jaxs, plain, seen = case
    if not plain.action.whole:
        with pytest.raises(EmbrlError, match="mask must be None"):
            onnx_model(plain, mask=True)
        return
    rng, n = np.random.default_rng(1), plain.action.count
    mask = rng.random((ROWS, n)) < 0.2
    mask[np.arange(ROWS), rng.integers(n, size=ROWS)] = True
    plain.write(tmp_path / "policy")
    program: Any = runpy.run_path(str(tmp_path / "policy" / "policy.py"))["act"]
    noise, drawn = noises(jaxs, seen, mask)
    for given, truth in ((None, jaxs.act(seen, mask=mask, deterministic=True)), (noise, drawn)):
        host: Any = jaxs.host
        assert mask[np.arange(ROWS), host.actions.from_original(truth)].all()
        for act in (plain.act, program):
            same(act(seen, given, mask), truth, plain.action)
        model = onnx_model(plain, stochastic=given is not None, mask=True)
        session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
        inputs = {"observation": seen.astype(plain.observation.dtype), "mask": mask}
        inputs |= {} if given is None else {"noise": given}
        same(session.run(["action"], inputs)[0], truth, plain.action)


def test_the_nearest_of_allowed_actions_in_onnx_and_in_a_program(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="pip install 'embrl[export]'")
    runtime = pytest.importorskip("onnxruntime", reason="pip install 'embrl[dev]'")
    plain = ExportedPolicy.read(folder)
    (nearest,) = plain.policy.f.steps
    assert isinstance(nearest, Nearest)
    allowed = np.arange(12) % 3 == 1
    f = Chain((Nearest.of(nearest.columns.T, allowed),))
    plain = dataclasses.replace(plain, policy=dataclasses.replace(plain.policy, f=f))
    plain.write(tmp_path / "policy")
    found = ExportedPolicy.read(tmp_path / "policy").act(np.arange(40))
    assert set(found) <= {1, 4, 7, 10}
    program: Any = runpy.run_path(str(tmp_path / "policy" / "policy.py"))["act"]
    np.testing.assert_array_equal(program(np.arange(40)), found)
    session = runtime.InferenceSession(onnx_model(plain), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"observation": np.arange(40)})[0], found)


@pytest.mark.parametrize("f", [Wolpertinger(4), BestAction()])
def test_a_policy_that_asks_the_learned_model_is_refused(f: Any) -> None:
    model: Any = ModelScorer(None, None, (), Norm.none(2))  # type: ignore[arg-type]
    with pytest.raises(EmbrlError, match=r"decoder\.scorer must be critic.*asks the learned model"):
        portable_policy(OverallPolicy(RAW, ACTOR, f, TABLE, model), FORMS)


def test_an_actor_of_ones_own_is_refused() -> None:
    class Own:
        pass

    with pytest.raises(EmbrlError, match="Own has no form outside of JAX"):
        portable_policy(OverallPolicy(RAW, Own(), NearestAction(), TABLE), FORMS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "policy"
    exported(policy(spaces.Discrete(40), spaces.Discrete(12))).write(path)
    return path


def test_bad_observations_and_noise_are_named(folder: Path) -> None:
    plain = ExportedPolicy.read(folder)
    with pytest.raises(EmbrlError, match=r"row 2 must be 0 to 39, got 40"):
        plain.act([1, 2, 40])
    with pytest.raises(EmbrlError, match=r"row 0 must be .* got nan"):
        plain.act(np.nan)
    with pytest.raises(EmbrlError, match=r"row 1 must be .* got 1.5"):
        plain.act([1.0, 1.5])
    with pytest.raises(EmbrlError, match=r"noise must have shape \[2\], got \[3\]; it is float32"):
        plain.act(4, np.zeros(3))
    with pytest.raises(EmbrlError, match="noise must be finite"):
        plain.act(4, np.full(2, 1e300))
    with pytest.raises(EmbrlError, match="observation must be an array of numbers"):
        plain.act([[1], [1, 2]])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda text: text.replace('"format": 2', '"format": 1'), "got 1; .* use embrl 0.1.0"),
        (lambda text: text.replace('"format": 2', '"format": 9'), "format 2 .*got 9; use a newer"),
        (lambda text: text.replace('"kind": "policy"', '"kind": "x"'), "must describe a policy"),
        (lambda text: text[:200], "is damaged"),
        (lambda text: text.replace('"Affine"', '"Afine"'), "'Afine' is not a step that this"),
        (lambda text: text.replace('"bias":', '"bios":'), "Affine must have weight, bias"),
        (
            lambda text: text.replace("actor.steps.0.bias", "x.bias"),
            r"weights\.npz has no policy\.x\.bias",
        ),
        (lambda text: text.replace('"int64"', '"ont64"'), "must describe a known space"),
        (lambda text: text.replace('"leave":', '"live":'), "PortablePolicy must have .*leave"),
    ],
)
def test_a_damaged_folder_is_named(folder: Path, tmp_path: Path, damage, said: str) -> None:
    (tmp_path / "weights.npz").write_bytes((folder / "weights.npz").read_bytes())
    (tmp_path / "policy.json").write_text(damage((folder / "policy.json").read_text()))
    with pytest.raises(EmbrlError, match=said):
        ExportedPolicy.read(tmp_path)


def test_a_step_of_an_older_file_has_the_defaults_of_what_was_added_since() -> None:
    columns = np.array([[0.0, 1.0, 5.0]], np.float32)
    step = {"step": "ByDistance", "columns": {"array": "c"}, "inverse_temperature": 2.0}
    drawn = from_json(step, {"c": columns})
    assert drawn.names is None
    assert drawn(f32([4.9]), f32([0.99])) == 2
    for wrong in ({**step, "colour": 1}, {"step": "ByDistance", "inverse_temperature": 2.0}):
        with pytest.raises(ValueError, match="columns"):
            from_json(wrong, {"c": columns})


def test_weights_that_do_not_fit_each_other_are_damaged(folder: Path, tmp_path: Path) -> None:
    arrays = dict(np.load(folder / "weights.npz"))
    np.savez(tmp_path / "weights.npz", **{name: part[:1] for name, part in arrays.items()})
    said = json.loads((folder / "policy.json").read_text())
    said["sha256"] = hashlib.sha256((tmp_path / "weights.npz").read_bytes()).hexdigest()
    (tmp_path / "policy.json").write_text(json.dumps(said))
    with pytest.raises(EmbrlError, match=r"policy\.json is damaged"):
        ExportedPolicy.read(tmp_path)


def test_truncated_weights_are_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "weights.npz").write_bytes((folder / "weights.npz").read_bytes()[:-20])
    (tmp_path / "policy.json").write_text((folder / "policy.json").read_text())
    with pytest.raises(EmbrlError, match="its checksum is not the one"):
        ExportedPolicy.read(tmp_path)
    (tmp_path / "weights.npz").unlink()
    with pytest.raises(EmbrlError, match=r"weights\.npz is missing"):
        ExportedPolicy.read(tmp_path)


def test_an_earlier_export_gives_way_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    plain = ExportedPolicy.read(folder)
    plain.write(tmp_path / "policy")
    plain.write(tmp_path / "policy", onnx=b"a model")
    assert (tmp_path / "policy" / "policy.onnx").read_bytes() == b"a model"
    assert [path.name for path in tmp_path.iterdir()] == ["policy"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(EmbrlError, match=r"out must be .*mine"):
        plain.write(tmp_path / "mine")
