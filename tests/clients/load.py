"""Many clients at once against an OpenAI-compatible server.

    python load.py http://127.0.0.1:PORT --model Alice --clients 64 --seconds 300 --pid PID
    python load.py http://127.0.0.1:PORT --model NAME --alone --seconds 60        # any server; one client, one after the other

Needs aiohttp. Every request is first asked alone; what comes under load must be the same. Beside those that chat there are
clients that read slowly, go away, send too much or byte by byte, and ask for scores and models. Ends with 1 if an answer was
lost or mixed up, if the server ended, or if it did not come to rest.
"""

import argparse
import asyncio
import collections
import json
import os
import pathlib
import random
import resource
import socket
import struct
import sys
import time
import urllib.parse

import aiohttp

QUESTIONS = [
    "Where were you born?",
    "What do you do for a living?",
    "Do you have any brothers or sisters?",
    "What do you eat?",
    "Tell me about your childhood.",
    "What are you afraid of?",
    "Have you ever been abroad?",
    "Which music do you like?",
    "What did you do yesterday?",
    "Do you like the sea?",
    "Who is your best friend?",
    "Could you help me with my homework?",
]
REPLIES = ["I see.", "That depends on the weather, I think.", "Not that I know of. Why do you ask?"]
BIG = 3 << 20


class Lost(Exception):
    """An answer that did not come whole."""


class Busy(Exception):
    """The server has no room."""


class Answer:
    """What came of one request."""

    def __init__(self):
        self.texts, self.reasons, self.ids = collections.defaultdict(str), {}, set()
        self.is_done, self.tokens, self.chunks, self.first, self.seconds = False, None, 0, None, 0.0

    def take(self, line, started):
        """Reads a line of a stream."""
        if not line.startswith(b"data:"):
            if line.strip() and not line.startswith(b":"):
                raise Lost(f"a line that is no event: {line[:80]!r}")
            return
        data = line[5:].strip()
        if data == b"[DONE]":
            self.is_done = True
            return
        event = json.loads(data)
        if "error" in event:
            raise Lost(f"error in the stream: {event['error']}")
        self.ids.add(event.get("id"))
        if event.get("usage"):
            self.tokens = event["usage"]["completion_tokens"]
        for choice in event["choices"]:
            text = choice["delta"].get("content") or ""
            if text and self.first is None:
                self.first = time.monotonic() - started
            self.chunks += bool(text)
            self.texts[choice["index"]] += text
            if choice.get("finish_reason"):
                self.reasons[choice["index"]] = choice["finish_reason"]

    def end(self, n):
        if not self.is_done:
            raise Lost("no [DONE]")
        if len(self.reasons) != n:
            raise Lost(f"{len(self.reasons)} of {n} choices have a finish_reason")
        if len(self.ids) != 1:
            raise Lost(f"ids of several answers in one stream: {self.ids}")

    def whole(self):
        return [[self.texts[index], self.reasons[index]] for index in sorted(self.reasons)]


class Load:
    def __init__(self, options):
        self.options = options
        self.url = options.url.rstrip("/").removesuffix("/v1")
        address = urllib.parse.urlsplit(self.url)
        self.host, self.port = address.hostname, address.port or 80
        self.random = random.Random(options.seed)
        self.kinds, self.statuses, self.errors = (collections.Counter() for _ in range(3))
        self.lost, self.mixed, self.unequal, self.notes = [], [], [], []
        self.first, self.seconds, self.rates, self.tokens = [], [], [], 0
        self.rss = []
        self.ids = set()
        self.known = {}
        self.is_dead = False

    # What is asked

    def cases(self):
        """Chats that differ in length, choices and sampling; each names a word that no other does."""
        for number in range(self.options.cases):
            mix = random.Random(f"{self.options.seed} {number}")
            word = f"quokka{number}x{mix.randrange(10**6)}"
            messages = []
            for _ in range(mix.choice([0, 0, 1, 2, 4])):
                messages.append({"role": "user", "content": mix.choice(QUESTIONS)})
                messages.append({"role": "assistant", "content": mix.choice(REPLIES)})
            messages.append({"role": "user", "content": f"My code word is {word}. {QUESTIONS[number % len(QUESTIONS)]}"})
            n = 1 if self.options.alone else mix.choice([1, 1, 1, 2, 3, 4])
            tokens = self.options.max_tokens or mix.choice([8, 16, 32, 48])
            case = {
                "messages": messages,
                "max_tokens": tokens,
                "temperature": mix.choice([0, 0, 0, 0.8]),
                "seed": mix.randrange(10**6),
                "stream": True,
                "stream_options": {"include_usage": True},
            }
            if n > 1:
                case["n"] = n
            if self.options.model:
                case["model"] = self.options.model
            if self.options.no_score:
                case["apc"] = {"score": False}
            yield number, word, case

    def headers(self):
        key = self.options.key
        return {"Authorization": f"Bearer {key}"} if key else {}

    # One request of each kind

    async def chat(self, session, case):
        answer, started = Answer(), time.monotonic()
        async with session.post(self.url + "/v1/chat/completions", json=case) as response:
            self.statuses[response.status] += 1
            if response.status != 200:
                text = (await response.text())[:200]
                if response.status in (429, 503):
                    raise Busy(response.status)
                raise Lost(f"status {response.status}: {text}")
            async for line in response.content:
                answer.take(line, started)
        answer.seconds = time.monotonic() - started
        answer.end(case.get("n", 1))
        return answer

    def count(self, answer):
        tokens = answer.chunks if answer.tokens is None else answer.tokens
        self.tokens += tokens
        self.seconds.append(answer.seconds)
        if answer.first is not None:
            self.first.append(answer.first)
            if tokens > 1 and len(answer.reasons) == 1 and answer.seconds > answer.first:
                self.rates.append((tokens - 1) / (answer.seconds - answer.first))

    def compare(self, number, word, case, answer):
        new = answer.ids - self.ids
        if not new:
            self.mixed.append({"case": number, "fault": f"the id {answer.ids} was another answer's"})
        self.ids |= new
        known, got = self.known.get(number), answer.whole()
        if known is None:
            self.known[number] = got
        elif known != got:
            # Somebody else's answer, or the same question answered differently.
            others = [other for other, texts in self.known.items() if other != number and texts == got]
            strange = [text for text, _ in got if "quokka" in text and word not in text]
            fault = {"case": number, "temperature": case["temperature"], "n": case.get("n", 1), "alone": known, "got": got}
            (self.mixed if others or strange else self.unequal).append({**fault, "like": others})

    async def ask_chat(self, session):
        number, word, case = self.random.choice(self.all_cases)
        answer = await self.chat(session, case)
        self.count(answer)
        self.compare(number, word, case, answer)

    async def ask_text(self, session):
        """A completion that says its prompt again."""
        word = f"numbat{self.random.randrange(10**9)}"
        body = {"model": self.options.model, "prompt": f"The word {word} means", "echo": True, "max_tokens": 8, "temperature": 0}
        async with session.post(self.url + "/v1/completions", json=body) as response:
            self.statuses[response.status] += 1
            if response.status in (429, 503):
                raise Busy(response.status)
            told = await response.json()
        if response.status != 200 or not told["choices"][0]["finish_reason"]:
            raise Lost(f"completion: status {response.status}: {str(told)[:200]}")
        self.tokens += told["usage"]["completion_tokens"]
        if not told["choices"][0]["text"].startswith(body["prompt"]):
            self.mixed.append({"prompt": body["prompt"], "got": told["choices"][0]["text"]})

    async def ask_score(self, session):
        number = self.random.randrange(len(QUESTIONS))
        body = {"model": self.options.model, "query": QUESTIONS[number], "response": REPLIES}
        await self.ask_same(session, ("score", number), "POST", "/v1/score", body)

    async def ask_models(self, session):
        path = self.random.choice(["/v1/models", "/health", "/v1/characters"])
        await self.ask_same(session, path, "GET", path)

    async def ask_same(self, session, key, method, path, body=None):
        async with session.request(method, self.url + path, json=body) as response:
            self.statuses[response.status] += 1
            if response.status in (429, 503):
                raise Busy(response.status)
            told = await response.json()
        if response.status != 200:
            raise Lost(f"{path}: status {response.status}: {str(told)[:200]}")
        known = self.known.setdefault(key, told)
        if not same(known, told):
            self.unequal.append({"request": path, "alone": known, "got": told})

    # Requests as bytes

    def written(self, case, extra=""):
        body = json.dumps(case).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        key = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        return (head + key + extra + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n").encode() + body

    async def connect(self, buffer=None):
        sock = socket.socket(socket.AF_INET6 if ":" in self.host else socket.AF_INET)
        sock.setblocking(False)
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        await asyncio.get_running_loop().sock_connect(sock, (self.host, self.port))
        return sock

    async def received(self, sock, size, seconds=60.0):
        return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, size), seconds)

    async def ask_slowly(self, _session):
        """Reads an answer a few bytes at a time for a while, then the rest, which must be whole."""
        number, word, case = self.random.choice(self.all_cases)
        is_wide = self.random.random() < 0.5
        if is_wide:
            # More than fits into the buffers between.
            case = {**case, "logprobs": True, "top_logprobs": 20}
        sock = await self.connect(2048)
        started, raw = time.monotonic(), b""
        try:
            await asyncio.get_running_loop().sock_sendall(sock, self.written(case))
            until = started + min(self.random.uniform(3, 30), max(1.0, self.until - started))
            while time.monotonic() < until:
                raw += (new := await self.received(sock, 3, self.options.timeout))
                if not new:
                    break
                await asyncio.sleep(0.5)
            while new := await self.received(sock, 1 << 16):
                raw += new
        finally:
            sock.close()
        self.take_raw("slow reader", raw, started, (number, word, case))

    def take_raw(self, what, raw, started, asked):
        """Reads an answer as it came over the socket, and compares it with the one that was got alone."""
        number, word, case = asked
        status, body = parsed(raw)
        self.statuses[status] += 1
        if status in (429, 503):
            raise Busy(status)
        if status != 200:
            raise Lost(f"{what}: status {status}: {body[:200]!r}")
        answer = Answer()
        for line in body.split(b"\n"):
            answer.take(line, started)
        answer.end(case.get("n", 1))
        self.tokens += answer.tokens or 0
        self.compare(number, word, case, answer)

    async def ask_and_go(self, _session):
        """Goes away in the middle of the request, before the answer, or after its first bytes."""
        _, _, case = self.random.choice(self.all_cases)
        case = {**case, "max_tokens": 200}
        if self.random.random() < 0.3:
            case["stream"] = False
            del case["stream_options"]
        request, way = self.written(case), self.random.choice(["part", "at once", "soon", "first", "later"])
        sock = await self.connect()
        try:
            if way == "part":
                request = request[: self.random.randrange(len(request))]
            await asyncio.get_running_loop().sock_sendall(sock, request)
            if way == "soon":
                await asyncio.sleep(self.random.uniform(0.01, 0.3))
            if way in ("first", "later"):
                await self.received(sock, 200, self.options.timeout)
            if way == "later":
                await asyncio.sleep(self.random.uniform(0.01, 1.0))
            if self.random.random() < 0.5:
                # Resets the connection.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        finally:
            sock.close()
        self.kinds["abort " + way] += 1
        await asyncio.sleep(0.05)

    async def ask_too_much(self, _session):
        """A body that is too large, with its length told or in chunks; the refusal must arrive."""
        is_chunked = self.random.random() < 0.5
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        key = "".join(f"{name}: {value}\r\n" for name, value in self.headers().items())
        length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {BIG}"
        sock, raw, loop = await self.connect(), b"", asyncio.get_running_loop()
        try:
            await loop.sock_sendall(sock, (head + key + length + "\r\n\r\n").encode())
            piece, sent = b" " * (1 << 16), 0
            try:
                while sent < BIG:
                    chunk = b"%x\r\n%s\r\n" % (len(piece), piece) if is_chunked else piece
                    await asyncio.wait_for(loop.sock_sendall(sock, chunk), 60)
                    sent += len(piece)
                if is_chunked:
                    await loop.sock_sendall(sock, b"0\r\n\r\n")
            except OSError:
                self.errors["too large: closed while sending"] += 1
            while b"\r\n\r\n" not in raw and (new := await self.received(sock, 1 << 16)):
                raw += new
        except OSError:
            pass
        finally:
            sock.close()
        if not raw:
            self.errors["too large: reset before the answer was read"] += 1
            return
        status, _ = parsed(raw)
        self.statuses[status] += 1
        if status in (429, 503):
            raise Busy(status)
        if status != 413:
            raise Lost(f"a body of {BIG} bytes: status {status}")

    async def ask_by_bytes(self, _session):
        """A request byte by byte."""
        number, word, case = self.random.choice(self.all_cases)
        sock, raw, loop = await self.connect(), b"", asyncio.get_running_loop()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.monotonic()
        try:
            for byte in self.written(case):
                await loop.sock_sendall(sock, bytes([byte]))
                await asyncio.sleep(0.005)
            while new := await self.received(sock, 1 << 16, self.options.timeout):
                raw += new
        finally:
            sock.close()
        self.take_raw("byte by byte", raw, started, (number, word, case))

    # Clients

    async def client(self, session, kind, ask):
        """Asks again and again until the time is over."""
        while time.monotonic() < self.until and not self.is_dead:
            try:
                await ask(session)
                self.kinds[kind] += 1
                if kind in ("models", "too large"):
                    # What costs the server nothing must not take all time of this program.
                    await asyncio.sleep(self.random.uniform(0.1, 1))
            except Busy as busy:
                self.errors[f"busy {busy}"] += 1
                await asyncio.sleep(self.random.uniform(0.5, 2))
            except Lost as lost:
                self.lost.append(f"{kind}: {lost}")
            except Exception as error:  # Whatever a client meets is part of the result.
                name = f"{kind}: {type(error).__name__}"
                self.errors[name] += 1
                if kind != "abort":
                    self.lost.append(f"{name}: {error}"[:300])
                if isinstance(error, (ConnectionRefusedError, aiohttp.ClientConnectorError)):
                    self.is_dead = True
                await asyncio.sleep(0.2)

    async def watch(self):
        while True:
            rss = rss_of(self.options.pid)
            if rss is not None:
                self.rss.append((time.monotonic(), rss))
            elif self.options.pid:
                self.is_dead = True
            await asyncio.sleep(1)

    def clients(self):
        """Kinds for so many clients: two of three chat."""
        if self.options.alone:
            return [("chat", self.ask_chat)]
        rest = [
            ("slow", self.ask_slowly),
            ("abort", self.ask_and_go),
            ("score", self.ask_score),
            ("slow", self.ask_slowly),
            ("abort", self.ask_and_go),
            ("too large", self.ask_too_much),
            ("bytes", self.ask_by_bytes),
            ("models", self.ask_models),
            ("completion", self.ask_text),
            ("too large", self.ask_too_much),
        ]
        n_rest = self.options.clients // 3
        return [("chat", self.ask_chat)] * (self.options.clients - n_rest) + [rest[i % len(rest)] for i in range(n_rest)]

    async def run(self):
        self.all_cases = list(self.cases())
        limits = aiohttp.ClientTimeout(total=self.options.timeout)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=limits, connector=connector, headers=self.headers()) as session:
            if not self.options.alone:
                await self.first_alone(session)
            for counted in (self.kinds, self.statuses, self.errors, self.first, self.seconds, self.rates):
                counted.clear()
            self.tokens = 0
            watch = asyncio.create_task(self.watch())
            started = time.monotonic()
            self.until = started + self.options.seconds
            await asyncio.gather(*(self.client(session, kind, ask) for kind, ask in self.clients()))
            self.wall = time.monotonic() - started
            self.n_requests = sum(self.statuses.values())
            if not self.options.alone:
                await self.rest(session)
                await self.again(session)
            watch.cancel()

    async def first_alone(self, session):
        started = time.monotonic()
        for number, word, case in self.all_cases:
            answer = await self.chat(session, case)
            self.count(answer)
            self.compare(number, word, case, answer)
        for number, question in enumerate(QUESTIONS):
            body = {"model": self.options.model, "query": question, "response": REPLIES}
            await self.ask_same(session, ("score", number), "POST", "/v1/score", body)
        self.alone = {
            "requests": len(self.all_cases),
            "first_token_s": shares(self.first),
            "reply_s": shares(self.seconds),
            "tokens_per_s": round(self.tokens / (time.monotonic() - started), 1),
        }

    async def rest(self, session):
        """The server must answer still, and soon have nothing to do."""
        started, running = time.monotonic(), None
        try:
            while time.monotonic() - started < 60:
                async with session.get(self.url + "/metrics") as response:
                    if response.status != 200:
                        self.notes.append(f"/metrics: status {response.status}")
                        break
                    lines = (await response.text()).splitlines()
                found = [line.split()[-1] for line in lines if line.startswith("apc_requests_running ")]
                running = int(found[0]) if found else None
                if running in (0, None):
                    break
                await asyncio.sleep(0.2)
            self.resting = {"running": running, "after_s": round(time.monotonic() - started, 1)}
            number, word, case = self.all_cases[0]
            self.compare(number, word, case, await self.chat(session, case))
            async with session.get(self.url + "/v1/models") as response:
                self.is_dead |= response.status != 200
        except Exception as error:
            self.is_dead = True
            self.resting = {"error": f"{type(error).__name__}: {error}"}

    async def again(self, session):
        """Asks anew, alone, what was answered differently."""
        for fault in self.unequal:
            if "case" in fault and not self.is_dead:
                answer = await self.chat(session, self.all_cases[fault["case"]][2])
                fault["alone_again"] = "as before" if answer.whole() == fault["alone"] else answer.whole()

    def report(self):
        times = resource.getrusage(resource.RUSAGE_SELF)
        told = {
            "clients": 1 if self.options.alone else self.options.clients,
            "seconds": round(self.wall, 1),
            "requests": dict(self.kinds),
            "statuses": {str(k): n for k, n in sorted(self.statuses.items())},
            "errors": dict(self.errors),
            "lost": len(self.lost),
            "mixed": len(self.mixed),
            "unequal": len(self.unequal),
            "first_token_s": shares(self.first),
            "reply_s": shares(self.seconds),
            "tokens": self.tokens,
            "tokens_per_s": round(self.tokens / self.wall, 1),
            "tokens_per_s_of_one_reply": shares(self.rates),
            "client_cpu_s": round(times.ru_utime + times.ru_stime, 1),
        }
        if not self.options.alone:
            told |= {"alone_before": self.alone, "at_rest": self.resting}
        if self.rss:
            told["rss_mib"] = growth(self.rss)
        told |= {
            "server_answers": not self.is_dead,
            "notes": self.notes,
            "lost_first": self.lost[:10],
            "mixed_first": self.mixed[:5],
            "unequal_first": self.unequal[:5],
        }
        is_restless = not self.options.alone and self.resting.get("running") not in (0, None)
        is_unequal = self.unequal and not self.options.alone and not self.options.may_differ
        told["ok"] = not (self.lost or self.mixed or is_unequal or self.is_dead or is_restless)
        return told


def same(one, other):
    """Whether two answers are the same, up to rounding."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 1e-4 * max(1.0, abs(one))
    return one == other


def parsed(raw):
    """Status and body of a whole answer."""
    head, end, body = raw.partition(b"\r\n\r\n")
    if not end:
        raise Lost(f"no whole head: {raw[:80]!r}")
    lines = head.split(b"\r\n")
    if any(line.lower().replace(b" ", b"") == b"transfer-encoding:chunked" for line in lines):
        whole = b""
        while True:
            size, end, body = body.partition(b"\r\n")
            if not end:
                raise Lost("the last chunk is missing")
            size = int(size.split(b";")[0], 16)
            if size == 0:
                break
            whole, body = whole + body[:size], body[size + 2 :]
        body = whole
    return int(lines[0].split()[1]), body


def rss_of(pid):
    """Resident MiB of a process."""
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return None


def growth(rss):
    """What memory did; it grows if its last third has a peak that is 1 % above all before."""
    start, end = rss[0][0], rss[-1][0]
    third = start + (end - start) * 2 / 3
    before = [mib for at, mib in rss if at <= third]
    after = [mib for at, mib in rss if at > third] or before
    return {
        "first": round(rss[0][1], 1),
        "max": round(max(mib for _, mib in rss), 1),
        "last": round(rss[-1][1], 1),
        "max_of_two_thirds": round(max(before), 1),
        "max_of_last_third": round(max(after), 1),
        "grows": max(after) > max(before) * 1.01,
        "each_tenth": [round(mib, 1) for _, mib in rss[:: max(1, len(rss) // 10)]],
    }


def shares(values):
    values = sorted(values)
    if not values:
        return None
    at = lambda share: round(values[min(len(values) - 1, int(share * len(values)))], 3)
    return {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": round(values[-1], 3)}


def table(told):
    for key, value in told.items():
        if isinstance(value, list):
            for one in value:
                print(f"{key:28} {json.dumps(one, ensure_ascii=False)}")
        elif isinstance(value, dict):
            print(f"{key:28} " + "  ".join(f"{name} {one}" for name, one in value.items()))
        else:
            print(f"{key:28} {value}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--model")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--alone", action="store_true", help="one client, one chat after the other; for any server")
    parser.add_argument("--pid", type=int, help="the server's process, whose memory is watched")
    parser.add_argument("--cases", type=int, default=32, help="chats that differ")
    parser.add_argument("--max-tokens", type=int, help="of every chat, in place of 8 to 48")
    parser.add_argument("--no-score", action="store_true", help="send apc.score = false")
    parser.add_argument("--may-differ", action="store_true", help="do not fail where an answer differs from the one alone")
    parser.add_argument("--timeout", type=float, default=300, help="seconds of one request")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--key", default=os.environ.get("OPENAI_API_KEY"))
    parser.add_argument("--format", choices=["table", "json"], default="table")
    options = parser.parse_args()
    load = Load(options)
    asyncio.run(load.run())
    told = load.report()
    print(json.dumps(told, indent=1, ensure_ascii=False)) if options.format == "json" else table(told)
    sys.exit(0 if told["ok"] else 1)


main()
