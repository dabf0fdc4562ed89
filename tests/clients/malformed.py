"""Malformed and odd requests against `apc serve`, each of which must get a proper refusal.

    python malformed.py http://127.0.0.1:PORT --count 10000 [--seed N] [--pid PID]

Needs no packages. Wrong values at every field that /openapi.json describes, broken JSON, odd paths, methods and headers, and
garbage on the socket. An answer must be well-formed HTTP with status 2xx or 4xx within --limit seconds, an error must be JSON
as OpenAI writes it, and nothing may tell of files of the machine or of the program's insides. Ends with 1 where one is not.
Operations that change a character are asked for a character that is not there, unless --change NAME names one that may suffer.
"""

import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import pathlib
import random
import re
import select
import socket
import sys
import threading
import time
import urllib.parse

# What tells of the machine or of the program, unless the request said it first.
LEAKS = re.compile(
    rb"/root|/work|/tmp|/home|/usr/|untagged enum|panick|\.rs:|serde|Option<|Option::|Vec<|RUST_|thread '|unwrap|"
    rb"\bstruct\b|\benum\b|\bvariant\b|newtype|\b[fiu](?:8|16|32|64|128)\b|\b[ui]size\b|"
    rb"expected a (?:sequence|map)\b|\b[A-Z][a-z]+(?:Request|Options|Texts|Config|Error)\b|hyper|axum|tokio"
)
ERROR = {"message": str, "type": str, "param": (str, type(None)), "code": (str, type(None))}
SLOT = "\x01slot\x01"

# Values as JSON text, so that what Python does not write can be sent.
VALUES = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "1",
    "-1",
    "-2",
    "1.5",
    "0.1",
    "33",
    "1e3",
    "1e-400",
    "1e308",
    "-1e308",
    "1e309",
    "-1e999",
    "NaN",
    "Infinity",
    "-Infinity",
    "nan",
    "0x10",
    "1_000",
    "+1",
    "01",
    ".5",
    "5.",
    "1e",
    str(2**31),
    str(2**53 + 1),
    str(2**63),
    str(-(2**63) - 1),
    str(2**64),
    "1" * 400,
    "0." + "1" * 400,
    '""',
    '" "',
    '"a"',
    '"1"',
    '"null"',
    '"true"',
    '"user"',
    '"tool"',
    '"USER"',
    '"text"',
    r'"\u0000"',
    r'"a\u0000b"',
    r'"\ud800"',
    r'"\udc00\ud800"',
    r'"\ud83d\ude00"',
    '"\u202e\ufeff\u200b"',
    '"\U0001f600"',
    '"e\u0301"',
    '"\uffff"',
    '"\ufdfa"',
    '"\x01"',
    '"\n"',
    '"\t"',
    r'"\x"',
    r'"\u12"',
    '"<start_of_turn>model"',
    '"<end_of_turn>"',
    '"<|im_end|>"',
    '"{{ 7*7 }}"',
    '"../../etc/passwd"',
    '"\' OR 1=1 --"',
    '"%s%n"',
    '"' + "x" * 20_000 + '"',
    '"' + "\u00e9" * 5_000 + '"',
    "[]",
    "[null]",
    "[[]]",
    "[1]",
    '[""]',
    '["a"]',
    '["a", 1]',
    '["a", null]',
    "[{}]",
    '[["a"]]',
    "{}",
    '{"a": 1}',
    '{"": null}',
    '{"1": 1}',
    '{"-1": 1}',
    '{"1": "a"}',
    '{"1": 1e999}',
    '{"99999999999999999999": 1}',
    '{"999999": 100}',
    '{"1": 1, "1": 2}',
    '[{"type": "text"}]',
    '[{"type": "text", "text": null}]',
    '[{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]',
    '[{"type": "text", "text": "a"}]',
    '{"role": "user", "content": "a"}',
    '[{"role": "user", "content": "a"}]',
    '[{"role": "assistant", "content": "a"}]',
    '[{"role": "system"}]',
    '{"include_usage": 1}',
    '{"best_of": -1}',
    "[" * 200 + "]" * 200,
    '{"a":' * 200 + "1" + "}" * 200,
    "[" + ",".join(['"a"'] * 3000) + "]",
    "[" + ",".join(["0"] * 3000) + "]",
    "'a'",
    "undefined",
    "",
    "/* */ 1",
    "1,",
]


class Fault(Exception):
    """What is wrong with an answer."""


class Answer:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    def header(self, name):
        found = [value for key, value in self.headers if key == name]
        return found[0] if found else None


class Connection:
    """A socket, and answers as strictly read as HTTP is written."""

    def __init__(self, address, limit):
        self.limit, self.raw = limit, b""
        self.socket = socket.create_connection(address, timeout=limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.settimeout(self.limit)
        self.socket.sendall(data)

    def more(self, until):
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.socket.settimeout(left)
        new = self.socket.recv(1 << 16)
        self.raw += new
        return bool(new)

    def upto(self, end, until):
        while end not in self.raw:
            if not self.more(until):
                raise ConnectionError("closed")
        found, _, self.raw = self.raw.partition(end)
        return found

    def exactly(self, size, until):
        while len(self.raw) < size:
            if not self.more(until):
                raise Fault(f"the body ends after {len(self.raw)} of {size} bytes")
        found, self.raw = self.raw[:size], self.raw[size:]
        return found

    def answer(self, method="POST"):
        """The next answer; nothing if the connection is closed in place of one."""
        until = time.monotonic() + self.limit
        while True:
            try:
                head = self.upto(b"\r\n\r\n", until)
            except ConnectionError:
                if self.raw:
                    raise Fault(f"no whole head: {self.raw[:100]!r}") from None
                return None
            lines = head.split(b"\r\n")
            first = re.fullmatch(rb"HTTP/1\.[01] ([1-9][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)", lines[0])
            if not first:
                raise Fault(f"status line {lines[0][:100]!r}")
            headers = []
            for line in lines[1:]:
                match = re.fullmatch(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t \x21-\x7e\x80-\xff]*)", line)
                if not match:
                    raise Fault(f"header {line[:100]!r}")
                headers.append((match[1].decode().lower(), match[2].decode("latin-1").strip()))
            answer = Answer(int(first[1]), first[2].decode("latin-1"), headers, b"")
            if answer.status != 100:
                break
        length, coding = answer.header("content-length"), answer.header("transfer-encoding")
        if length is not None and coding is not None:
            raise Fault("both content-length and transfer-encoding")
        if len([1 for key, _ in headers if key == "content-length"]) > 1:
            raise Fault("two content-lengths")
        if method == "HEAD" or answer.status in (204, 304) or (method == "CONNECT" and answer.status < 300):
            return answer
        if coding is not None:
            while size := int(re.match(rb"[0-9a-fA-F]+", self.upto(b"\r\n", until))[0], 16):
                answer.body += self.exactly(size, until)
                if self.exactly(2, until) != b"\r\n":
                    raise Fault("a chunk without its end")
            if self.upto(b"\r\n", until):
                raise Fault("trailers that nobody asked for")
        elif length is not None:
            answer.body = self.exactly(int(length), until)
        else:
            while self.more(until):
                pass
            answer.body, self.raw = self.raw, b""
        return answer


class Request:
    """Bytes, and what may come of them."""

    def __init__(self, kind, raw, method="POST", may_close=False, may_be_bare=False, valid=None, show=None, brief=None):
        self.kind, self.raw, self.method, self.may_close, self.may_be_bare = kind, raw, method, may_close, may_be_bare
        self.valid, self.show, self.brief = valid, show, brief

    def shown(self):
        return shortened(self.show or self.raw.decode("latin-1"))


def shortened(text):
    """The same parts again and again, written short."""
    text = re.sub(r"(.{1,4}?)\1{30,}", lambda found: f"{found[1]}…×{len(found[0]) // len(found[1])}", text, flags=re.S)
    return text if len(text) <= 400 else f"{text[:280]} … {text[-100:]}"


def strict(text):
    def constant(name):
        raise ValueError(f"{name} in JSON")

    return json.loads(text, parse_constant=constant)


def check(request, answer):
    """Raises a fault where an answer is none as it should be."""
    if answer.status >= 500 or answer.status < 200 or 300 <= answer.status < 400:
        raise Fault(f"status {answer.status}: {answer.body[:150]!r}")
    told = answer.body + b"\n" + answer.reason.encode("latin-1") + b"\n" + repr(answer.headers).encode()
    own = request.raw.lower()
    kind = (answer.header("content-type") or "").partition(";")[0]
    is_ours = answer.status >= 400 or (kind == "application/json" and b'"error"' in answer.body[:20])
    for leak in LEAKS.finditer(told) if is_ours else []:
        if leak[0].lower() not in own:
            told = answer.body.decode("utf-8", "replace")
            told = told if len(told) < 400 else told[:200] + " … " + told[-150:]
            raise Fault(f"tells of {leak[0].decode('latin-1')!r}: {told}")
    if request.method == "HEAD":
        return
    if answer.status >= 400:
        if request.may_be_bare and not answer.body:
            return
        if kind != "application/json":
            raise Fault(f"status {answer.status} without a JSON body: {kind!r} {answer.body[:100]!r}")
        try:
            error = strict(answer.body.decode())["error"]
            shaped = set(error) == set(ERROR) and all(isinstance(error[key], own) for key, own in ERROR.items())
        except (ValueError, KeyError, TypeError) as broken:
            raise Fault(f"status {answer.status}, body {answer.body[:100]!r}: {broken}") from None
        if not shaped or not error["message"].strip():
            raise Fault(f"status {answer.status}, error {error}")
        if len(error["message"]) > 2000:
            raise Fault(f"status {answer.status}, a message of {len(error['message'])} characters: {error['message'][:100]}")
    elif kind == "application/json":
        try:
            strict(answer.body.decode())
        except ValueError as broken:
            raise Fault(f"status {answer.status}, no JSON: {broken}: {answer.body[:100]!r}") from None
    elif kind == "text/event-stream":
        events = [line[5:].strip() for line in answer.body.split(b"\n") if line.startswith(b"data:")]
        if not events or events[-1] != b"[DONE]":
            raise Fault(f"a stream that ends with {events[-1:]!r}")
        for event in events[:-1]:
            strict(event.decode())


# Whether a value is as the description has it.


def fits(schema, value, root):
    if "$ref" in schema:
        return fits(resolved(schema, root), value, root)
    for one in ("oneOf", "anyOf"):
        if one in schema and not any(fits(part, value, root) for part in schema[one]):
            return False
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kinds:
        known = {
            "null": value is None,
            "boolean": isinstance(value, bool),
            "string": isinstance(value, str),
            "array": isinstance(value, list),
            "object": isinstance(value, dict),
            "number": is_number,
            "integer": is_number and float(value).is_integer(),
        }
        if not any(known[kind] for kind in kinds):
            return False
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return False
    if is_number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return False
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
        return False
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return False
        return all(fits(schema.get("items", {}), one, root) for one in value)
    if isinstance(value, dict):
        own, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        pattern = schema.get("propertyNames", {}).get("pattern", "")
        for key, one in value.items():
            if not re.search(pattern, key) or (key not in own and other is False):
                return False
            if not fits(own.get(key, other if isinstance(other, dict) else {}), one, root):
                return False
        return all(key in value for key in schema.get("required", []))
    return True


def resolved(schema, root):
    while "$ref" in schema:
        found = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def places(schema, root, value, path=()):
    """Every field of a schema with a body in which it stands: (path, body)."""
    schema = resolved(schema, root)
    yield path
    for part in schema.get("oneOf", []) + schema.get("anyOf", []):
        yield from (place for place in places(part, root, value, path) if place != path)
    for key, own in schema.get("properties", {}).items():
        yield from places(own, root, value, (*path, key))
    if isinstance(schema.get("additionalProperties"), dict):
        yield (*path, "1")
    if "items" in schema:
        yield from places(schema["items"], root, value, (*path, 0))


def put(body, path, new):
    """A body with another value at a place; what is missing on the way there is made."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    if isinstance(key, int):
        old = list(body) if isinstance(body, list) else []
        old = old or [{"type": "text", "text": "a"} if rest else None]
        old[key] = put(old[key], rest, new)
        return old
    old = dict(body) if isinstance(body, dict) else {}
    old[key] = put(old.get(key), rest, new)
    return old


def without(body, path):
    body = json.loads(json.dumps(body))
    at = body
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return body


class Malformed:
    def __init__(self, options):
        self.options = options
        address = urllib.parse.urlsplit(options.url)
        self.address = (address.hostname, address.port or 80)
        self.host = f"{self.address[0]}:{self.address[1]}"
        self.random = random.Random(options.seed)
        self.local, self.lock = threading.local(), threading.Lock()
        self.statuses, self.kinds, self.slow = collections.Counter(), collections.Counter(), []
        self.faults = collections.defaultdict(list)
        self.lenient = collections.defaultdict(lambda: collections.defaultdict(set))
        self.held = {}
        self.description = json.loads(self.once(self.message("GET", "/openapi.json")).body)

    # Requests as bytes

    def message(self, method, path, body=None, headers=(), version="HTTP/1.1", kind="application/json", host=True, length=True):
        if isinstance(path, str):
            path = path.encode("utf-8", "surrogateescape")
        lines = [method.encode() + b" " + path + b" " + version.encode()]
        if host:
            lines.append(b"Host: " + self.host.encode())
        if self.options.key and not any(line.lower().startswith(b"authorization") for line in headers):
            lines.append(b"Authorization: Bearer " + self.options.key.encode())
        if body is not None:
            if kind:
                lines.append(b"Content-Type: " + kind.encode())
            if length:
                lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join([*lines, *headers]) + b"\r\n\r\n" + (body or b"")

    def once(self, raw, method="GET"):
        connection = Connection(self.address, self.options.limit)
        try:
            connection.send(raw)
            return connection.answer(method)
        finally:
            connection.close()

    # What is described

    def operations(self):
        """Method, path, the schema of the body if there is one; a path's names are filled in."""
        for path, methods in self.description["paths"].items():
            for method, operation in methods.items():
                if method in ("get", "post", "put", "patch", "delete", "head", "options"):
                    content = operation.get("requestBody", {}).get("content", {})
                    schema = content.get("application/json", {}).get("schema")
                    yield method.upper(), self.filled(method, path), schema

    def filled(self, method, path):
        is_change = "{" in path and method != "get"
        name = (self.options.change or "Nobody") if is_change else (self.options.model or "base")
        return re.sub(r"\{\w+\}", urllib.parse.quote(name), path)

    def body(self, path, schema):
        """A small body that is valid for an operation."""
        short = {"max_tokens": 1, "stop": [" ", "e", "a"]}
        # The plain model needs no judges.
        if path.endswith("/chat/completions"):
            return {"model": "base", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 1, **short}
        if path.endswith("/completions"):
            return {"model": "base", "prompt": "Hi", "max_completion_tokens": 1, **short}
        if path.endswith("/score"):
            return {"query": "Hi", "response": "Hello"}
        return self.made(schema)

    def made(self, schema):
        schema = resolved(schema, self.description)
        if "oneOf" in schema or "anyOf" in schema:
            return self.made((schema.get("oneOf") or schema["anyOf"])[-1])
        kind = schema.get("type")
        kind = kind[0] if isinstance(kind, list) else kind
        if "enum" in schema:
            return schema["enum"][0]
        if kind == "object":
            return {key: self.made(schema["properties"][key]) for key in schema.get("required", [])}
        return {"string": "a", "integer": 1, "number": 1, "boolean": False, "array": [], None: None}.get(kind)

    # Kinds of requests

    def fields(self):
        """Every odd value at every field of every body."""
        for method, path, schema in self.operations():
            if not schema:
                continue
            valid = self.body(path, schema)
            for place in dict.fromkeys(places(schema, self.description, valid)):
                template = json.dumps(put(valid, place, SLOT), ensure_ascii=False)
                for value in VALUES:
                    body = template.replace(json.dumps(SLOT), value)
                    if value == "" and place:
                        body = re.sub(r'"\w+": (?=[,}])|(?<=\[)(?=\])', "", body)
                    yield self.with_body(f"field {path}", method, path, body, schema, place, value)
                if place:
                    try:
                        shorter = json.dumps(without(put(valid, place, 1), place))
                        yield self.with_body(f"field {path}", method, path, shorter, schema, place, "missing")
                    except (KeyError, IndexError, TypeError):
                        pass

    def with_body(self, kind, method, path, body, schema, place, value):
        raw = body.encode("utf-8", "surrogatepass")
        try:
            read = strict(body)
            # Half of a surrogate pair is no text, and infinity no number.
            json.dumps(read, ensure_ascii=False, allow_nan=False).encode()
            valid = fits(schema, read, self.description)
        except (ValueError, RecursionError, OverflowError):
            valid = False
        name = ".".join(map(str, place)) or "body"
        brief = shortened(f"{name} = {value}") if value else shortened(body)
        return Request(
            kind, self.message(method, path, raw), method, valid=valid, show=f"{method} {path} [{name}] {body}", brief=brief
        )

    def mixtures(self):
        """Two or three fields at once, for ever."""
        known = [(method, path, schema, self.body(path, schema)) for method, path, schema in self.operations() if schema]
        known = [(*one, list(dict.fromkeys(places(one[2], self.description, one[3])))) for one in known]
        while True:
            method, path, schema, body, all_places = self.random.choice(known)
            values = {}
            for number in range(self.random.choice([2, 2, 3])):
                values[f"{SLOT}{number}"] = self.random.choice(VALUES)
                body = put(body, self.random.choice(all_places), f"{SLOT}{number}")
            text = json.dumps(body, ensure_ascii=False)
            for slot, value in values.items():
                text = text.replace(json.dumps(slot), value)
            yield self.with_body("mixture", method, path, text, schema, ("several",), None)

    def flips(self):
        """Valid bodies with some bytes changed, left out or doubled, for ever."""
        known = [
            (method, path, json.dumps(self.body(path, schema)).encode()) for method, path, schema in self.operations() if schema
        ]
        while True:
            method, path, raw = self.random.choice(known)
            raw = bytearray(raw)
            for _ in range(self.random.randint(1, 4)):
                at = self.random.randrange(len(raw))
                way = self.random.randrange(4)
                if way == 0:
                    raw[at] = self.random.randrange(256)
                elif way == 1:
                    del raw[at]
                elif way == 2:
                    raw[at:at] = raw[at : at + self.random.randint(1, 20)]
                else:
                    raw[at:at] = self.random.choice(
                        [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\0", b'"', b"{", b"]", b"\\", b"1e9"]
                    )
            yield Request("flipped bytes", self.message(method, path, bytes(raw)), method, show=f"{method} {path} {bytes(raw)}")

    def bodies(self):
        """Bodies that are no JSON objects at all, or under another name."""
        for method, path, schema in self.operations():
            if not schema:
                continue
            text = json.dumps(self.body(path, schema))
            good = text.encode()
            odd = [
                b"",
                b" ",
                b"\0",
                b"{",
                b"}",
                b"[]",
                b"null",
                b"1",
                b'"a"',
                b"true",
                b"NaN",
                b"{}{}",
                good + b"x",
                good + b"\0",
                good + good,
                b"\xef\xbb\xbf" + good,
                text.encode("utf-16"),
                text.encode("utf-32"),
                b"\xff\xfe",
                b"\xc0\x80",
                b"// a\n" + good,
                good.replace(b'"', b"'"),
                b"a=b&c=d",
                b"<?xml version='1.0'?><a/>",
                b"\x1f\x8b\x08\0",
                b"{,}",
                b"{" + b'"a":1,' * 50_000 + good[1:],
                b"[" * 10_000,
                b"[" * 10_000 + b"]" * 10_000,
                b'{"a":' * 10_000,
                b'{"messages":' * 10_000 + b"1" + b"}" * 10_000,
                b'{"messages":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
                b'{"messages":[{"role":"user","content":' + b"[" * 10_000 + b"]" * 10_000 + b"}]}",
                good[:-1] + b',"a":' + good,
                b'{"max_tokens":1,"max_tokens":2,' + good[1:],
                b'{"model":"base","model":"base",' + good[1:],
                good[:-1] + b",}",
                b'{"__proto__":{"a":1},' + good[1:],
                b" " * (2 << 20),
                good + b" " * ((2 << 20) - len(good)),
                good + b" " * ((2 << 20) + 1 - len(good)),
                b"x" * (3 << 20),
                b"\n" * 100_000 + good,
                b"1" * 1_000_000,
            ]
            for body in odd:
                yield Request(
                    "body",
                    self.message(method, path, body),
                    method,
                    show=f"{method} {path} {body[:150]!r}" + (f" … {len(body)} bytes" if len(body) > 150 else ""),
                )
            for end in range(len(good)):
                yield Request("cut body", self.message(method, path, good[:end]), method, show=f"{method} {path} {good[:end]!r}")
            for kind in [
                "text/plain",
                "",
                "application/xml",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
                "a",
                "/",
                "application/json; charset=utf-16",
                "application/json;;;",
                "x" * 5000,
                "application/jso\xe9",
            ]:
                yield Request("content type", self.message(method, path, good, kind=kind), method)
            for coding in [b"gzip", b"br", b"deflate", b"identity", b"x", b"gzip, gzip"]:
                raw = self.message(method, path, good, [b"Content-Encoding: " + coding])
                yield Request("content encoding", raw, method)

    def sizes(self):
        """Long texts in valid bodies."""
        base = {"model": "base", "max_tokens": 1}
        for size in [1000, 10_000, 100_000, 1_000_000, 2_000_000]:
            for unit in ["x", "a ", "\n", "\u4f60", "\U0001f600"]:
                text = unit * (size // len(unit.encode()))
                name = f"{unit!r} × {len(text) // len(unit)}"
                turns = [{"role": "user", "content": text}]
                small = {"messages": [{"role": "user", "content": "a"}]}
                for where, path, body in [
                    ("content for the plain model", "chat/completions", base | {"messages": turns}),
                    ("content", "chat/completions", {"max_tokens": 1, "messages": turns}),
                    ("stop", "chat/completions", base | {"stop": text} | small),
                    ("model", "chat/completions", base | {"model": text} | small),
                    ("prompt", "completions", base | {"prompt": text}),
                    ("query", "score", {"query": text, "response": "a"}),
                    ("response", "score", {"query": "a", "response": text}),
                ]:
                    raw = json.dumps(body, ensure_ascii=False).encode()
                    yield Request(
                        "long text",
                        self.message("POST", "/v1/" + path, raw),
                        show=f"POST {path} {where} = {name}",
                        brief=(where, unit),
                    )
        turns = [{"role": ["user", "assistant"][idx % 2], "content": "a"} for idx in range(2001)]
        for count in [1999, 2000, 2001]:
            raw = json.dumps(base | {"messages": turns[:count]}).encode()
            yield Request("long text", self.message("POST", "/v1/chat/completions", raw), show=f"chat with {count} turns")
        raw = json.dumps(base | {"prompt": ["a"] * 1000}).encode()
        yield Request("long text", self.message("POST", "/v1/completions", raw), show="completions with 1000 prompts")
        for n in [32, 33, 1000, 10**9]:
            raw = json.dumps(base | {"prompt": ["a"] * n if n < 100 else "a", "n": n}).encode()
            yield Request(
                "long text", self.message("POST", "/v1/completions", raw), show=f"completions with n = {n} (and prompts)"
            )

    def methods(self):
        """Methods that no path has, or not this one."""
        known = collections.defaultdict(set)
        for path, methods in self.description["paths"].items():
            known[self.filled("get", path)] |= {method.upper() for method in methods}
        for path in [*known, "/", "/page.css", "/nowhere", "/v1", "*"]:
            for method in [
                "GET",
                "POST",
                "PUT",
                "DELETE",
                "PATCH",
                "HEAD",
                "OPTIONS",
                "TRACE",
                "CONNECT",
                "PROPFIND",
                "FOO",
                "get",
                "M-SEARCH",
                "X" * 1000,
                "G\u00cbT",
                "G ET",
                "",
                "G\0T",
                "(",
                "PRI",
            ]:
                if method in known[path]:
                    continue
                is_odd = not re.fullmatch(r"[A-Z-]{1,100}", method) or path == "*"
                for body in [None, b"{}"]:
                    raw = self.message(method, path, body)
                    yield Request("method", raw, method, may_close=is_odd or method in ("CONNECT", "PRI"), may_be_bare=is_odd)

    def paths(self):
        names = [
            "..",
            ".",
            "%2e%2e",
            "%2e%2e%2f",
            "..%2f..%2fetc%2fpasswd",
            "..\\..\\etc\\passwd",
            "%00",
            "a%00b",
            "%",
            "%2",
            "%zz",
            "%ff",
            "%c0%ae%c0%ae",
            "%ed%a0%80",
            "%0d%0aX-Injected:%201",
            "%250a",
            ";a=b",
            "a" * 10_000,
            "a/" * 5_000,
            "/" * 5_000,
            "~root",
            "//evil.com/",
            "etc/passwd",
            "...",
            " ",
            "a b",
            "\u00e9",
            "\udcff",
            "\udc80\udcfe",
            "\\",
            "|",
            "<script>",
            '"',
            "{id}",
            "[",
            "^",
            "`",
            "%3Cscript%3E",
            "Alice%40base",
            "base",
            "BASE",
            "Alice@base@base",
            "@base",
            "?",
            "#",
            "?a=b",
            "?%00",
            "??",
            "?a=" + "b" * 10_000,
            "a?../../x",
            "\t",
            "\x7f",
            "\x01",
            "con",
            "aux:",
            "%25%32%65",
            "%F0%9F%98%80",
            "%E2%80%AE",
        ]
        for front in [
            "/",
            "/v1/",
            "/v1/models/",
            "/v1/characters/",
            "/models/",
            "//v1//models//",
            "/v1/v1/",
            "/page.css/",
            "/v1/models/../",
            "/v1/chat/completions/",
            "/static/",
            "/.",
        ]:
            for name in names:
                is_odd = any(
                    not 0x21 <= byte < 0x7F or byte in b'"<>\\^`{|}#[]' for byte in name.encode("utf-8", "surrogateescape")
                )
                for method, body in [("GET", None), ("POST", b"{}")]:
                    raw = self.message(method, front + name, body)
                    yield Request("path", raw, method, may_be_bare=is_odd or len(name) > 5000, may_close=is_odd)
        for target in [
            "*",
            "http://evil.com/v1/models",
            f"http://{self.host}/v1/models",
            "http://[::1/v1/models",
            "ftp://a/b",
            "//",
            "http://",
            "evil.com:80",
            "",
            "v1/models",
            "?",
            "/" + "a" * 70_000,
            "/?" + "a" * 200_000,
            "http://a:b@c:d/",
            "mailto:a",
        ]:
            yield Request("path", self.message("GET", target), "GET", may_close=True, may_be_bare=True)

    def headers(self):
        """Odd heads on a request that would be valid."""
        chat = json.dumps(self.body("/v1/chat/completions", None)).encode()
        odd = [
            [b"X-A: " + b"a" * 1000],
            [b"X-A: " + b"a" * 100_000],
            [b"X-A: " + b"a" * 1_000_000],
            [b"X-%d: a" % i for i in range(99)],
            [b"X-%d: a" % i for i in range(200)],
            [b"X-%d: a" % i for i in range(5000)],
            [b"A" * 10_000 + b": a"],
            [b"X-A"],
            [b": a"],
            [b" : a"],
            [b"X A: a"],
            [b"X-A : a"],
            [b"X-A: a\0b"],
            [b"X-A: a\rb"],
            [b"X-A: a\nb"],
            [b"X-A: \xff\xfe"],
            [b"X-\xe9: a"],
            [b" X-A: folded"],
            [b"X-A: a", b" folded"],
            [b"X-A:"],
            [b"\0: a"],
            [b"Host: evil.com"],
            [b"Host: "],
            [b"Host: a b"],
            [b"Host: \xff"],
            [b"Content-Length: 0"],
            [b"Content-Length: 5"],
            [b"Content-Length: -1"],
            [b"Content-Length: a"],
            [b"Content-Length: 1, 1"],
            [b"Content-Length: %d" % 2**64],
            [b"Content-Length: 18446744073709551615"],
            [b"Content-Length: +5"],
            [b"Content-Length: 0x5"],
            [b"Content-Length:"],
            [b"Transfer-Encoding: chunked"],
            [b"Transfer-Encoding: gzip"],
            [b"Transfer-Encoding: chunked, chunked"],
            [b"Transfer-Encoding: chunked, gzip"],
            [b"Transfer-Encoding: x"],
            [b"Transfer-Encoding: \x0bchunked"],
            [b"Transfer-Encoding:"],
            [b"Expect: 100-continue"],
            [b"Expect: 200-ok"],
            [b"Expect:"],
            [b"Expect: 100-continue, 100-continue"],
            [b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"],
            [
                b"Upgrade: websocket",
                b"Connection: Upgrade",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                b"Sec-WebSocket-Version: 13",
            ],
            [b"Connection: \xff"],
            [b"Connection: close, keep-alive"],
            [b"Connection: Content-Length"],
            [b"Connection: Host"],
            [b"Keep-Alive: timeout=999999999999"],
            [b"Accept: image/png"],
            [b"Accept: \0"],
            [b"Accept-Encoding: gzip;q=2"],
            [b"Range: bytes=0-0"],
            [b"Range: bytes=9-1,a"],
            [b"If-None-Match: *"],
            [b"If-Modified-Since: x"],
            [b"Origin: null"],
            [b"Origin: http://evil.com"],
            [b"Origin: \xff"],
            [b"Origin:"],
            [b"Authorization: Bearer"],
            [b"Authorization: \xff"],
            [b"Authorization: Basic !!!!"],
            [b"Authorization: Bearer " + b"a" * 7000],
            [b"X-Forwarded-For: 127.0.0.1", b"X-Forwarded-Host: a"],
            [b"X-HTTP-Method-Override: DELETE"],
            [b"Cookie: " + b"a=b; " * 1000],
            [b"Content-Type: a"],
            [b"Date: never"],
            [b"TE: trailers"],
            [b"Trailer: Content-Length"],
            [b"Max-Forwards: -1"],
            [b"Sec-Fetch-Site: cross-site"],
            [b"Access-Control-Request-Method: FOO"],
            [b"Access-Control-Request-Private-Network: true"],
        ]
        for lines in odd:
            for method, path, body in [
                ("POST", "/v1/chat/completions", chat),
                ("GET", "/v1/models", None),
                ("OPTIONS", "/v1/models", None),
            ]:
                yield Request("header", self.message(method, path, body, lines), method, may_close=True, may_be_bare=True)
        for host in [
            "",
            "evil.com",
            "evil.com:80",
            "localhost",
            "127.0.0.1",
            "127.0.0.1.evil.com",
            "[::1]",
            "[::1",
            "a@127.0.0.1",
            "127.0.0.1:99999",
            "LOCALHOST.",
            "0",
            "127.1",
            "2130706433",
            "a" * 5000,
            "127.0.0.1/../",
            "localhost\t",
            "x\x01",
            "%6c",
            "\u00e9",
        ]:
            for path in ["/v1/models", "/"]:
                raw = self.message("GET", path, None, [b"Host: " + host.encode()], host=False)
                yield Request("host", raw, "GET", may_be_bare=True, may_close=True)
        for host in [[], [b"Host: localhost", b"Host: localhost"], [b"Host: localhost", b"Host: evil.com"]]:
            yield Request("host", self.message("GET", "/v1/models", None, host, host=False), "GET", may_be_bare=True)
        for version in [
            "HTTP/1.0",
            "HTTP/0.9",
            "HTTP/2.0",
            "HTTP/3.0",
            "HTTP/1.2",
            "HTTP/1.",
            "HTTP/11",
            "http/1.1",
            "HTTP/1.1 ",
            "",
            "HTTP/9999",
            "ICY",
        ]:
            for method, path, body in [
                ("POST", "/v1/chat/completions", chat),
                ("GET", "/v1/models", None),
                ("GET", "/nowhere", None),
            ]:
                raw = self.message(method, path, body, version=version)
                yield Request("version", raw, method, may_close=True, may_be_bare=version != "HTTP/1.0")
        head = [b"Transfer-Encoding: chunked"]
        for chunks in [
            b"0\r\n\r\n",
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(chat), chat),
            b"zz\r\n",
            b"-1\r\n\r\n",
            b"ffffffffffffffffff\r\na",
            b"5\r\nab\r\n0\r\n\r\n",
            b"\r\n",
            b"5;" + b"a" * 50_000 + b"\r\nabcde\r\n0\r\n\r\n",
            b"1\nx\n0\n\n",
            b"1\r\nx0\r\n\r\n",
            b"0x1\r\na\r\n0\r\n\r\n",
            b"0\r\nX-Trailer: a\r\n\r\n",
            b"0\r\n" + b"X-T: a\r\n" * 5000 + b"\r\n",
            b"1\r\na\r\n" * 30_000 + b"0\r\n\r\n",
            b" 5\r\nabcde\r\n0\r\n\r\n",
            b"%x\r\n%s\r\n0\r\n\r\n" % (3 << 20, b"x" * (3 << 20)),
            b"5 ; a=b\r\nabcde\r\n0\r\n\r\n",
        ]:
            for path in ["/v1/chat/completions", "/v1/completions", "/v1/score"]:
                raw = self.message("POST", path, chunks, head, length=False)
                yield Request("chunks", raw, may_close=True, may_be_bare=True, show=f"POST {path} chunked {chunks[:100]!r}")

    def garbage(self):
        """No HTTP at all; the connection may just be closed."""
        fixed = [
            b"\r\n\r\n",
            b"\n\n",
            b"\0" * 100,
            b"GET /\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/1.1\n\n",
            b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.0\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"EHLO a\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"\xff" * 1000,
            b"A" * 200_000,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0",
            bytes.fromhex("16030100c2010000be0303") + b"\x55" * 180,
            b"\x80\x2e\x01\x00\x02",
            b"GET / HTTP/1.1\r\n\r\n" * 3,
            b"\x04\x01\x00\x50" + b"\0" * 5,
        ]
        for raw in fixed:
            yield Request("garbage", raw + b"\r\n\r\n", "", may_close=True, may_be_bare=True)
        while True:
            size = self.random.choice([1, 10, 100, 1000])
            raw = bytes(self.random.randrange(256) for _ in range(size))
            if self.random.random() < 0.5:
                good = self.message("POST", "/v1/chat/completions", b"{}")
                raw = bytearray(good)
                for _ in range(self.random.randint(1, 6)):
                    raw[self.random.randrange(len(raw) - 6)] = self.random.randrange(256)
                raw = bytes(raw)
            yield Request("garbage", raw + b"\r\n\r\n", "", may_close=True, may_be_bare=True)

    def keys(self):
        for method, path, schema in self.operations():
            for sent in [
                b"",
                b"Bearer",
                b"Bearer ",
                b"Bearer wrong",
                b"bearer \xff",
                b"Basic YTpi",
                b"Bearer " + b"k" * 5000,
                b"Bearer a b",
                b"\xc3\xa9",
                b"Bearer\t" + (self.options.key or "k").encode()[:-1],
            ]:
                yield Request("key", self.message(method, path, b"{}" if schema else None, [b"Authorization: " + sent]), method)

    # Sending

    def one(self, request):
        """Sends a request and judges the answer; a connection is used again where it may be."""
        own, started = getattr(self.local, "connection", None), time.monotonic()
        self.local.connection = None
        is_plain = not (request.may_close or request.may_be_bare)
        try:
            if own and (not is_plain or select.select([own.socket], [], [], 0)[0]):
                own.close()
                own = None
            is_reused = own is not None
            own = own or Connection(self.address, self.options.limit)
            try:
                own.send(request.raw)
            except OSError:
                # It may have answered before it read all.
                pass
            if request.kind == "garbage" or (request.kind == "header" and b"\r\nContent-Length" in request.raw):
                # What waits for more is told that no more comes.
                try:
                    own.socket.shutdown(socket.SHUT_WR)
                except OSError:
                    pass
            if request.raw.startswith(b"PRI * HTTP/2.0\r\n\r\nSM"):
                # Another protocol, which the server may speak.
                return "http/2" if own.more(started + self.options.limit) else "closed", time.monotonic() - started
            try:
                answer = own.answer(request.method)
            except ConnectionError:
                if not is_reused:
                    raise
                answer = None
            if answer is None and is_reused:
                # It was about to be closed when it was used again; clients ask anew then.
                own.close()
                with self.lock:
                    self.kinds["asked anew"] += 1
                own = Connection(self.address, self.options.limit)
                own.send(request.raw)
                answer = own.answer(request.method)
            seconds = time.monotonic() - started
            if answer is None:
                if not request.may_close:
                    raise Fault("closed without an answer")
                return "closed", seconds
            check(request, answer)
            if self.options.key and request.kind == "key" and answer.status == 200:
                if not re.search(rb" (/|/page.*|/health|/openapi.json) HTTP", request.raw):
                    raise Fault("a wrong key is let in")
            if is_plain and answer.header("connection") != "close" and request.method != "CONNECT":
                self.local.connection, own = own, None
            if request.valid is not None and request.valid != (answer.status < 300) and answer.status != 404:
                told = "accepted, but not described" if answer.status < 300 else f"described, but {answer.status}"
                with self.lock:
                    self.lenient[told][request.brief].add(request.raw.split(b" ")[1].decode("latin-1"))
            return answer.status, seconds
        finally:
            if own:
                own.close()

    def judged(self, request):
        started = time.monotonic()
        try:
            status, seconds = self.one(request)
        except Fault as fault:
            status, seconds = "fault", time.monotonic() - started
            self.fault(str(fault), request)
        except TimeoutError:
            status, seconds = "timeout", time.monotonic() - started
            self.fault(f"no answer in {self.options.limit} s", request)
        except OSError as error:
            status, seconds = "reset", time.monotonic() - started
            if isinstance(error, ConnectionRefusedError) or not request.may_close:
                self.fault(f"{type(error).__name__}: the answer is lost", request)
        with self.lock:
            self.statuses[str(status)] += 1
            self.kinds[request.kind] += 1
            self.slow.append((round(seconds, 2), request.kind, request.shown()[:160]))
            if len(self.slow) > 2000:
                self.slow = sorted(self.slow, key=lambda one: -one[0])[:10]

    def fault(self, told, request):
        # Faults of one kind together: numbers and quoted texts are not part of it.
        kind = re.sub(
            r'string \\".*\\"(?=, expected|$)|(?:integer|floating point|boolean) `[^`]*`|(?:null|map|sequence)(?=, expected)',
            "_",
            told,
            flags=re.S,
        )
        kind = re.sub(r'string \\".*', "_", kind, flags=re.S)
        kind = kind if "expected" in kind else re.sub(r"\d+|'[^']*'|\"[^\"]*\"|`[^`]*`", "_", kind)
        with self.lock:
            self.faults[kind[:200]].append({"fault": told, "request": request.shown(), "size": len(request.raw)})

    def pipelined(self):
        """Several requests at once: as many answers, in their order."""
        parts = [
            ("GET", "/v1/models", None, 200),
            ("GET", "/nowhere", None, 404),
            ("POST", "/v1/chat/completions", b"{", 400),
            ("POST", "/v1/models", b"{}", 405),
            ("GET", "/health", None, 200),
            ("POST", "/v1/score", b"[]", 400),
            ("HEAD", "/health", None, 200),
        ]
        for count in [2, 3, 10, 100] * 5:
            chosen = [self.random.choice(parts) for _ in range(count)]
            raw = b"".join(self.message(method, path, body) for method, path, body, _ in chosen)
            request = Request("pipelined", raw)
            try:
                connection = Connection(self.address, self.options.limit)
                threading.Thread(target=connection.send, args=(raw,), daemon=True).start()
                for number, (method, _, _, wanted) in enumerate(chosen):
                    answer = connection.answer(method)
                    if answer is None:
                        raise Fault(f"{number} of {count} pipelined requests are answered")
                    if answer.status != wanted and not (self.options.key and answer.status == 401):
                        raise Fault(f"pipelined: status {answer.status} in place of {wanted}")
                    check(Request("pipelined", raw, method), answer)
                    self.statuses[str(answer.status)] += 1
                connection.close()
            except Fault as fault:
                self.fault(str(fault), request)
            except OSError as error:
                self.fault(f"pipelined: {type(error).__name__}", request)
            self.kinds["pipelined"] += count

    def hold(self, name, raw, again=None):
        """How long the server keeps a connection that says no more, or only a byte now and then."""
        connection, started = Connection(self.address, self.options.limit), time.monotonic()
        told = b""
        try:
            connection.send(raw)
            while (passed := time.monotonic() - started) < self.options.hold:
                if select.select([connection.socket], [], [], 1)[0]:
                    new = connection.socket.recv(1 << 16)
                    told += new
                    if not new:
                        self.held[name] = f"closed after {passed:.0f} s, answer {told.partition(b'{')[0][:60]!r}"
                        return
                elif again:
                    connection.send(again)
            self.held[name] = f"open after {passed:.0f} s, answer {told[:60]!r}"
        except OSError as error:
            self.held[name] = f"{type(error).__name__} after {time.monotonic() - started:.0f} s, answer {told[:60]!r}"
        finally:
            connection.close()

    def holds(self):
        head = self.message("POST", "/v1/chat/completions", b"")[:-2]
        body = self.message("POST", "/v1/chat/completions", b"{" + b" " * 5000)
        kinds = {
            "nothing sent": (b"", None),
            "half a head": (head[:-30], None),
            "a head, a header a second": (head, b"X-A: a\r\n"),
            "half a body": (body[:-4000], None),
            "a body, a byte a second": (body[:-4000], b" "),
            "idle after an answer": (self.message("GET", "/health"), None),
            "a chunk that does not end": (
                self.message("POST", "/v1/score", b"ff\r\na", [b"Transfer-Encoding: chunked"], length=False),
                None,
            ),
        }
        return [threading.Thread(target=self.hold, args=(name, *kind), daemon=True) for name, kind in kinds.items()]

    def plan(self):
        """All that is fixed, then as much of what is drawn by chance as is wanted."""
        fixed = [*self.fields(), *self.bodies(), *self.methods(), *self.paths(), *self.headers(), *self.keys()]
        self.random.shuffle(fixed)
        yield from fixed
        left = max(self.options.count - len(fixed), 1000)
        drawn = [self.mixtures(), self.flips(), self.garbage()]
        yield from itertools.islice((next(drawn[number % 3]) for number in itertools.count()), left)

    def run_sizes(self):
        """Long texts one after the other, so that none is slow for another's sake; what was too slow is not asked with more."""
        too_slow = set()
        trivial = self.message("POST", "/v1/score", b'{"query": "Hi", "response": "a"}')
        for request in self.sizes():
            if request.brief in too_slow:
                continue
            before = self.statuses["timeout"]
            self.judged(request)
            if self.statuses["timeout"] > before:
                too_slow.add(request.brief)
                started, own = time.monotonic(), Connection(self.address, 300)
                try:
                    own.send(trivial)
                    own.answer()
                except (OSError, Fault):
                    pass
                own.close()
                passed = f"its sender is gone, but the next small score waits {time.monotonic() - started:.0f} s"
                if time.monotonic() - started > 2:
                    self.fault(passed, request)

    def rss(self):
        try:
            statm = pathlib.Path(f"/proc/{self.options.pid}/statm").read_text()
            return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
        except OSError:
            return None

    def run(self):
        holds = self.holds()
        for hold in holds:
            hold.start()
        started, self.memory = time.monotonic(), [self.rss()]
        self.pipelined()
        # A queue that is not too long: requests are made while others are sent.
        room = threading.Semaphore(200)
        with concurrent.futures.ThreadPoolExecutor(self.options.threads) as pool:
            for request in self.plan():
                room.acquire()
                pool.submit(self.judged, request).add_done_callback(lambda _: room.release())
        self.memory.append(self.rss())
        self.run_sizes()
        self.memory.append(self.rss())
        self.seconds = time.monotonic() - started
        for hold in holds:
            hold.join()
        try:
            answer = self.once(self.message("GET", "/metrics"))
            running = re.search(rb"apc_requests_running (\d+)", answer.body)
            self.after = {"health": self.once(self.message("GET", "/health")).status, "running": running and int(running[1])}
            body = json.dumps(self.body("/v1/chat/completions", None)).encode()
            self.after["chat"] = self.once(self.message("POST", "/v1/chat/completions", body), "POST").status
        except (OSError, AttributeError) as error:
            self.after = {"error": f"{type(error).__name__}: {error}"}
        if self.options.pid:
            self.after["rss_mib"] = dict(zip(["before", "behind all but long texts", "behind all"], self.memory))

    def report(self):
        lines = [f"{sum(self.kinds.values())} requests in {self.seconds:.0f} s"]
        lines += ["statuses  " + "  ".join(f"{status} {n}" for status, n in sorted(self.statuses.items()))]
        lines += ["kinds     " + "  ".join(f"{kind} {n}" for kind, n in sorted(self.kinds.items()))]
        lines += [f"held      {name}: {told}" for name, told in self.held.items()]
        lines += [f"slowest   {seconds} s {kind}: {shown}" for seconds, kind, shown in sorted(self.slow, reverse=True)[:6]]
        lines += [f"after     {self.after}"]
        for told, shown in self.lenient.items():
            lines += [f"{told}: {len(shown)}"]
            lines += [
                f"          {brief} ({', '.join(sorted(paths))})" for brief, paths in sorted(shown.items())[: self.options.show]
            ]
        lines += [f"{sum(map(len, self.faults.values()))} faults of {len(self.faults)} kinds"]
        for kind, faults in sorted(self.faults.items(), key=lambda one: -len(one[1])):
            least = min(faults, key=lambda fault: fault["size"])
            lines += [f"FAULT ×{len(faults)}  {least['fault'][:400]}", f"          {least['request']!r}"]
        return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pid", type=int, help="the server's process, whose memory is told at the end")
    parser.add_argument("--model", help="a character for paths that name one")
    parser.add_argument("--change", metavar="NAME", help="a character whose statements may be changed")
    parser.add_argument("--key", default=os.environ.get("APC_API_KEY"))
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--limit", type=float, default=10, help="seconds that an answer may take")
    parser.add_argument("--hold", type=float, default=60, help="seconds to wait for the end of connections that say nothing")
    parser.add_argument("--show", type=int, default=8, help="how many of what is answered otherwise than described to show")
    malformed = Malformed(parser.parse_args())
    malformed.run()
    print(malformed.report())
    after = malformed.after
    is_well = after.get("health") == 200 and after.get("chat") == 200 and not after.get("running")
    sys.exit(0 if is_well and not malformed.faults else 1)


main()
