// openai's npm client, and the AI SDK's, against a running server: node openai_client.mjs http://127.0.0.1:PORT
import assert from "node:assert";
import OpenAI from "openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";

const baseURL = process.argv[2] + "/v1";
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "Where do you live?" }];
const whole = await client.chat.completions.create({ model: "Alice", messages, temperature: 0 });
const said = whole.choices[0].message.content;
assert(said && whole.choices[0].apc.retrieved.length);
let streamed = "";
for await (const chunk of await client.chat.completions.create({ model: "Alice", messages, temperature: 0, stream: true })) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
}
assert.equal(streamed, said);
const aborted = await client.chat.completions.create({ model: "Alice", messages, stream: true, max_tokens: 500, temperature: 1.9 });
for await (const _ of aborted) break;
await assert.rejects(client.chat.completions.create({ model: "nobody", messages }), { status: 404 });

const provider = createOpenAICompatible({ name: "apc", baseURL });
const { text } = await generateText({ model: provider("Alice"), prompt: "Where do you live?", temperature: 0 });
assert.equal(text, said);
let pieces = "";
for await (const piece of streamText({ model: provider("Alice"), prompt: "Where do you live?", temperature: 0 }).textStream) pieces += piece;
assert.equal(pieces, said);
console.log("openai (npm) and @ai-sdk/openai-compatible ok:", said);
