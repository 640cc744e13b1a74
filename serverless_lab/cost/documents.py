"""YAML and JSON files that users write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from serverless_lab.errors import BadInput


def read_document(path: Path, what: str) -> Any:
    """What the file at `path` holds; JSON is YAML too.

    Args:
        what: what the file is called in an error, such as "price file".

    Raises:
        BadInput: it cannot be read.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"the {what} {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is neither YAML nor JSON: {error}") from error
