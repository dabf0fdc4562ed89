"""Writes real tokenizers and chat templates as Hugging Face folders, with what transformers makes of 500 lines and ten conversations.

    python real_models.py REAL smollm2 gemma3 tokenizers            # fetches the real files
    python -m venv venv && venv/bin/pip install transformers==5.23.0 tokenizers sentencepiece protobuf trl==1.16.0
    venv/bin/python tests/real/make.py REAL OUT [FAMILY ...]        # some minutes; OUT/FAMILY for each family, or those named

Nothing of it may be committed: the vocabularies and templates have their own licences. OUT/FAMILY/expected.json holds
    lines            "text", "ids" with special tokens and "bare" without, from AutoTokenizer on the folder; where the folder's
                     tokenizer.json read as it stands (tokenizers.Tokenizer.from_file) gives others, also "file_ids", "file_bare":
                     transformers 5 rebuilds the rules of Gemma, Llama and Qwen from the class and passes over those in the
                     file; for llama-2 it then loses a leading space, and "file_bare" is what SentencePiece gives
    conversations    "messages", "add_generation_prompt", and "text" from the chat template (enable_thinking false), or "error": true
    template_source  where the template came from
    file_same        on how many lines tokenizer.json as it stands gives the same "bare"
    sentencepiece_same, sentencepiece_file_same    on how many of the lines without marks SentencePiece gives "bare", and "file_bare"
Two packages are downloaded for templates, llama-cpp-python (77 MB) and transformers 4.40.2, into OUT/.downloads.
"""
import ast
import base64
import importlib.util
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile
import types
import zipfile

os.environ["HF_HUB_OFFLINE"] = "1"
import sentencepiece
from jinja2.exceptions import TemplateError
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Tokenizer, processors
from transformers import AutoConfig, AutoTokenizer
from transformers.convert_slow_tokenizer import GemmaConverter, LlamaConverter, TikTokenConverter, generate_merges
from transformers.utils import logging

REAL, OUT = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
LINES = 500
MARKS = [
    "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>", "<image_soft_token>", "<unused7>",
    "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool_call>", "<|image|>", "<|\"|>", "<s>", "</s>", "[INST]", "[/INST]",
    "<<SYS>>", "<</SYS>>", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[control_8]", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>",
    "</think>", "<tool_call>", "</tool_call>", "<|vision_start|>", "<repo_name>", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>",
    "<|start_header_id|>", "<|end_header_id|>", "<|reserved_special_token_3|>", "<0x0A>", "[multimodal]", "[@BOS@]"]

ENGLISH = """I put the kettle on and forgot about it again.
Mira said she would call after the ferry came in, but that was Tuesday.
Could you tell me how long the soup keeps in the fridge?
"No," he said, "it isn't that I don't care; I just can't afford it."
We'll've been married for twenty-one years this May.
It's raining, isn't it? They'd better take the bus.
THE SHOP IS CLOSED ON SUNDAYS AND PUBLIC HOLIDAYS.
My neighbour's dog barks at the postman every single morning!
Honestly... I don't know what to say.
The recipe calls for 250 g of flour, 3 eggs and a pinch of salt.
What would you do if you found $1,000 on the pavement?
She reads the same three books every winter, in the same order.
He's a well-known, hard-to-please, 75-year-old lighthouse keeper.
Please reply-all by 5 p.m. (or 17:00) on 03/04/2025; thanks.
the quick brown fox jumps over the lazy dog
Antidisestablishmentarianism and floccinaucinihilipilification are long words.
I think, therefore I am; you drink, therefore you're late.
Turn left at the church, then it's the second house on your right.
Thank you so much!!! You've saved my week :-)
Is 'colour' or 'color' right? Both are.""".splitlines()
FOREIGN = """Das Mädchen aß heute früh süße Brötchen mit Käse.
Où est la bibliothèque ? Elle est fermée jusqu’à lundi.
¿Cuántos años tienes, niño? ¡Qué sorpresa!
Não sei se amanhã haverá pão fresco na padaria.
Zażółć gęślą jaźń, proszę bardzo.
Příliš žluťoučký kůň úpěl ďábelské ódy.
İstanbul'da ılık bir akşamüstü, çay içtik.
Съешь же ещё этих мягких французских булок, да выпей чаю.
Ο γάτος κοιμάται πάνω στο παλιό τραπέζι.
שלום, מה שלומך היום?
مرحبا، كيف حالك اليوم؟ أنا بخير.
यह किताब मेरी दादी की है।
আমি বাংলায় গান গাই।
வணக்கம், எப்படி இருக்கிறீர்கள்?
สวัสดีครับ วันนี้อากาศดีมาก
Tôi thích uống cà phê sữa đá vào buổi sáng.
她住在海边的一个小镇上，每天早上六点起床。
這是繁體中文的句子。
灯台守は毎朝、海を見ながらお茶を飲む。カタカナもﾊﾝｶｸも。
나는 오늘 아침에 도서관에 갔어요.
გამარჯობა, როგორ ხარ?
Բարեւ, ինչպե՞ս ես։
ሰላም እንዴት ነህ?
ខ្ញុំចូលចិត្តបាយ។
Quousque tandem abutere, Catilina, patientia nostra?""".splitlines()
CODE = ["def add(a: int, b: int = 0) -> int:\n    \"\"\"Adds.\"\"\"\n    return a + b\n", "for (int i = 0; i < 10; ++i) {\n\tprintf(\"%d\\n\", i);\n}",
        "fn main() { let x: Vec<u8> = vec![0x1f; 3]; println!(\"{x:?}\"); }", "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY 1;",
        "<div class=\"a\"><b>bold</b><br/>&nbsp;<h1>Title</h1></div>", "{\"key\": [1, 2.5e-3, null, true], \"nested\": {\"a\": \"\\u00e9\"}}",
        "$ ls -la | grep -v '^d' > out.txt 2>&1", "const f = async (x) => await fetch(`https://x.io/${x}`);", "#include <stdio.h>\r\nint main(void){return 0;}\r\n",
        "x = y if z else w  # TODO: fix", "git commit -am \"wip\" && git push --force-with-lease", "\\frac{a}{b} + \\sum_{i=0}^{n} x_i^2 = $\\pi$",
        "    if x:\n        if y:\n            pass\n", "\t\t\tdeep", "| a | b |\n|---|---|\n| 1 | 2 |", "# Title\n\n- one\n- two\n\n1. three\n", "{{ user }} {% if x %}{% endif %}",
        "camelCaseName snake_case_name SCREAMING_CASE kebab-case-name", "0xDEADBEEF 0b1010 1e10 1_000_000", "/usr/local/bin:/home/me/.cargo/bin"]
NUMBERS = ["0", "7", "42", "007", "123", "1234", "12345", "1234567890", "3.14159265358979", "-273.15", "1,234,567.89", "1/2", "50%", "£9.99", "€1.234,56", "10²", "2⁸",
           "½", "Ⅷ", "①②③", "٠١٢٣", "१२३", "+44 20 7946 0958", "2025-02-29T23:59:60Z", "v1.2.3-rc.4", "192.168.0.1", "::1", "1st 2nd 3rd", "1000000000000000000000000", "e=2.71828"]
URLS = ["https://example.org/a/b?c=d&e=%20f#g", "http://localhost:8080/", "mailto:mira@example.com", "www.bücher.example", "ftp://x.y/z.tar.gz", "user.name+tag@sub.example.co.uk",
        "https://en.wikipedia.org/wiki/Caf%C3%A9_(disambiguation)", "@handle #hashtag"]
EMOJI = ["😀", "👩‍🚀", "🇯🇵", "👍🏽", "❤️", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👨‍👩‍👧‍👦", "☺", "🤷‍♂️", "1️⃣", "🫠", "✈️"]
ODD = ["\u200b", "\u200c", "\u200d", "\ufeff", "\u00a0", "\u3000", "\u2009", "\u2028", "\u0085", "\u00ad", "\u202e", "Ａ", "ｆｕｌｌ　ｗｉｄｔｈ", "１２３", "é", "e\u0301", "a\u0308\u0323", "ﬁ", "ﬂ",
       "№", "™", "…", "—", "“", "”", "’", "「", "」", "▁", "▁▁", "Ġ", "Ċ", "ß", "ẞ", "İ", "ı", "ǅ", "𝒜", "𝟘", "𠮷", "한", "\u1112\u1161\u11ab", "ع", "\u0000", "\u0007", "\u001b[0m", "\u007f", "\ufffd",
       "\U0001f9ff", "\U0010ffff", "\ue000", "z̷̢a̴l̵g̶o̸"]
SPACE = [" ", "  ", "   ", "    ", " " * 7, " " * 16, " " * 33, "\t", "\t\t", "\n", "\n\n", "\n\n\n", "\n" * 9, "\r", "\r\n", " \n", "\n ", "\t ", " \t\n", "\v", "\f"]


def make_lines():
    generator = random.Random(20)
    words = " ".join(ENGLISH).split()
    lines = ["", *SPACE, *ENGLISH, *FOREIGN, *CODE, *NUMBERS, *URLS, *EMOJI, *ODD, *MARKS]
    lines += [" leading", "trailing ", "  two leading", "trailing two  ", "\nleading", "trailing\n", "\tleading", "a  b   c    d", "▁a", " ▁a", "a▁b", ".", "...", "'", "''", "' s", "it 's", "I'LL", "a'b", "_", "__", "-" * 40, "=" * 64,
              "a" * 300, "ha" * 100, "!?" * 30, "日本" * 50, "😀" * 20, "\n" * 40, " " * 200, "\t" * 20, "0" * 100]
    lines += [" ".join(generator.choice(words) for _ in range(4000)), "".join(generator.choice(FOREIGN)[:12] for _ in range(400)), "x" * 5000]
    for mark in MARKS[:22]:
        lines += [f"a{mark}b", f" {mark} text {mark}{mark}"]
    lines += ["<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n", "<bos><bos>twice", "<|turn>user\nHello<turn|>\n<|turn>model\n", "<s>[INST] Hello [/INST] Hi</s>", " [INST] <<SYS>>\nBe kind.\n<</SYS>>\n\nHello [/INST]",
              "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n", "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>", "< bos>", "<bos", "bos>", "<START_OF_TURN>", "<|im_start", "[INST", "</s", "<<s>>", "&lt;bos&gt;"]
    pools = [(ENGLISH, 4), (FOREIGN, 4), (CODE, 2), (NUMBERS, 2), (URLS, 1), (EMOJI, 2), (ODD, 3), (SPACE, 3), (MARKS, 1)]
    while len(lines) < LINES:
        parts = []
        for _ in range(generator.randint(2, 9)):
            pool = generator.choices([p for p, _ in pools], [w for _, w in pools])[0]
            part = generator.choice(pool)
            if pool in (ENGLISH, FOREIGN, CODE):
                start = generator.randrange(len(part))
                part = part[start:start + generator.randint(3, 40)]
            parts += [part, generator.choice(["", " ", " "])]
        lines.append("".join(parts))
    assert len(lines) == LINES, len(lines)
    return lines


def talk(*turns, prompt=True, system=None):
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    return messages, prompt


CONVERSATIONS = [
    talk("Hello! What is your name?"),
    talk("  Hello there  \n", "\n Hi, \"Mira\" here.  ", "Tell me {a} {{ joke }} {% now %}.\t", prompt=True),
    talk("Who are you?", system="You are Mira, a lighthouse keeper. Be brief."),
    talk("Bonjour, ça va ?", "Ça va bien, merci ! 😀", "她住在海边吗？", "はい。\n\n海が見えます。", system="  Answer in the user's language.\n\nNo lists.  \n"),
    talk("What's 2 + 2?", "It's 4.", prompt=False),
    talk("1", "2", "3", "4", "5", "6", prompt=False),
    talk("Line one\nLine two\n\n\nLine five", "```python\nprint({\"a\": 'b'})\n```", "\\n is not a newline & <b>bold</b> 'quoted' \"twice\"", "OK.", "Thanks\u200b\u00a0!", system=""),
    talk("Think about it.", "<think>\nLet me see.\n</think>\n\nDone.", "<start_of_turn>user\nIgnore that<end_of_turn> [/INST] <|im_end|> </s>", "<|channel>thought\nno<channel|>Fine.", "   ", system="{\"json\": [1, 2]} 'single' \"double\""),
    ([{"role": "user", "content": "Are you there?"}, {"role": "user", "content": "Hello?"}], True),
    ([{"role": "assistant", "content": " I speak first. "}, {"role": "user", "content": "Fine by me, e\u0301cole"}], False),
]


def download(package, *options):
    folder = OUT / ".downloads"
    folder.mkdir(parents=True, exist_ok=True)
    stem = package.replace("-", "_").replace("==", "-")
    if not (found := [path for path in folder.glob(stem + "*") if path.is_file()]):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), *options, package], check=True)
        found = list(folder.glob(stem + "*"))
    return found[0]


def trl(name):
    folder = pathlib.Path(importlib.util.find_spec("trl").origin).parent / "chat_templates"
    return (folder / name).read_text(), f"TRL 1.16.0, trl/chat_templates/{name}, a copy of the published one"


def llama_cpp(name):
    """A template out of the C++ test of llama.cpp's templates."""
    sdist = download("llama-cpp-python==0.3.36", "--no-binary", "llama-cpp-python")
    with tarfile.open(sdist) as archive:
        member = next(m for m in archive if m.name.endswith("tests/test-chat-template.cpp"))
        source = archive.extractfile(member).read().decode()
    literal = source.split(f'"{name}', 1)[1].split("/* .template_str= */ ", 1)[1].split("\n", 1)[0].rstrip(",")
    return json.loads(literal), f"llama-cpp-python 0.3.36 (sdist), vendor/llama.cpp/tests/test-chat-template.cpp, \"{name}...\""


def llama_2():
    """The default template of transformers 4's LlamaTokenizer, without Llama's own system message."""
    with zipfile.ZipFile(download("transformers==4.40.2", "--only-binary=:all:")) as wheel:
        tree = ast.parse(wheel.read("transformers/models/llama/tokenization_llama.py").decode())
    function = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "default_chat_template")
    template = next(ast.literal_eval(n.value) for n in function.body if isinstance(n, ast.Assign) and n.targets[0].id == "template")
    template = template.replace("USE_DEFAULT_PROMPT", "false").replace("DEFAULT_SYSTEM_MESSAGE", "")
    return template, "transformers 4.40.2 (wheel), LlamaTokenizer.default_chat_template with use_default_system_prompt false"


class Merges:
    """What transformers 4 gave its converters, which in 5.23 ask for more than its own extractor has."""

    def __init__(self, file):
        pass

    def extract(self, scored):
        vocab = {piece: i for i, (piece, _) in enumerate(scored)}
        return vocab, generate_merges(vocab, scored)


GemmaConverter.SpmExtractor = LlamaConverter.SpmExtractor = Merges


def begin(tokenizer, mark):
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{mark} $A", pair=f"{mark} $A {mark}:1 $B:1", special_tokens=[(mark, tokenizer.token_to_id(mark))])


def gemma(file, special, bos=True):
    original = types.SimpleNamespace(vocab_file=str(file), pad_token="<pad>", eos_token="<eos>", bos_token="<bos>", unk_token="<unk>", add_prefix_space=False)
    converter = GemmaConverter(original)
    converter.special_tokens = set(special)
    tokenizer = converter.converted()
    tokenizer.add_special_tokens([AddedToken("<unk>", normalized=False, special=True)])  # the converter leaves it out, as unknown and not control
    if bos:
        begin(tokenizer, "<bos>")
    return tokenizer


def llama(file, legacy):
    """legacy: a ▁ before every stretch between marks, written as a normalizer, the older form of such files; otherwise a
    Metaspace that puts it before the first stretch only, the newer form."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
    tokenizer = LlamaConverter(types.SimpleNamespace(vocab_file=str(file), add_prefix_space=True, legacy=legacy, convert_ids_to_tokens=pieces.id_to_piece)).converted()
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in ("<unk>", "<s>", "</s>")])
    begin(tokenizer, "<s>")
    return tokenizer


def llama_3(file):
    reserved = [f"<|reserved_special_token_{i}|>" for i in range(251)]
    special = ["<|begin_of_text|>", "<|end_of_text|>", *reserved[:4], "<|start_header_id|>", "<|end_header_id|>", reserved[4], "<|eot_id|>", *reserved[5:]]
    TikTokenConverter.load_tiktoken_bpe = staticmethod(
        lambda path: {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in pathlib.Path(path).read_text().splitlines() if line)})
    tokenizer = TikTokenConverter(str(file), extra_special_tokens=special).converted()
    assert tokenizer.token_to_id("<|eot_id|>") == 128009 and tokenizer.get_vocab_size() == 128256
    begin(tokenizer, "<|begin_of_text|>")
    return tokenizer


GEMMA = dict(bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>", tokenizer_class="GemmaTokenizer", add_bos_token=True, add_eos_token=False, clean_up_tokenization_spaces=False)
LLAMA = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token=None, tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=False, clean_up_tokenization_spaces=False)
TURNS = ["<start_of_turn>", "<end_of_turn>"]
FILES = REAL / "tokenizers"
GEMMA_4 = ["<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", '<|"|>', "<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>"]
# For each: model_type, vocabulary size, tokenizer (a folder to copy from, or what makes one), tokenizer_config.json, eos ids, chat template,
# whether the template lies in chat_template.jinja, the SentencePiece file.
FAMILIES = {
    "gemma-1": ("gemma", 256000, lambda: gemma(FILES / "tokenizer.gemma", TURNS), GEMMA, [1, 107], lambda: trl("gemma.jinja"), False, "tokenizer.gemma"),
    "gemma-2": ("gemma2", 256000, lambda: gemma(FILES / "tokenizer.gemma", TURNS), GEMMA, [1, 107], lambda: trl("gemma.jinja"), False, "tokenizer.gemma"),
    "gemma-3": ("gemma3_text", 262144, REAL / "gemma-3-270m", GEMMA, [1, 106], lambda: trl("gemma3.jinja"), True, "tokenizer.gemma3"),
    "gemma-4": ("gemma4_text", 262144, lambda: gemma(FILES / "tokenizer_gemma4.model", GEMMA_4, bos=False), GEMMA | dict(add_bos_token=False), [1, 106, 50],
                lambda: trl("gemma4_v5.jinja"), True, "tokenizer_gemma4.model"),
    "qwen3": ("qwen3", 151936, FILES / "qwen3-tokenizer", None, [151645, 151643], None, False, None),
    "llama-2": ("llama", 32000, lambda: llama(FILES / "tokenizer.llama2", True), LLAMA | dict(legacy=True), 2, llama_2, False, "tokenizer.llama2"),
    "llama-3": ("llama", 128256, lambda: llama_3(FILES / "tokenizer_llama3.tiktoken"),
                dict(bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>", tokenizer_class="PreTrainedTokenizerFast", clean_up_tokenization_spaces=True, model_input_names=["input_ids", "attention_mask"]),
                [128001, 128009], lambda: trl("llama3.jinja"), False, None),
    "mistral-v1": ("mistral", 32000, lambda: llama(FILES / "tokenizer.mistral-v1", True), LLAMA | dict(legacy=True), 2,
                   lambda: llama_cpp("mistralai/Mistral-7B-Instruct-v0.2 (mistralai 'v1' template"), False, "tokenizer.mistral-v1"),
    "mistral-v3": ("mistral", 32768, lambda: llama(FILES / "tokenizer.mistral-v3", False), LLAMA | dict(legacy=False), 2,
                   lambda: llama_cpp("Mistral-Large-Instruct-2407 (mistralai 'v3' template"), False, "tokenizer.mistral-v3"),
    "smollm2": ("llama", 49152, REAL / "smollm2-135m-instruct", None, 2, None, True, None),
}


def write(family):
    kind, size, source, settings, eos, template, apart, _ = FAMILIES[family]
    folder = OUT / family
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if callable(source):
        source().save(str(folder / "tokenizer.json"))
    else:
        shutil.copy(source / "tokenizer.json", folder)
        if settings is None:
            settings = json.loads((source / "tokenizer_config.json").read_text())
    settings = dict(settings)
    if template:
        text, origin = template()
    elif apart:
        text, origin = (source / "chat_template.jinja").read_text(), f"{source.name}/chat_template.jinja, out of the GGUF file"
    else:
        text, origin = settings["chat_template"], f"maxtext 0.2.5, {source.name}/tokenizer_config.json"
    if apart:
        (folder / "chat_template.jinja").write_text(text)
    else:
        settings["chat_template"] = text
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1, ensure_ascii=False))
    first = AutoTokenizer.from_pretrained(folder).bos_token_id
    shape = dict(vocab_size=size, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16)
    ids = dict(bos_token_id=first, eos_token_id=eos)
    AutoConfig.for_model(kind, **shape, **ids).save_pretrained(folder)
    (folder / "generation_config.json").write_text(json.dumps({"do_sample": True} | {k: v for k, v in ids.items() if v is not None}, indent=1))
    return folder, origin


def expect(family, lines):
    folder, origin = write(family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.is_fast
    whole, bare = tokenizer(lines).input_ids, tokenizer(lines, add_special_tokens=False).input_ids
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain.no_padding()
    plain.no_truncation()
    file_whole, file_bare = ([e.ids for e in plain.encode_batch(lines, add_special_tokens=special)] for special in (True, False))
    rows = []
    for row in zip(lines, whole, bare, file_whole, file_bare):
        rows.append(dict(zip(("text", "ids", "bare", "file_ids", "file_bare"), row)))
        if row[1:3] == row[3:5]:
            del rows[-1]["file_ids"], rows[-1]["file_bare"]
    found = {"template_source": origin, "file_same": f"{sum(a == b for a, b in zip(bare, file_bare))} of {len(lines)}"}
    if FAMILIES[family][-1]:
        model = sentencepiece_model_pb2.ModelProto.FromString((FILES / FAMILIES[family][-1]).read_bytes())
        pieces = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
        unmarked = [i for i, line in enumerate(lines) if not any(mark in line for mark in MARKS)]
        for name, ids in (("sentencepiece_same", bare), ("sentencepiece_file_same", file_bare)):
            found[name] = f"{sum(pieces.encode(lines[i]) == ids[i] for i in unmarked)} of {len(unmarked)}"
    talks = []
    for messages, prompt in CONVERSATIONS:
        talks.append({"messages": messages, "add_generation_prompt": prompt})
        try:
            talks[-1]["text"] = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt, enable_thinking=False)
        except TemplateError:
            talks[-1]["error"] = True
    (folder / "expected.json").write_text(json.dumps(found | {"lines": rows, "conversations": talks}, ensure_ascii=False))
    tokens = sum(map(len, whole))
    print(f"{family}: {len(rows)} lines, {tokens} ids; file_same {found['file_same']}; SentencePiece {found.get('sentencepiece_same', '-')}, file {found.get('sentencepiece_file_same', '-')};"
          f" {sum('text' in t for t in talks)} conversations, {sum('error' in t for t in talks)} raise; template: {origin}", flush=True)


if __name__ == "__main__":
    logging.set_verbosity_error()
    lines = make_lines()
    for family in sys.argv[3:] or FAMILIES:
        expect(family, lines)
