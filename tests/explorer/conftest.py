"""A headless Chromium that has no network."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """The machine's browser."""
    sync_api: Any = pytest.importorskip(
        "playwright.sync_api", reason="pip install 'embrl[browser]'"
    )
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium) -> Iterator[Callable[[Path], Any]]:
    """Returns a function that opens a page, which must not complain."""
    contexts, said = [], []

    def open_page(path: Path) -> Any:
        context = chromium.new_context(offline=True, viewport={"width": 1300, "height": 1060})
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(path.resolve().as_uri())
        tab.wait_for_function("window.explorer")
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
