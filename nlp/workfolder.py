"""The work folder of training: its stages are taken up by name, so none may be half written or of other rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from nlp.classifier import NlpError

FILE = "made-of.json"


def write_whole(file: Path, write: Callable[[Path], object]) -> None:
    """What `write` writes, under its name only once it is whole: half a file would count as done."""
    fresh = file.with_name(f"fresh-{file.name}")
    write(fresh)
    fresh.replace(file)


def claim(folder: Path, made_of: Mapping[str, Path | str | None]) -> None:
    """Notes in `folder` what is learnt there: by name a file, or what has a name only, or None where there is none.

    Raises NlpError if what was begun there is of others.
    """
    wanted = {name: _digest(what) if isinstance(what, Path) else what for name, what in made_of.items() if what}
    record = folder / FILE
    if not record.exists():
        write_whole(record, lambda fresh: fresh.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8"))
        return
    try:
        begun = json.loads(record.read_text(encoding="utf-8"))
        differ = [name for name in made_of if begun.get(name) != wanted.get(name)]
    except (OSError, ValueError, AttributeError) as e:
        raise NlpError(f"{record} 读不了 ({e}); 请换一个 --work") from e
    if differ:
        raise NlpError(
            f"{folder} 里已有用另一份 {', '.join(differ)} 训练的阶段, 不能接着用; 请换一个 --work, 或先清空它"
        )


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as e:
        raise NlpError(f"{file} 读不了: {e}") from e
