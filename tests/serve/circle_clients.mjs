// OpenAI's and Ollama's clients for JavaScript against `vitrine serve`: called by circle_test.py. Prints one JSON object:
// {requests: [{head, body}]}: what they put on the wire, as undici, which sends it, tells.
//
//   node circle_clients.mjs PEERS URL KEY PROMPT
import { subscribe } from "node:diagnostics_channel";
import { createRequire } from "node:module";

const [peers, url, apiKey, prompt] = process.argv.slice(2);
const require = createRequire(peers + "/");
const OpenAI = require("openai").default ?? require("openai");
const { Ollama } = require("ollama");

const requests = [];
subscribe("undici:client:sendHeaders", ({ headers }) => requests.push({ head: headers }));

const messages = [{ role: "user", content: prompt }];
const openai = new OpenAI({ baseURL: url + "/v1", apiKey, maxRetries: 0 });
for await (const event of await openai.chat.completions.create({ model: "test-model", messages, max_tokens: 3, stream: true })) void event;
await new Ollama({ host: url }).chat({ model: "test-model", messages, options: { num_predict: 3 } });
console.log(JSON.stringify({ requests }));
