"""What each figure is made of, against the paper."""

import dataclasses
import importlib.util
from typing import Any

import numpy as np
import pytest

from embrl.cli import main
from embrl.config.defaults import default_config
from embrl.config.paper import PROTOCOLS
from embrl.config.settings_by_name import replaced, validate_name
from embrl.core.errors import EmbrlError
from embrl.envs import ENVIRONMENTS, is_host, kind
from embrl.envs.gridworld import GridworldConfig
from embrl.papers.panel import ReproductionOptions, chosen
from embrl.papers.panels import make_panel
from embrl.papers.panels.common import BASELINES, tuned_baseline
from embrl.papers.panels.embedding import crosses, linear_r2, wall_ratio
from embrl.training.trainer import Trainer


def labels(figure: str, group: str, **options) -> list[str]:
    panel = make_panel(figure, ReproductionOptions(**options))
    return [line.label for line in panel.lines if line.group == group]


def test_the_legends_are_the_papers():
    nine = [
        *("32 VPG", "512 VPG", "2048 VPG"),
        *("32 VPG-RA", "512 VPG-RA", "2048 VPG-RA"),
        *("32 VPG-JSAE", "512 VPG-JSAE", "2048 VPG-JSAE"),
    ]
    assert labels("fig3a", "published") == labels("fig3b", "published") == nine
    assert labels("fig3c", "published") == ["VPG", "VPG-RA", "VPG-JSAE"]
    assert labels("fig3e", "published") == ["512 actions", "from scratch", "transferred"]
    assert labels("fig3g", "published", data="log.csv") == [
        *("VPG", "PPO", "VPG-RA", "PPO-RA", "SAC-RA", "VPG-JSAE", "PPO-JSAE", "SAC-JSAE"),
    ]


def of(figure: str, label: str, **options) -> Any:
    lines = make_panel(figure, ReproductionOptions(**options)).lines
    return next(line.config for line in lines if line.label == label)


@pytest.mark.parametrize(
    ("figure", "label", "actor", "critic", "std"),
    [
        ("fig3a", "512 VPG", 1e-3, 3e-4, None),  # Table 1
        ("fig3b", "2048 VPG", 1e-3, 1e-4, None),
        ("fig3a", "512 VPG-JSAE", 1e-4, 1e-3, 1.0),  # Table 2
        ("fig3b", "32 VPG-JSAE", 1e-4, 3e-4, 0.3),
        ("fig3a", "512 VPG-RA", 3e-4, 1e-3, 0.6),  # Table 3
        ("fig3b", "512 VPG-RA", 3e-4, 3e-4, 0.8),
        ("fig3c", "VPG", 3e-4, 1e-3, None),  # Table 4
        ("fig3c", "VPG-JSAE", 3e-4, 1e-4, 0.6),
        ("fig3c", "VPG-RA", 3e-4, 1e-3, 1.0),
        ("fig3g", "PPO", 1e-3, 1e-4, None),  # Table 7
        ("fig3g", "PPO-JSAE", 1e-3, 1e-3, 0.8),
        ("fig3g", "SAC-RA", 1e-4, 1e-4, 0.6),
    ],
)
def test_the_tables_of_the_paper(figure, label, actor, critic, std):
    config = of(figure, label, data="log.csv")
    assert config.hyperparameters.actor_lr == actor
    assert config.hyperparameters.critic_lr == critic
    if std is not None:
        assert config.policy.std == std
        assert not config.policy.bounded
        assert config.decoder.kind == "nearest"


def test_the_protocol_of_the_paper():
    grid, slot = of("fig3a", "512 VPG-JSAE"), of("fig3c", "VPG-JSAE")
    shop = of("fig3g", "PPO-JSAE", data="log.csv")
    assert (
        grid.rollout.steps_per_update,
        slot.rollout.steps_per_update,
        shop.rollout.steps_per_update,
    ) == (1500, 200, 1000)
    assert (grid.total_timesteps, slot.total_timesteps, shop.total_timesteps) == (
        1_000_000,
        500_000,
        1_000_000,
    )
    assert (
        grid.embedding.state_dim,
        grid.embedding.action_dim,
        slot.embedding.state_dim,
        slot.embedding.action_dim,
    ) == (8, 2, 16, 4)
    assert grid.pretrain.timesteps == slot.pretrain.timesteps == 30_000
    assert shop.pretrain.timesteps == 200_000
    assert (grid.online.every, slot.online.every, shop.online.every) == (0, 0, 1)
    assert (
        shop.hyperparameters.update_epochs,
        shop.hyperparameters.critic_epochs,
        shop.hyperparameters.clip_range,
    ) == (3, 6, 0.2)
    assert (
        grid.hyperparameters.update_epochs,
        grid.hyperparameters.gamma,
        grid.hyperparameters.gae_lambda,
    ) == (3, 0.99, 0.97)
    assert grid.seeds == 10
    assert of("fig3g", "SAC-RA", data="log.csv").policy.hidden == (128, 128)


def test_sac_takes_fewer_updates_unless_asked_for_all():
    for full, rate in ((False, 0.1), (True, 1.0)):
        assert (
            of("fig3g", "SAC-RA", data="l", full_sac=full).hyperparameters.updates_per_step == rate
        )
        said = make_panel("fig3g", ReproductionOptions(data="l", full_sac=full)).deviations
        assert any("SAC makes" in deviation for deviation in said) is not full


def test_the_ants_sac_has_fewer_timesteps_too():
    pytest.importorskip("mujoco", reason="needs embrl[gymnasium]")
    for full, rate in ((False, 0.25), (True, 1.0)):
        config = of("fig3f", "SAC-JSAE", full_sac=full)
        assert (config.total_timesteps, config.hyperparameters.updates_per_step) == (
            1_000_000,
            rate,
        )
    assert of("fig3f", "PPO-JSAE").total_timesteps == 6_000_000


@pytest.mark.parametrize("figure", ["fig3d", "fig3f"])
def test_robots_in_envpools_threads_when_asked(figure):
    pytest.importorskip("mujoco", reason="needs embrl[gymnasium]")
    pytest.importorskip("envpool", reason="needs envpool: pip install 'embrl[envpool]'")
    for asked in (False, True):
        panel = make_panel(figure, ReproductionOptions(envpool=asked))
        assert all((line.config.env.vector == "envpool") is asked for line in panel.lines)  # type: ignore[attr-defined]
        assert any("run by envpool" in said for said in panel.deviations) is asked


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("figure", ["fig2", "fig3a", "fig3b", "fig3c", "fig3e"])
def test_every_line_has_settings_that_fit_together(figure, quick):
    panel = make_panel(figure, ReproductionOptions(quick=quick))
    known = {line.label for line in panel.lines}
    for claim in panel.claims:
        assert {claim.better, claim.worse} <= known
    for line in panel.lines:
        env = line.config.env.build()
        Trainer(line.config, env.observation_space, env.action_space).validate()
        assert line.source == "" or line.source in known


def test_lines_can_be_left_out_with_their_claims():
    panel = make_panel("fig3a", ReproductionOptions())
    some = panel.only(chosen(panel, ("published",)))
    assert {line.group for line in some.lines} == {"published"}
    assert len(some.claims) == 3 * 2 * 2
    assert chosen(panel) == {line.label for line in panel.lines}
    assert chosen(panel, labels=["512 VPG", "512 ours"]) == {"512 VPG", "512 ours"}
    assert chosen(panel, ("ours",), ["512 VPG", "512 ours"]) == {"512 ours"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"groups": ("tuned",)}, "^fig3e has no lines of the groups tuned$"),
        ({"groups": ("best",)}, "^unknown group 'best': choose from ours, published, tuned$"),
        ({"labels": ["from scrach"]}, "^unknown line of fig3e 'from scrach': did you mean from sc"),
        (
            {"groups": ("ours",), "labels": ["from scratch"]},
            "^fig3e has no such lines of the groups ours$",
        ),
    ],
)
def test_lines_that_are_not_there(asked, said):
    with pytest.raises(EmbrlError, match=said):
        chosen(make_panel("fig3e", ReproductionOptions()), **asked)


def test_every_number_of_a_baseline_is_a_setting():
    for (environment, method, algorithm), values in BASELINES.items():
        found = tuned_baseline(environment, ENVIRONMENTS[environment](), method, algorithm)
        for name in values:
            validate_name(found, name)
        assert found == replaced(found, values)
    config = default_config("gridworld", GridworldConfig(), "jsae", "vpg", "tuned")
    with pytest.raises(EmbrlError, match=rf"setting '{config.algorithm}\.speed'"):
        validate_name(config, f"{config.algorithm}.speed")


def test_the_paper_has_no_other_settings():
    with pytest.raises(EmbrlError, match="got jsae with ppo; choose settings tuned"):
        default_config("gridworld", GridworldConfig(), "jsae", "ppo", "paper")
    for environment, protocol in PROTOCOLS.items():
        for method, algorithm, size in protocol.cells:
            env = kind(environment)()
            if is_host(env) and not importlib.util.find_spec("mujoco"):
                continue
            if size:
                env = dataclasses.replace(env, actuators=size)
            default_config(environment, env, method, algorithm, "paper")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "FIGURE must be given, got nothing; name of the figure: fig2, fig3a"),
        (["fig3h"], "unknown figure 'fig3h': did you mean fig3"),
        (["fig3g"], "fig3g needs a purchase log; add --data LOG"),
        (["fig3a", "--seeds", "0"], "seeds must be 1 or more, got 0"),
        (["fig3a", "--groups", "theirs"], "--groups"),
        (["fig3a", "--fast"], "--fast"),
    ],
)
def test_bad_input_is_one_line(capsys, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["reproduce", *arguments]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_linear_r2():
    truth = np.random.default_rng(0).normal(size=(50, 2))
    assert linear_r2(truth @ [[0.0, 2.0], [1.0, 1.0]] + 3.0, truth) == pytest.approx(1.0)
    assert linear_r2(np.ones((50, 1)), truth) == pytest.approx(0.0)


def test_crossing_a_wall():
    walls = np.array([[0.4, 0.4, 0.6, 0.5]])
    start = np.array([[0.5, 0.3], [0.5, 0.3], [0.1, 0.3], [0.3, 0.45], [0.3, 0.6], [0.5, 0.3]])
    end = np.array([[0.5, 0.6], [0.5, 0.4], [0.1, 0.6], [0.7, 0.45], [0.7, 0.6], [0.5, 0.2]])
    assert crosses(start, end, walls).tolist() == [True, False, False, True, False, False]


def test_a_wall_shows_where_what_it_parts_lies_twice_as_far_apart():
    bins, walls = 10, np.array([[0.0, 0.4, 1.0, 0.5]])  # row 4, from side to side
    row, column = np.divmod(np.arange(100), bins)
    present = row != 4
    flat = np.column_stack([column, row]).astype(float)
    assert wall_ratio(flat, present, bins, walls) == pytest.approx(0.0)
    apart = flat + np.column_stack([np.zeros(100), 2.0 * (row > 4)])
    # Offset, how often it crosses the wall, and the squared distances across and in the open.
    cases = [
        ((0, 2), 10, 16, 4),
        ((1, 2), 2 * 9, 17, 5),
        ((2, 2), 2 * 8, 20, 8),
        ((0, 3), 2 * 10, 25, 9),
    ]
    total = sum(times * np.log(across / near) / 2 for _, times, across, near in cases)
    expected = total / sum(times for _, times, _, _ in cases)
    assert wall_ratio(apart, present, bins, walls) == pytest.approx(expected)
    assert wall_ratio(flat, present, bins, np.array([[2.0, 2.0, 3.0, 3.0]])) is None
