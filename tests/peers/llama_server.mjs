// llama.cpp (npm node-llama-cpp, prebuilt) behind HTTP: the second server that the gateway is tested against and that
// `./dev bench serve` compares with. Sequences of one context, batched by the library itself; greedy.
//   node llama_server.mjs FOLDER MODEL SEQUENCES THREADS [TOKENS_PER_SEQUENCE]
// FOLDER has node_modules. Prints "port N" when it listens on loopback. POST /v1/completions and /v1/chat/completions
// (ChatML), streaming or not; GET /v1/models.
import {createServer} from "node:http";
import {createRequire} from "node:module";
import {resolve} from "node:path";
import {pathToFileURL} from "node:url";

const [folder, modelPath, sequences, threads, length = "1024"] = process.argv.slice(2);
const require = createRequire(resolve(folder) + "/");
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error", maxThreads: Number(threads)});
const model = await llama.loadModel({modelPath});
const context = await model.createContext({sequences: Number(sequences), contextSize: Number(length),
    batchSize: 512, threads: Number(threads)});
const free = Array.from({length: Number(sequences)}, () => context.getSequence());
const waiting = [];
const take = () => free.length > 0 ? Promise.resolve(free.pop()) : new Promise((ready) => waiting.push(ready));
const give = async (sequence) => {
    await sequence.clearHistory();
    const next = waiting.shift();
    next ? next(sequence) : free.push(sequence);
};

async function* generate(text, most, ignoreEnd) {
    const sequence = await take();
    try {
        let count = 0;
        for await (const token of sequence.evaluate(model.tokenize(text, true), {temperature: 0})) {
            if (!ignoreEnd && model.isEogToken(token)) return;
            yield model.detokenize([token]);
            if (++count >= most) return;
        }
    } finally {
        await give(sequence);
    }
}

const server = createServer(async (request, response) => {
    if (request.url === "/v1/models") {
        response.setHeader("content-type", "application/json");
        return response.end(JSON.stringify({object: "list", data: [{id: "llama.cpp", object: "model", created: 0, owned_by: "llama.cpp"}]}));
    }
    let body = "";
    for await (const piece of request) body += piece;
    const asked = JSON.parse(body);
    const chat = request.url === "/v1/chat/completions";
    const text = chat
        ? asked.messages.map((m) => `<|im_start|>${m.role}\n${m.content}<|im_end|>\n`).join("") + "<|im_start|>assistant\n"
        : asked.prompt;
    const event = (piece, finish) => ({id: "x", object: chat ? "chat.completion.chunk" : "text_completion", created: 0, model: "llama.cpp",
        choices: [{index: 0, finish_reason: finish, ...(chat ? {delta: piece === null ? {} : {content: piece}} : {text: piece ?? ""})}]});
    let whole = "";
    if (asked.stream) response.writeHead(200, {"content-type": "text/event-stream"});
    for await (const piece of generate(text, asked.max_tokens ?? 128, asked.ignore_end)) {
        if (response.destroyed) break;
        whole += piece;
        if (asked.stream) response.write(`data: ${JSON.stringify(event(piece, null))}\n\n`);
    }
    if (asked.stream) return response.end(`data: ${JSON.stringify(event(null, "stop"))}\n\ndata: [DONE]\n\n`);
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({id: "x", object: "chat.completion", created: 0, model: "llama.cpp", choices: [{index: 0, finish_reason: "stop",
        ...(chat ? {message: {role: "assistant", content: whole}} : {text: whole})}]}));
});
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
