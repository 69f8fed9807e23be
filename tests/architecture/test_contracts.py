"""Who may know whom, and the rules of the house that a parser can check."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for room in ("hubapp", "workers") for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts
)
LARGEST_FILE = 450
BANNED_NAMES = {"utils.py", "helpers.py", "common.py", "misc.py", "util.py"}


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in SOURCES:
        yield path, ast.parse(path.read_text(), filename=str(path))


def test_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_room_for_everything_and_nothing() -> None:
    assert [str(path) for path in SOURCES if path.name in BANNED_NAMES] == []


def test_files_are_small() -> None:
    large = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in large.items() if lines > LARGEST_FILE} == {}


def _changes_status(node: ast.AST) -> bool:
    """Whether the node assigns `<job>.status`, or updates it by a query over Job."""
    if isinstance(node, ast.Assign):
        return any(
            isinstance(target, ast.Attribute) and target.attr == "status" and "job" in ast.unparse(target.value)
            for target in node.targets
        )
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".update"):
        return "Job." in ast.unparse(node.func) and any(key.arg == "status" for key in node.keywords)
    return False


def test_status_changes_only_in_the_services_of_jobs() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path, tree in _trees()
        if path.is_relative_to(ROOT / "hubapp") and not path.is_relative_to(ROOT / "hubapp/jobs/services")
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign | ast.Call) and _changes_status(node)
    ]
    assert wrong == []


def test_no_signals_of_our_own_and_no_save_overrides() -> None:
    wrong = []
    for path, tree in _trees():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module in {"django.db.models.signals", "django.dispatch"}:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
            if isinstance(node, ast.ClassDef):
                bases = " ".join(ast.unparse(base) for base in node.bases)
                if "Model" in bases and "Admin" not in bases and "Form" not in bases:
                    wrong += [
                        f"{path.relative_to(ROOT)}:{item.lineno}"
                        for item in node.body
                        if isinstance(item, ast.FunctionDef) and item.name == "save"
                    ]
    assert wrong == []


def test_nothing_is_unpickled() -> None:
    wrong = []
    for path, tree in _trees():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            loads = name in {"pickle.load", "pickle.loads", "torch.load", "joblib.load", "pickle.Unpickler"}
            allows = any(
                key.arg in {"allow_pickle", "trust_remote_code"} and ast.unparse(key.value) == "True"
                for key in node.keywords
            )
            if loads or allows:
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


def test_no_import_inside_a_function() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{inner.lineno}"
        for path, tree in _trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Import | ast.ImportFrom)
    ]
    assert wrong == []


HEAVY = {"torch", "torchvision", "sklearn", "onnxruntime", "PIL"}


def _modules_after(code: str) -> str:
    """The names of heavy modules that a fresh interpreter has imported after `code`."""
    check = f"import sys; print(sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "hubapp.settings"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_the_web_process_never_imports_torch() -> None:
    code = (
        "import hubapp.wsgi\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"
        "from workers.kit import ANALYSES, METRICS, HEADS, LOADERS, DATASET_SOURCES\n"
        "assert all(len(registry) for registry in (ANALYSES, METRICS, HEADS, LOADERS, DATASET_SOURCES))\n"
    )
    assert _modules_after(code) == "[]"


def test_the_celery_parent_never_imports_torch() -> None:
    code = (
        "import hubapp.celery\n"
        "import django; django.setup()\n"
        "hubapp.celery.app.loader.import_default_modules()\n"
        "assert 'hubapp.execution.tasks.job_run' in hubapp.celery.app.tasks\n"
    )
    assert _modules_after(code) == "[]"


def test_the_web_starts_where_torch_is_not_installed(tmp_path: Path) -> None:
    for name in ("torch", "torchvision", "sklearn", "onnxruntime"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not installed here')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import hubapp.wsgi\n"
        "from django.test import Client\n"
        "assert Client().get('/healthz', HTTP_HOST='localhost').status_code == 200\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    assert done.returncode == 0, done.stderr


def test_requirements_of_the_web_hold_no_torch() -> None:
    names = {line.split("==")[0] for line in (ROOT / "requirements/web.txt").read_text().splitlines() if "==" in line}
    assert names.isdisjoint({"torch", "torchvision", "scikit-learn", "onnxruntime"})
    assert {"django", "celery", "redis", "plotly", "huggingface-hub"} <= names


@pytest.mark.parametrize("name", ["web", "embedded", "workers", "test", "weights"])
def test_lock_files_are_exact_and_name_no_address(name: str) -> None:
    text = (ROOT / f"requirements/{name}.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    assert all("==" in line for line in lines)
    assert "://" not in text
    assert '"resolved"' not in (ROOT / "package-lock.json").read_text()
