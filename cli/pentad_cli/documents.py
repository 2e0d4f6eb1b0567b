"""YAML files as protos, with errors that name the file, the document and the field."""

import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from google.protobuf import json_format
from google.protobuf.message import Message

from pentad_cli.failure import CommandFailed

M = TypeVar("M", bound=Message)

_PLACE = re.compile(r'\s+at "?([A-Za-z]+(?:[.\[][\w.\[\]]*)?)"?\.*$')
_UNKNOWN = re.compile(r'has no field named "([^"]*)" at "([^"]*)".*?(\[.*\])', re.DOTALL)
_OUTER = re.compile(r"^Failed to parse (\w+) field: ")


class _Loader(yaml.SafeLoader):
    """YAML whose dates stay text, as the JSON form of protos wants them."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own attribute
        first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, slots=True)
class Document:
    """One YAML mapping and where it stands."""

    place: str
    """The file, with the number of the document where there are several."""

    value: dict[str, Any]


def read_documents(path: Path) -> list[Document]:
    """Return the documents of a file (`-` is standard input); a list counts as many documents."""
    name = "standard input" if str(path) == "-" else str(path)
    values = [v for v in _load(path, name) if v is not None]
    items = [item for v in values for item in (v if isinstance(v, list) else [v])]
    if not items:
        raise CommandFailed(f"{name} holds no document")
    documents = []
    for number, item in enumerate(items, 1):
        place = f"{name}, document {number}" if len(items) > 1 else name
        if not isinstance(item, dict):
            raise CommandFailed(f"{place}: expected fields such as `name: …`, got {item!r:.60}")
        documents.append(Document(place, item))
    return documents


def to_message(document: Document, message: M) -> M:
    """Fill `message` from a document, or name the field that does not fit."""
    try:
        return json_format.ParseDict(document.value, message)
    except json_format.ParseError as error:
        raise CommandFailed(f"{document.place}: {explain(str(error))}") from None


def explain(error: str) -> str:
    """Turn the text of a ParseError into `path: what is wrong`."""
    if unknown := _UNKNOWN.search(error):
        field, parent, known = unknown.groups()
        fields = [_snake(name) for name in re.findall(r"'(\w+)'", known)]
        near = difflib.get_close_matches(field, fields, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known are {', '.join(fields)}"
        return f"{_join(parent, field)}: no such field; {hint}"
    outer: list[str] = []
    while found := _OUTER.match(error):
        outer.append(_snake(found[1]))
        error = error[found.end() :]
    error = error.strip().rstrip(".")
    if place := _PLACE.search(error):
        error = error[: place.start()].rstrip(" .")
        return f"{_join(place[1]) or '.'.join(outer)}: {error}"
    return f"{'.'.join(outer)}: {error}" if outer else error


def _load(path: Path, name: str) -> Iterator[object]:
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
        # _Loader is a SafeLoader: it builds plain values only.
        yield from yaml.load_all(text, Loader=_Loader)
    except OSError as error:
        raise CommandFailed(f"cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"cannot read {name}: it is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise CommandFailed(f"{name}:{where} {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise CommandFailed(f"{name}: {' '.join(str(error).split())}") from None


def _join(path: str, field: str = "") -> str:
    """Drop the message's own name, which nobody wrote, from the front of a path."""
    _, _, inner = path.partition(".")
    return ".".join(part for part in (inner, field) if part)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda m: "_" + m[1].lower(), name)
