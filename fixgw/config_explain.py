"""The models' errors in our words, each at its place in the file. No message repeats what may be a secret."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from fixgw.strict_yaml import Document, Path, Problem


def explain(document: Document, error: ValidationError, root: type[BaseModel]) -> list[Problem]:
    """Each error of the models at its place, in our words."""
    return [_explain_one(document, dict(detail), root) for detail in error.errors(include_url=False)]


def _explain_one(document: Document, detail: dict[str, Any], root: type[BaseModel]) -> Problem:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    kind, value = detail["type"], detail["input"]
    if kind == "missing":
        return Problem(document.mark(path), path, "is missing")
    if kind == "extra_forbidden":
        hint = suggestion(str(path[-1]), _fields_at(root, path[:-1]))
        return Problem(document.key_mark(path), path, f"is not a key here{hint}")
    mark = document.key_mark(path) if "[key]" in detail["loc"] else document.mark(path)
    if kind == "value_error":
        return Problem(mark, path, str(detail["ctx"]["error"]))
    if kind in ("model_type", "dict_type"):
        return Problem(mark, path, f"must be a mapping of keys to values{_instead(value)}")
    if kind == "tuple_type":
        return Problem(mark, path, f"must be a list{_instead(value)}")
    if kind == "string_type":
        return Problem(mark, path, f"must be text{_instead(value)}; text that looks like a number goes in quotes")
    return Problem(mark, path, detail["msg"].replace("Input should", "should", 1) + _instead(value))


def _instead(value: object) -> str:
    if value is None:
        return ", not nothing"
    return "" if isinstance(value, dict | list) else f", not {value}"


def _fields_at(root: type[BaseModel], path: Path) -> list[str]:
    """The keys that the model at this path knows."""
    model: type[BaseModel] | None = root
    for part in path:
        if isinstance(part, str) and model is not None:
            field = model.model_fields.get(part)
            model = _model_in(field.annotation) if field is not None else None
    return list(model.model_fields) if model is not None else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model inside ``Model``, ``tuple[Model, ...]`` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)


def suggestion(word: str, known: list[str]) -> str:
    """``; did you mean …?`` when one of the known words is close, else nothing."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""
