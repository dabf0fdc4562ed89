"""openai's Python client against a running server: python openai_client.py http://127.0.0.1:PORT"""
import sys

import openai

client = openai.OpenAI(base_url=sys.argv[1] + "/v1", api_key="none", max_retries=0)
names = [model.id for model in client.models.list()]
assert "Alice" in names and "base" in names, names
question = [{"role": "user", "content": "Where do you live?"}]

whole = client.chat.completions.create(model="Alice", messages=question, temperature=0, logprobs=True, top_logprobs=2)
said = whole.choices[0].message.content
assert said and whole.usage.total_tokens > 0 and whole.choices[0].finish_reason in ("stop", "length")
assert len(whole.choices[0].logprobs.content[0].top_logprobs) == 2
assert whole.choices[0].apc["retrieved"], whole

pieces = []
usage = None
options = {"include_usage": True}
for chunk in client.chat.completions.create(model="Alice", messages=question, temperature=0, stream=True, stream_options=options):
    usage = chunk.usage or usage
    pieces += [choice.delta.content or "" for choice in chunk.choices]
assert "".join(pieces) == said, (pieces, said)
assert usage.completion_tokens == whole.usage.completion_tokens

several = client.chat.completions.create(model="Alice", messages=question, temperature=1.5, n=3, seed=1)
scores = [choice.apc["delta_apc"] for choice in several.choices]
assert scores == sorted(scores, reverse=True) and len(scores) == 3, scores

with client.chat.completions.with_streaming_response.create(model="Alice", messages=question, stream=True) as stream:
    next(stream.iter_lines())  # and goes away

talk = question + [{"role": "assistant", "content": said}, {"role": "system", "content": "It rains."}, {"role": "user", "content": "And your brother?"}]
assert client.chat.completions.create(model="Alice", messages=talk, stop=["."], max_completion_tokens=20).choices[0].message.content

text = client.completions.create(model="base", prompt="Once upon a", max_tokens=5, temperature=0)
assert text.choices[0].text and text.usage.completion_tokens == 5, text

for wrong, kind in [({"model": "nobody"}, openai.NotFoundError), ({"n": 0}, openai.BadRequestError), ({"messages": []}, openai.BadRequestError)]:
    try:
        client.chat.completions.create(**{"model": "Alice", "messages": question, **wrong})
        raise SystemExit(f"{wrong} was not refused")
    except kind as error:
        assert error.body["message"], error
print("openai", openai.__version__, "ok:", said)
