"""The pages `/docs` and `/docs/errors`: plain HTML, one style sheet inside, no script and nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from yurt.inbound.rest.problems import CATALOGUE, Entry

_METHODS = ("get", "put", "post", "patch", "delete", "head")
_WORDS = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<strong>[^*]+)\*\*|\[(?P<text>[^]]+)\]\((?P<link>[^)\s]+)\)")
_EXAMPLE_URL = "http://127.0.0.1:7600"


@dataclass(frozen=True, slots=True)
class Html:
    """A page, and the hash that its content security policy must allow."""

    text: str
    style_hash: str


def reference(document: Mapping[str, Any], notes: Sequence[str]) -> Html:
    """The API reference, made from the OpenAPI document."""
    rows = list(_rows(document))
    tags = [tag["name"] for tag in document["tags"]]
    body = [
        f"<h1>{escape(document['info']['title'])} <span class=quiet>{escape(document['info']['version'])}</span></h1>"
    ]
    body += [f"<p class=note>{_inline(note)}</p>" for note in notes]
    body.append(_blocks(document["info"]["description"].partition("**Note**")[0]))
    body.append(_contents(tags, rows))
    for tag in tags:
        body.append(f"<h2 id='{escape(tag)}'>{escape(tag)}</h2>")
        body += [_operation(row) for row in rows if row["tags"] == [tag]]
    body.append("<h2 id=schemas>Schemas</h2>")
    body += [_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return _page("Yurt API", body)


def errors() -> Html:
    """The catalogue of errors."""
    body = [
        "<h1>Errors</h1>",
        _blocks(
            "Every error is `application/problem+json`. Programs decide by `code`; people read `detail`. "
            "`retryable` says whether the same request may succeed later. [The API reference](/docs)."
        ),
    ]
    body += map(_error, CATALOGUE)
    return _page("Yurt errors", body)


def _page(title: str, body: Iterable[str]) -> Html:
    style = files("yurt.inbound.rest").joinpath("static/docs.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = (
        f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<style>{style}</style></head><body>{''.join(body)}</body></html>"
    )
    return Html(text, f"'sha256-{digest}'")


def _rows(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The operations, each with its method, its whole path and its answers written out."""
    responses = document["components"]["responses"]
    for path, item in document["paths"].items():
        prefix = item.get("servers", document["servers"])[0]["url"].rstrip("/")
        for method in _METHODS:
            if method in item:
                answers = {
                    status: responses[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
                    for status, one in item[method]["responses"].items()
                }
                yield {**item[method], "method": method.upper(), "path": prefix + path, "responses": answers}


def _contents(tags: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    out = []
    for tag in tags:
        links = "".join(
            f"<li><a href='#{escape(row['operationId'])}'>{escape(row['summary'])}</a></li>"
            for row in rows
            if row["tags"] == [tag]
        )
        out.append(f"<h3>{escape(tag)}</h3><ul>{links}</ul>")
    links = "<a href='#schemas'>Schemas</a> · <a href='/docs/errors'>Errors</a> · <a href='/openapi.json'>OpenAPI</a>"
    return f"<nav>{''.join(out)}<p>{links}</p></nav>"


def _operation(row: Mapping[str, Any]) -> str:
    address = f"<code><span class=method>{row['method']}</span> {escape(row['path'])}</code>"
    out = [
        f"<section id='{escape(row['operationId'])}'><h3>{escape(row['summary'])}</h3>",
        f"<p>{address} <span class=quiet>{escape(row['operationId'])}</span></p>",
        _blocks(row["description"]),
    ]
    if row["parameters"]:
        out.append(_table(("Parameter", "In", "Type", ""), map(_parameter, row["parameters"])))
    for media, content in row.get("requestBody", {}).get("content", {}).items():
        out.append(f"<p>Body: <code>{escape(media)}</code> {_type(content['schema'])}</p>")
    out.append(f"<pre><code>{escape(_curl(row))}</code></pre>")
    out.append(_table(("Answer", "", "Body"), map(_answer, row["responses"].items())))
    out += [_example(content["example"]) for content in _contents_of(row) if "example" in content]
    return "".join(out) + "</section>"


def _contents_of(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for answer in row["responses"].values():
        yield from answer.get("content", {}).values()


def _curl(row: Mapping[str, Any]) -> str:
    path = row["path"]
    for parameter in row["parameters"]:
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
    parts = ["curl"]
    if row["method"] != "GET":
        parts.append("--head" if row["method"] == "HEAD" else f"-X {row['method']}")
    if row.get("security") != []:
        parts.append('-H "Authorization: Bearer $YURT_TOKEN"')
    for media, content in row.get("requestBody", {}).get("content", {}).items():
        if media == "application/json":
            parts.append(f"--json '{json.dumps(content.get('example', {}), ensure_ascii=False)}'")
        else:
            parts.append(f"-H 'Content-Type: {media}' --data-binary @FILE")
        break
    return " ".join([*parts, _EXAMPLE_URL + path])


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, ...]:
    schema = parameter["schema"]
    default = f" Default: <code>{escape(json.dumps(schema['default']))}</code>." if "default" in schema else ""
    return (
        f"<code>{escape(parameter['name'])}</code>" + (" (required)" if parameter["required"] else ""),
        escape(parameter["in"]),
        _type(schema),
        _inline(parameter["description"]) + default,
    )


def _answer(answer: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    status, found = answer
    bodies = [
        f"<code>{escape(media)}</code> {_type(content['schema'])}"
        for media, content in found.get("content", {}).items()
    ]
    return f"<code>{status}</code>", _inline(found["description"]), "<br>".join(bodies)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"<code>{escape(key)}</code>" + (" (required)" if key in required else ""),
            _type(one),
            _inline(one.get("description", "")),
        )
        for key, one in schema.get("properties", {}).items()
    ]
    table = _table(("Key", "Type", ""), rows) if rows else f"<p>{_type(schema)}</p>"
    return (
        f"<section id='schema-{escape(name)}'><h3>{escape(name)}</h3>{_blocks(schema.get('description', ''))}{table}"
        "</section>"
    )


def _type(schema: Any) -> str:
    """A few words for a schema, with links to those that have names."""
    if not isinstance(schema, Mapping) or not schema:
        return "anything"
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#schema-{name}'>{name}</a>"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(map(_type, schema[key]))
    if "enum" in schema:
        return ", ".join(f"<code>{escape(json.dumps(one))}</code>" for one in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(json.dumps(schema['const']))}</code>"
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if kind == "object" and set(schema.get("properties", ())) >= {"data"}:
        return f"page of {_type(schema['properties']['data'].get('items'))}"
    return escape(f"{kind}{_bounds(schema)}")


def _bounds(schema: Mapping[str, Any]) -> str:
    low = schema.get("minimum", schema.get("exclusiveMinimum", ""))
    high = schema.get("maximum", schema.get("exclusiveMaximum", ""))
    return f", {low} to {high}" if low != "" or high != "" else ""


def _error(entry: Entry) -> str:
    codes = "".join(
        f"<li id='{escape(code)}'><code>{escape(code)}</code>: {_inline(meaning)}</li>"
        for code, meaning in entry.codes.items()
    )
    narrower = f"<p>Narrower codes:</p><ul>{codes}</ul>" if codes else ""
    return (
        f"<section id='{escape(entry.kind.code)}'><h3><code>{escape(entry.kind.code)}</code></h3>"
        f"<p class=quiet>{escape(entry.kind.title)} · status {entry.status}"
        f"{' · retryable' if entry.kind.retryable else ''}</p>"
        f"<p>{_inline(entry.meaning)}</p><p><strong>What to do</strong>: {_inline(entry.remedy)}</p>{narrower}"
        "</section>"
    )


def _example(example: Any) -> str:
    return f"<pre><code>{escape(json.dumps(example, indent=2, ensure_ascii=False))}</code></pre>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{one}</th>" for one in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _blocks(text: str) -> str:
    """Paragraphs and bullet lists of the little Markdown that descriptions use."""
    out = []
    for block in re.split(r"\n\s*\n", text.strip()):
        if block.startswith("* "):
            points = re.split(r"\n?^\* ", block, flags=re.MULTILINE)[1:]
            out.append("<ul>" + "".join(f"<li>{_inline(point)}</li>" for point in points) + "</ul>")
        elif block:
            out.append(f"<p>{_inline(block)}</p>")
    return "".join(out)


def _inline(text: str) -> str:
    out, at = [], 0
    for found in _WORDS.finditer(text):
        out.append(escape(text[at : found.start()]))
        at = found.end()
        if found["code"]:
            out.append(f"<code>{escape(found['code'])}</code>")
        elif found["strong"]:
            out.append(f"<strong>{escape(found['strong'])}</strong>")
        else:
            out.append(f"<a href='{escape(found['link'])}'>{escape(found['text'])}</a>")
    return "".join(out) + escape(text[at:])
