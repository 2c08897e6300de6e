"""`embrl explore` in a headless Chromium without a network, at full size: docs/explorer.md.

    python -m benchmarks.explorer FOLDER [--run RUN] [--population POPULATION --embedding FIT]

Makes an embedding of 100,000 actions with little training, and 10,000 agents by disturbing the
weights of a population, writes pages, moves, hovers, clicks, filters and slides in them, and takes
screenshots. What is in FOLDER already is not made again. Needs playwright and the machine's
Chromium: pip install 'embrl[browser]'.
"""

import argparse
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import embrl
from embrl.agents import population as populations
from embrl.agents.population import Population

ACTIONS = {"fractions": 10, "reels": tuple((at, 3, 6, 7, 0, 4) for at in range(5))}
AGENTS = 10_000
FRAMES = 120
ARGUMENTS = ["--no-sandbox", "--hide-scrollbars"]


def actions_of(folder: Path) -> Path:
    """Return the folder of an embedding of 100,000 actions."""
    if not folder.exists():
        small = {"pretrain": {"gradient_steps": 100, "batch_size": 256}}
        embrl.fit("slot_machine", timesteps=3_000, **small, **ACTIONS).save(folder)  # type: ignore
    return folder


def agents_of(source: Path, folder: Path) -> Path:
    """Return the folder of a large population: agents drawn from one, with disturbed weights."""
    if folder.exists():
        return folder
    small, rng = Population(source), np.random.default_rng(0)
    made = populations.create(
        folder, small.architecture, small.environment, small.env, small.episodes
    )
    chosen = rng.integers(small.count, size=AGENTS)
    weights = small.rows(chosen)
    weights += rng.normal(scale=0.02, size=weights.shape).astype(np.float32)
    table = {name: values[chosen] for name, values in small.table().items()}
    populations.append(made.path, weights, table)
    return folder


def measured(browser: Any, page: Path, key: str, out: Path, act: Callable[[Any], None]) -> None:
    """Open a page without a network, use it, and print what was measured."""
    context = browser.new_context(offline=True, viewport={"width": 1300, "height": 1120})
    tab, said = context.new_page(), []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    began = time.perf_counter()
    tab.goto(page.resolve().as_uri())
    tab.wait_for_function("window.explorer")
    opened = time.perf_counter() - began
    frames = tab.evaluate(f"explorer.plotOf('{key}').framesPerSecond({FRAMES})")
    picked = tab.evaluate(
        f"""() => {{ const plot = explorer.plotOf('{key}'), from = performance.now();
        for (let at = 0; at < 20; at++) plot.pick(at * 20, 200);
        return (performance.now() - from) / 20; }}"""
    )
    near = tab.evaluate(
        f"""() => {{ const cloud = explorer.plotOf('{key}').cloud, from = performance.now();
        for (let at = 0; at < 20; at++) cloud.select(at); cloud.select(-1);
        return (performance.now() - from) / 20; }}"""
    )
    act(tab)
    tab.wait_for_timeout(1500)
    tab.screenshot(path=out)
    context.close()
    assert not said, said
    print(
        f"| {page.stem} | {page.stat().st_size / 1e6:.1f} MB | {opened:.1f} s | "
        f"{frames['framesPerSecond']:.0f} | {frames['millisecondsOfWork']:.1f} ms | "
        f"{picked:.1f} ms | {near:.1f} ms |",
        flush=True,
    )


def point(tab: Any, key: str, index: int) -> tuple[float, float]:
    """Return where a point is in the window."""
    return tab.evaluate(
        f"""() => {{ const plot = explorer.plotOf('{key}'), points = plot.view.points;
        plot.fit(); const box = plot.box.getBoundingClientRect();
        const [u, v] = plot.toScreen(points[2 * {index}], points[2 * {index} + 1]);
        return [box.left + 1 + u, box.top + 1 + v]; }}"""
    )


def hover_and_click(tab: Any, key: str, index: int) -> None:
    """Hover over a point, see its description, and click it."""
    where = point(tab, key, index)
    tab.mouse.move(*where)
    tab.wait_for_selector("#tip:not([hidden])")
    tab.mouse.click(*where)
    tab.wait_for_selector("#near tr")


def filter_by(tab: Any, cloud: str, column: str, low: float) -> None:
    """Keep points whose column is `low` at least."""
    before = tab.inner_text(f"#count-{cloud}")
    tab.select_option(f"#filter-{cloud}", column)
    tab.fill(".filter input >> nth=0", str(low))
    assert tab.inner_text(f"#count-{cloud}") != before


def use_run(tab: Any) -> None:
    """Let the policy walk, and look at a state."""
    hover_and_click(tab, "X", 850)
    tab.mouse.click(*point(tab, "S", 130))
    assert "steps" in tab.inner_text("#walked")
    hover_and_click(tab, "X", 850)


def use_actions(tab: Any) -> None:
    """Filter actions, and look at one."""
    filter_by(tab, "actions", tab.evaluate("explorer.clouds.actions.columns[1].name"), 0.2)
    hover_and_click(tab, "E", tab.evaluate("explorer.clouds.actions.visible.lastIndexOf(1)"))


def use_agents(tab: Any) -> None:
    """Take two agents, and slide beyond them."""
    hover_and_click(tab, "Z", 3)
    hover_and_click(tab, "Z", 16)
    before = tab.inner_text("#live")
    tab.fill("#between", "1.2")
    assert tab.inner_text("#live") != before


def main() -> None:
    from playwright.sync_api import sync_playwright  # type: ignore

    folder = GIVEN.folder
    folder.mkdir(parents=True, exist_ok=True)
    jobs: list[tuple[str, dict[str, Any], str, Callable[[Any], None]]] = [
        ("actions", {"source": actions_of(folder / "many_actions")}, "E", use_actions)
    ]
    if GIVEN.run:
        jobs.append(("run", {"source": GIVEN.run}, "X", use_run))
    if GIVEN.population:
        many = agents_of(GIVEN.population, folder / "many_agents")
        jobs.append(("agents", {"source": many, "embedding": GIVEN.embedding}, "Z", use_agents))
    print("| page | size | opened | frames a second | work of a frame | hover | neighbours |")
    print("|---|---|---|---|---|---|---|")
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        for name, settings, key, act in jobs:
            page = embrl.explore(out=folder / f"{name}.html", **settings)
            measured(browser, page, key, folder / f"{name}.png", act)
        browser.close()


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("folder", type=Path)
parser.add_argument("--run", type=Path)
parser.add_argument("--population", type=Path)
parser.add_argument("--embedding", type=Path)

if __name__ == "__main__":
    GIVEN = parser.parse_args()
    main()
