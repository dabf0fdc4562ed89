"""Real clients against `apc serve` with the embedded models.

    python tests/clients/run.py APC [CLIENT ...]      # by default openai; all: every one of them

APC is the program. Packages are installed into a cache folder, $APC_CLIENTS or ~/.cache/apc/clients.
"""
import os
import pathlib
import subprocess
import sys
import tempfile
import venv

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("APC_CLIENTS", pathlib.Path.home() / ".cache/apc/clients"))
NPM = ["openai", "@ai-sdk/openai-compatible", "ai", "promptfoo", "sillytavern@1.19.0",
       "@sparticuz/chromium", "axe-core", "playwright-core"]


def python(package):
    """A Python that has the package."""
    folder = CACHE / package
    if not (folder / "done").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", package], check=True)
        (folder / "done").touch()
    return str(folder / "bin/python")


def node():
    """The folder of a node project that has all packages."""
    folder = CACHE / "node"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        subprocess.run(["npm", "install", "--silent", *NPM], cwd=folder, check=True)
        (folder / "done").touch()
    return folder


def openai(url):
    subprocess.run([python("openai"), HERE / "openai_client.py", url], check=True)


def script(name, url):
    # Modules are looked for beside the script.
    copy = node() / name
    copy.write_text((HERE / name).read_text())
    subprocess.run(["node", copy, url], check=True)


def openai_npm(url):
    script("openai_client.mjs", url)


def page(url):
    script("page.mjs", url)


def litellm(url):
    subprocess.run([python("litellm"), HERE / "litellm_client.py", url], check=True)


def promptfoo(url):
    settings = {**os.environ, "APC_URL": url + "/v1", "PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}
    command = ["npx", "promptfoo", "eval", "--no-cache", "--no-progress-bar", "-c", HERE / "promptfooconfig.yaml"]
    subprocess.run(command, cwd=node(), env=settings, check=True, stdout=subprocess.DEVNULL)
    print("promptfoo ok")


def sillytavern(url):
    subprocess.run([sys.executable, HERE / "sillytavern.py", url, node() / "node_modules"], check=True)


# A training that takes a minute.
SHORT = ["--character", "Alice", "--max-dpo-data", "64", "--prp-dpo-epoch", "2", "--lora-rank", "4", "--max-eval-queries", "6",
         "--eval-replies", "2"]
CLIENTS = {"openai": openai, "openai-npm": openai_npm, "litellm": litellm, "promptfoo": promptfoo, "sillytavern": sillytavern,
           "page": page}


def main():
    program, names = sys.argv[1], sys.argv[2:] or ["openai"]
    names = list(CLIENTS) if names == ["all"] else names
    program = pathlib.Path(program).resolve()
    with tempfile.TemporaryDirectory() as folder:
        if "page" in names:
            # On the page it is changed and trained again.
            subprocess.run([program, "train", *SHORT], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        command = [program, "serve", "--character", "Alice", "--port", "0"]
        served = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            url = served.stdout.readline().split()[-1]
            for name in names:
                CLIENTS[name](url)
        finally:
            served.terminate()
            served.wait()


main()
