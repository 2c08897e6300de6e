import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from embrl.agents import population
from embrl.agents.architecture import Architecture
from embrl.agents.population import COLUMNS, Population, append, create, join
from embrl.core.errors import EmbrlError
from embrl.envs.gridworld import GridworldConfig
from embrl.storage import files

ARCHITECTURE = Architecture(2, (3,), 2)
SIZE = ARCHITECTURE.size


def weights(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)


def table(count, start=0):
    return {
        name: (start + 10 * column + np.arange(count)).astype(kind)
        for column, (name, kind) in enumerate(COLUMNS.items())
    }


@pytest.fixture
def path(tmp_path):
    create(tmp_path / "some", ARCHITECTURE, "gridworld", GridworldConfig(actuators=3), 7)
    return tmp_path / "some"


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(population, "SHARD_BYTES", 4 * SIZE * 4)  # four agents


def contents(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_what_was_created_comes_back(path):
    found = Population(path)
    assert found.architecture == ARCHITECTURE
    assert (found.environment, found.env) == ("gridworld", GridworldConfig(actuators=3))
    assert (found.count, found.episodes) == (0, 7)
    assert found.weights().shape == (0, SIZE)
    assert {name: values.dtype for name, values in found.table().items()} == COLUMNS


def test_agents_come_back_to_the_last_bit(path, small_shards):
    w, rows = weights(11), table(11)
    append(path, w[:9], {name: values[:9] for name, values in rows.items()})
    append(path, w[9:], {name: values[9:] for name, values in rows.items()})
    found = Population(path)
    assert found.count == 11
    assert [shard.name for shard in sorted(path.glob("*.safetensors"))] == [
        f"agents-0000{n}.safetensors" for n in range(4)
    ]
    for start, stop in [(0, None), (0, 4), (3, 5), (2, 11), (5, 5), (-3, None), (7, 3), (9, 99)]:
        np.testing.assert_array_equal(found.weights(start, stop), w[start:stop])
    index = np.array([10, 0, 4, 4, 3])
    np.testing.assert_array_equal(found.rows(index), w[index])
    assert found.rows(np.array([], int)).shape == (0, SIZE)
    for name, values in found.table().items():
        np.testing.assert_array_equal(values, rows[name])
        assert values.dtype == COLUMNS[name]


def test_a_shard_is_what_safetensors_say(path):
    append(path, weights(5), table(5))
    tensors = load_file(path / "agents-00000.safetensors")
    np.testing.assert_array_equal(tensors.pop("weights"), weights(5))
    assert tensors.keys() == COLUMNS.keys()


def test_an_open_population_stays_as_it_was(path):
    append(path, weights(5), table(5))
    before = Population(path)
    append(path, weights(2, 1), table(2))
    assert (before.count, Population(path).count) == (5, 7)
    np.testing.assert_array_equal(before.weights(), weights(5))


def test_nothing_to_append(path):
    append(path, weights(0), table(0))
    assert Population(path).count == 0
    assert list(path.iterdir()) == [path / "population.json"]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is measured on Linux")
def test_ten_of_a_million_do_not_load_the_file(path):
    append(path, weights(1), table(1))
    count = 1_000_000
    header = {"weights": {"dtype": "F32", "shape": [count, SIZE]}}
    header |= {
        name: {"dtype": {8: "I64", 4: "F32"}[np.dtype(kind).itemsize], "shape": [count]}
        for name, kind in COLUMNS.items()
    }
    at = 0
    for entry in header.values():
        size = np.prod(entry["shape"]) * (8 if entry["dtype"] == "I64" else 4)
        entry["data_offsets"] = [at, int(at + size)]
        at += int(size)
    text = json.dumps(header).encode()
    shard = path / "agents-00000.safetensors"
    with shard.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + at)  # zeros that take no room on disk
    record = files.read_json(path / "population.json")
    record["shards"] = [{"file": shard.name, "count": count, "bytes": shard.stat().st_size}]
    files.write_json(path / "population.json", record)

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    before = resident()
    found = Population(path)
    assert found.count == count
    assert found.weights(500_000, 500_010).shape == (10, SIZE)
    assert found.rows(np.array([3, 999_999])).shape == (2, SIZE)
    assert resident() - before < shard.stat().st_size / 20


class Stop(BaseException):
    """As a signal would: nothing catches it."""


@pytest.mark.parametrize("at", range(3))
def test_an_append_cut_off_leaves_the_old_population(path, small_shards, monkeypatch, at):
    append(path, weights(5), table(5))
    before = contents(path)
    write, calls = files.write_bytes, []

    def cut(target, data):
        calls.append(target)
        if len(calls) == at + 1:
            target.with_name(f".{target.name}.1.tmp").write_bytes(data[:100])
            raise Stop
        write(target, data)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_bytes", cut)
        with pytest.raises(Stop):
            append(path, weights(6, 1), table(6))
    after = contents(path)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + at + 1
    np.testing.assert_array_equal(Population(path).weights(), weights(5))

    append(path, weights(3, 2), table(3))
    np.testing.assert_array_equal(
        Population(path).weights(), np.concatenate([weights(5), weights(3, 2)])
    )
    assert {file.name for file in path.iterdir()} == {
        "population.json",
        *(f"agents-0000{n}.safetensors" for n in range(3)),
    }


def without(name):
    return {key: values for key, values in table(2).items() if key != name}


BAD = {
    "architecture": ((np.zeros((2, SIZE + 1)), table(2)), r"weights must be .n, 17. .*got .2, 18"),
    "one agent": ((np.zeros(SIZE), table(2)), "weights must be"),
    "nan": ((np.where(np.eye(2, SIZE), np.nan, 0), table(2)), "weights of agent 0 are not finite"),
    "too large": ((np.full((2, SIZE), 1e300), table(2)), "weights of agent 0 are not finite"),
    "missing column": ((weights(2), without("step")), "columns must be lineage, .* step"),
    "unknown column": ((weights(2), {**table(2), "age": np.zeros(2)}), "check age"),
    "short column": (
        (weights(2), {**table(2), "seed": np.zeros(1, int)}),
        "seed must be .2., got .1.",
    ),
    "fractions": (
        (weights(2), {**table(2), "step": np.zeros(2)}),
        "step must be integers, got float64",
    ),
    "nan return": ((weights(2), {**table(2), "return_mean": np.full(2, np.nan)}), "return_mean"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_does_not_belong_is_refused(path, what):
    append(path, weights(5), table(5))
    before = contents(path)
    (w, rows), message = BAD[what]
    with pytest.raises(EmbrlError, match=message):
        append(path, w, rows)
    assert contents(path) == before


def test_the_same_number_of_weights_is_not_the_same_architecture(path):
    relu = Architecture(2, (3,), 2, "relu")
    with pytest.raises(EmbrlError, match=r"must be 2-3-2 tanh .* got 2-3-2 relu"):
        append(path, weights(2), table(2), architecture=relu)


def change(**entries):
    def damage(path):
        record = files.read_json(path / "population.json")
        files.write_json(path / "population.json", {**record, **entries})

    return damage


def shard(**entries):
    def damage(path):
        record = files.read_json(path / "population.json")
        record["shards"][0] |= entries
        files.write_json(path / "population.json", record)

    return damage


def cut(path):
    file = path / "agents-00000.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def header(path):
    file = path / "agents-00000.safetensors"
    file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:])


def garbled(path):
    file = path / "agents-00000.safetensors"
    file.write_bytes(file.read_bytes()[:8] + b"x" + file.read_bytes()[9:])


def beyond(path):
    file = path / "agents-00000.safetensors"
    data = file.read_bytes()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    entries["seed"]["data_offsets"] = [9000, 9040]
    text = json.dumps(entries, separators=(",", ":")).encode().ljust(length)
    shard(bytes=8 + len(text) + len(data) - 8 - length)(path)
    file.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


DAMAGE = {
    "newer": (change(format=2), "format 2; this version of embrl reads 1"),
    "no JSON": (lambda path: (path / "population.json").write_text("{"), "damaged"),
    "architecture": (change(architecture={"inputs": "x"}), "architecture is damaged"),
    "activation": (
        change(architecture={"inputs": 2, "hidden": [3], "outputs": 2, "activation": "sin"}),
        "activation 'sin'",
    ),
    "other": (
        change(architecture={"inputs": 2, "hidden": [4], "outputs": 2, "activation": "tanh"}),
        r"agents-00000.safetensors is damaged: expected weights to be float32\[5, 22\]",
    ),
    "shards": (change(shards=3), "shards is damaged"),
    "cut off": (cut, "agents-00000.safetensors is damaged: expected .* bytes, got"),
    "missing": (
        lambda path: (path / "agents-00000.safetensors").unlink(),
        "agents-00000.safetensors is missing",
    ),
    "count": (shard(count=6), "expected weights to be"),
    "no agents": (shard(count=0), "is not a shard"),
    "elsewhere": (shard(file="../agents-00000.safetensors"), "is not a shard"),
    "header": (header, "expected weights"),
    "garbled": (garbled, "header is not JSON"),
    "beyond": (beyond, "expected seed"),
    "not one": (lambda path: (path / "population.json").unlink(), "is not a population"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_population_says_which_file(path, what):
    append(path, weights(5), table(5))
    damage, message = DAMAGE[what]
    damage(path)
    before = contents(path)
    for use in (lambda: Population(path), lambda: append(path, weights(1), table(1))):
        with pytest.raises(EmbrlError, match=message):
            use()
    assert contents(path) == before


def test_numbers_that_are_not_finite_are_found_when_they_are_read(path):
    append(path, weights(5), table(5))
    file = path / "agents-00000.safetensors"
    data = file.read_bytes()
    one, nan = weights(5)[3, 2].tobytes(), np.float32(np.nan).tobytes()
    assert data.count(one) == 1
    file.write_bytes(data.replace(one, nan))
    found = Population(path)
    assert len(found.weights(0, 3)) == 3
    with pytest.raises(EmbrlError, match="weights of agent 3 are not finite"):
        found.weights(2)
    with pytest.raises(EmbrlError, match="weights of agent 3 are not finite"):
        found.rows(np.array([4, 3]))
    return_mean = table(5)["return_mean"][1].tobytes()
    assert data.count(return_mean) == 1
    file.write_bytes(data.replace(return_mean, nan))
    with pytest.raises(EmbrlError, match="return_mean of agent 1"):
        found.table()


def test_there_is_no_such_agent(path):
    append(path, weights(5), table(5))
    for wrong in ([5], [-1]):
        with pytest.raises(EmbrlError, match="agents must be 0 to 4"):
            Population(path).rows(np.array(wrong))


def test_an_environment_that_is_not_known_here(path):
    change(environment="elsewhere")(path)
    found = Population(path)
    assert found.environment == "elsewhere"
    with pytest.raises(EmbrlError, match="unknown environment 'elsewhere'"):
        _ = found.env
    change(environment="gridworld", env={"actuator": 3})(path)
    with pytest.raises(EmbrlError, match=r"env is damaged: .*actuator"):
        _ = Population(path).env


def test_create_takes_nobody_s_folder(path, tmp_path):
    arguments = (ARCHITECTURE, "gridworld", GridworldConfig(), 7)
    with pytest.raises(EmbrlError, match="already holds a population"):
        create(path, *arguments)
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path):
        with pytest.raises(EmbrlError, match="is not a population"):
            create(place, *arguments)
    with pytest.raises(EmbrlError, match="nowhere is not a population"):
        Population(tmp_path / "nowhere")


def test_shards_of_many_writers_are_read_as_one(path):
    append(path, weights(2), table(2))
    parts = [path / "blocks" / f"{number:05d}" for number in range(3)]
    for number, part in enumerate(parts):
        create(part, ARCHITECTURE, "gridworld", GridworldConfig(actuators=3), 7)
        append(part, weights(3, seed=number), table(3, start=100 * number))
    assert join(path, parts[:1]).count == 5
    found = join(path, parts)  # what was listed before is listed once
    assert found.count == 11
    expected = [weights(2), *(weights(3, seed=number) for number in range(3))]
    np.testing.assert_array_equal(found.weights(), np.concatenate(expected))
    np.testing.assert_array_equal(found.rows(np.array([10, 0])), found.weights()[[10, 0]])
    append(path, weights(1, seed=9), table(1))
    np.testing.assert_array_equal(Population(path).weights(11), weights(1, seed=9))
    other = path / "blocks/00003"
    create(other, ARCHITECTURE, "gridworld", GridworldConfig(actuators=4), 7)
    with pytest.raises(EmbrlError, match=r"env of .*00003 must be"):
        join(path, [*parts, other])
    assert Population(path).count == 12


def test_a_shard_outside_the_folder_is_refused(path):
    append(path, weights(2), table(2))
    record = json.loads((path / "population.json").read_text())
    for name in (
        "../agents-00000.safetensors",
        "/agents-00000.safetensors",
        "a/../agents-00000.safetensors",
    ):
        record["shards"][0]["file"] = name
        (path / "population.json").write_text(json.dumps(record))
        with pytest.raises(EmbrlError, match="is not a shard"):
            Population(path)
