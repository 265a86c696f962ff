"""mentions.json: what belongs to the weights of the transformer, and whether the files beside it are whole."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nlp.classifier import NlpError

FORMAT = 2
FILE = "mentions.json"
WEIGHTS = "mentions.onnx"
TOKENIZER = "tokenizer.json"
MEND = "请从发布包恢复该文件夹, 或运行 python -m nlp.train 重新训练"

Temperature = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]


class Temperatures(BaseModel):
    """Logits are divided by these, so that a probability says how often the model is right."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentiment: Temperature = 1.0
    intent: Temperature = 1.0
    severity: Temperature = 1.0
    aspects: Temperature = 1.0


class Shares(BaseModel):
    """How much the linear model's evidence adds to the logits of a head (nlp/pool.py); 0 leaves it out.

    Of severity it finds less than the transformer alone, so there it has no share.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sentiment: Share = 0.0
    intent: Share = 0.0
    aspects: Share = 0.0


class Manifest(BaseModel):
    """version names the weights; a text has at most max_tokens pieces. sha256: by name, of the other files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = FORMAT
    version: str = Field(min_length=1)
    max_tokens: int = Field(160, ge=8, le=512)
    temperature: Temperatures = Temperatures()
    linear_share: Shares = Shares()
    sha256: dict[str, str] = {}


def read(folder: Path) -> Manifest:
    """Raises NlpError that names the file of `folder` that is missing, damaged or of another making."""
    file = folder / FILE
    with _opened(file) as opened:
        content = opened.read()
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as e:
        problem = e.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        raise NlpError(f"模型文件 {file} 的内容不对 ({where}: {problem['msg']}). {MEND}") from e
    if manifest.format != FORMAT:
        raise NlpError(f"模型文件 {file} 的格式版本 {manifest.format} 与程序的 {FORMAT} 不一致. {MEND}")
    for name in (WEIGHTS, TOKENIZER):
        if _digest(folder / name) != manifest.sha256.get(name):
            raise NlpError(f"模型文件 {folder / name} 与 {FILE} 记录的校验值不符, 可能已损坏或来自另一版本. {MEND}")
    return manifest


def write(manifest: Manifest, folder: Path) -> Manifest:
    """Notes the digests of the files that are there; returns what was written."""
    digests = {name: _digest(folder / name) for name in (WEIGHTS, TOKENIZER)}
    whole = manifest.model_copy(update={"sha256": digests})
    (folder / FILE).write_text(whole.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return whole


def _digest(file: Path) -> str:
    with _opened(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _opened(file: Path) -> BufferedReader:
    try:
        return file.open("rb")
    except FileNotFoundError as e:
        raise NlpError(f"找不到模型文件 {file}. {MEND}") from e
    except OSError as e:
        raise NlpError(f"模型文件 {file} 无法读取 ({e}). {MEND}") from e
