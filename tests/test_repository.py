"""What must hold of the repository itself."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/embrl"
FILES = sorted(SOURCE.rglob("*.py"))
ROOMS = [
    {"portable"},
    {"core"},
    {"storage"},
    {"text"},
    {"envs"},
    {"data"},
    {"decoding"},
    {"embedding"},
    {"algorithms"},
    {"config"},
    {"training"},
    {"deploy"},
    {"tasks"},
    {"fitting"},
    {"interop"},
    {"report"},
    {"executors"},
    {"sweep"},
    {"trained"},
    {"api", "registration"},
    {"cli"},
    {"agents"},
    {"loading"},
    {"store"},
    {"serving"},
    {"explorer"},
    {"papers"},
]
"""Each may import from those above it, and from itself."""

COME_ALONG = {
    "PIL": "matplotlib and imageio",
    "mujoco": "gymnasium[mujoco]",
    "umap": "umap-learn",
    "sklearn": "scikit-learn",
}
"""Packages that others bring along."""


def level(room: str) -> int:
    return next(index for index, rooms in enumerate(ROOMS) if room in rooms)


def module_of(path: Path) -> str:
    return ".".join(("embrl", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


MODULES = {module_of(path): path for path in FILES}


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere: in functions and for type checks, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path.name} has a relative import"
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            # Of a package, the file that has the name; what is defined in the package, itself.
            found |= {part if part in MODULES else str(node.module) for part in parts}
    return found


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if path.name not in ("__init__.py", "__main__.py")],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_imports_point_one_way(path):
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for name in imports(path):
        if name.startswith("embrl."):
            other = name.split(".")[1]
            assert level(other) <= level(room), f"{room} imports {other}, which stands below it"


def test_no_circles():
    """Imports in functions count: none is there to dodge a circle, only to be cheap."""
    graph = {name: imports(path) & MODULES.keys() - {name} for name, path in MODULES.items()}
    del graph["embrl"]  # its names are imported lazily
    while free := {name for name, needs in graph.items() if not needs & graph.keys()}:
        graph = {name: needs for name, needs in graph.items() if name not in free}
    assert not graph, f"these import each other, or one that does: {sorted(graph)}"


def test_class_names_are_unique():
    names = Counter(
        node.name
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1]


def test_only_declared_packages_are_imported():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    distributions = {re.split(r"[^\w-]", line)[0].lower() for line in lines}
    declared = {name.replace("-", "_") for name in distributions}
    allowed = declared | {"embrl"} | sys.stdlib_module_names | COME_ALONG.keys()
    for path in FILES:
        tops = {name.partition(".")[0] for name in imports(path)}
        assert tops <= allowed, f"{path.name} imports {sorted(tops - allowed)}"


def test_what_every_import_needs_is_a_dependency_and_the_rest_is_asked_for():
    """A core dependency, or one that `require` asks for by the extra that has it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core, extras = distributions(project["dependencies"]), {}
    for extra, lines in project["optional-dependencies"].items():
        extras[extra] = distributions(lines)
    brought = {"PIL": "matplotlib", "sklearn": "scikit_learn", "umap": "umap_learn"}
    for path in FILES:
        tree = ast.parse(path.read_text())
        for node in tree.body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
                )
                tops = {str(name).partition(".")[0] for name in names}
                assert tops <= core | {"embrl"} | sys.stdlib_module_names, f"{path.name}: {tops}"
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if (
                isinstance(call.func, ast.Name)
                and call.func.id == "require"
                and path.name != "errors.py"
            ):
                module, extra = (ast.literal_eval(each) for each in call.args)
                top = module.partition(".")[0]
                assert str(brought.get(top, top)).lower() in extras[extra], f"{path.name}: {module}"


def distributions(lines: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", line)[0].lower().replace("-", "_") for line in lines}


def test_environments_on_the_host_know_no_jax():
    allowed = {
        "cloudpickle",
        "gymnasium",
        "numpy",
        "embrl.core.runtime",
        "embrl.core.errors",
        "embrl.core.gymnasium_ids",
        "embrl.core.masks",
        "embrl.core.images",
        "embrl.core.products",
        "embrl.core.spaces",
        "embrl.envs.checks",
        "embrl.text.encoders",
    }
    paths = list((SOURCE / "envs/gym").glob("*.py"))
    assert paths
    for path in paths:
        for name in imports(path):
            ours = name in allowed or name.startswith("embrl.envs.gym")
            top = name.partition(".")[0]
            assert ours or top in allowed | sys.stdlib_module_names, f"{path.name}: {name}"


def test_portable_functions_know_no_jax():
    code = "import sys, embrl.portable.steps; assert 'jax' not in sys.modules"
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
