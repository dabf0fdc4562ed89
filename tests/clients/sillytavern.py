"""SillyTavern from npm, headless, against a running server: python sillytavern.py http://127.0.0.1:PORT FOLDER_OF_NODE_MODULES

Speaks to SillyTavern's own backend as its page does: connects, chats, streams, swipes, and goes away in the middle.
"""
import http.client
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

url, modules = sys.argv[1] + "/v1", pathlib.Path(sys.argv[2])
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
data = tempfile.mkdtemp()
tavern = modules / "sillytavern"
command = ["node", "server.js", "--disableCsrf", "--listen", "false", "--browserLaunchEnabled=false", "--port", str(port), "--dataRoot", data]
process = subprocess.Popen(command, cwd=tavern, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def post(path, body, raw=False):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/backends/chat-completions/{path}", json.dumps(body).encode(),
                                     {"content-type": "application/json"})
    answer = urllib.request.urlopen(request, timeout=120).read().decode()
    return answer if raw else json.loads(answer)


try:
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).read()
            break
        except OSError:
            time.sleep(0.5)
    custom = {"chat_completion_source": "custom", "custom_url": url}
    status = post("status", custom)
    assert any(model["id"] == "Alice" for model in status["data"]), status
    messages = [{"role": "system", "content": "Write Alice's next reply."}, {"role": "system", "content": "[Start a new chat]"},
                {"role": "assistant", "content": "Good morning!"}, {"role": "user", "content": "Where do you live?"}]
    ask = {**custom, "model": "Alice", "messages": messages, "temperature": 0, "max_tokens": 60, "stream": False,
           "presence_penalty": 0, "frequency_penalty": 0, "top_p": 1}
    said = post("generate", ask)["choices"][0]["message"]["content"]
    assert said
    streamed = post("generate", {**ask, "stream": True}, raw=True)
    events = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")]
    assert "".join(event["choices"][0]["delta"].get("content", "") for event in events) == said, streamed
    assert streamed.rstrip().endswith("data: [DONE]")
    swipes = post("generate", {**ask, "n": 3, "temperature": 1.5})["choices"]
    scores = [choice["apc"]["delta_apc"] for choice in swipes]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True), scores
    # A client that goes away: SillyTavern closes its connection to us.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({**ask, "stream": True, "temperature": 1.9, "max_tokens": 400})
    connection.request("POST", "/api/backends/chat-completions/generate", body, {"content-type": "application/json"})
    connection.getresponse().read(10)
    connection.close()
    for _ in range(100):
        metrics = urllib.request.urlopen(sys.argv[1] + "/metrics").read().decode()
        if "apc_requests_running 0" in metrics:
            break
        time.sleep(0.1)
    else:
        raise SystemExit("the reply to a client that went away goes on")
    version = json.loads((tavern / "package.json").read_text())["version"]
    print("SillyTavern", version, "ok:", said, scores)
finally:
    process.kill()
