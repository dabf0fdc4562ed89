"""litellm against a running server: python litellm_client.py http://127.0.0.1:PORT"""
import sys

import litellm

settings = {"model": "openai/Alice", "api_base": sys.argv[1] + "/v1", "api_key": "none", "temperature": 0,
            "messages": [{"role": "user", "content": "Where do you live?"}]}
said = litellm.completion(**settings).choices[0].message.content
assert said
streamed = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **settings))
assert streamed == said, (streamed, said)
print("litellm ok:", said)
