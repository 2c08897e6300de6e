"""What must hold of the repository itself."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = [
    {"core"},
    {"storage", "portable"},
    {"envs"},
    {"data"},
    {"decoding"},
    {"embedding"},
    {"algorithms"},
    {"config"},
    {"training"},
    {"deploy"},
    {"fitting"},
    {"interop"},
    {"report"},
    {"sweep"},
    {"api", "registration"},
    {"cli"},
    {"agents"},
    {"papers"},
]
"""Each may import from those above it, and from itself."""


def level(room: str) -> int:
    return next(index for index, rooms in enumerate(ROOMS) if room in rooms)


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "embrl":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("embrl."):
            found.add(str(node.module).split(".")[1])
    return found


@pytest.mark.parametrize(
    "path",
    [p for p in (ROOT / "src/embrl").rglob("*.py") if p.name not in ("__init__.py", "__main__.py")],
    ids=lambda path: str(path.relative_to(ROOT / "src/embrl")),
)
def test_imports_point_one_way(path):
    room = path.relative_to(ROOT / "src/embrl").parts[0].removesuffix(".py")
    for other in imports(path):
        assert level(other) <= level(room), f"{room} imports {other}, which stands below it"


def test_environments_on_the_host_know_no_jax():
    allowed = {
        "cloudpickle",
        "gymnasium",
        "numpy",
        "embrl.core.runtime",
        "embrl.core.errors",
        "embrl.core.spaces",
        "embrl.envs.checks",
    }
    for path in (ROOT / "src/embrl/envs/host").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                ours = name in allowed or name.startswith("embrl.envs.gym")
                top = name.partition(".")[0]
                assert ours or top in allowed | sys.stdlib_module_names, f"{path.name}: {name}"


def test_portable_functions_know_no_jax():
    modules = "embrl.portable.policy, embrl.portable.forms, embrl.portable.steps"
    code = f"import sys, {modules}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_make_target_explains_itself():
    text = (ROOT / "Makefile").read_text()
    targets = next(line for line in text.splitlines() if line.startswith(".PHONY")).split()[1:]
    shown = subprocess.run(
        ["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[0] for line in shown.splitlines() if line.strip()} == set(targets)


def test_links_in_the_docs_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
