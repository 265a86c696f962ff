"""What the dashboard's process may hold, and how its files may be called."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "onnxruntime", "sklearn", "scrapy", "twisted", "nlp", "crawlers")
LOAD_ALL = """
import importlib, json, pathlib, sys
for file in pathlib.Path("dashboard").glob("*.py"):
    if file.stem not in ("__init__", "app"):
        importlib.import_module("dashboard." + file.stem)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_nothing_heavy_is_loaded_in_the_dashboards_process() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD_ALL], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout.splitlines()[-1])) & set(HEAVY)


def test_no_file_of_the_dashboard_hides_a_package() -> None:
    """Streamlit puts the script's folder first on the path: dashboard/alerts.py would be `import alerts`."""
    own = {file.stem for file in (ROOT / "dashboard").glob("*.py")} - {"__init__"}
    rooms = {entry.stem for entry in ROOT.iterdir() if entry.suffix == ".py" or (entry / "__init__.py").exists()}
    assert not own & (rooms | set(sys.stdlib_module_names))


def test_pages_do_not_touch_the_store() -> None:
    for file in (ROOT / "dashboard" / "app_pages").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "store()" not in text, file.name
        assert "unsafe_allow" not in text, file.name


def test_every_read_of_the_store_is_remembered_for_the_time_in_which_it_is_lost() -> None:
    """Only an export is not: half of one would be worse than none."""
    tree = ast.parse((ROOT / "dashboard" / "queries.py").read_text(encoding="utf-8"))
    forgotten = {
        each.name
        for each in tree.body
        if isinstance(each, ast.FunctionDef)
        and "store()" in ast.unparse(each)
        and "remembered" not in [ast.unparse(decorator) for decorator in each.decorator_list]
    }
    assert forgotten == {"all_mentions"}
