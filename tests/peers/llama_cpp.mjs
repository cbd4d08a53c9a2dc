// llama.cpp (npm node-llama-cpp, prebuilt) on given tokens: the best logits behind the last token of each prompt
// and behind each following one.
//   node llama_cpp.mjs FOLDER MODEL TOKENS BEST OUTPUT FLASH_ATTENTION
// FOLDER has node_modules. A line of TOKENS is "PROMPT_LENGTH id id …". OUTPUT gets rows of float32: the logarithm of
// the sum of all exp(logit), BEST ids, their BEST logits.
import {createWriteStream, readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [folder, modelPath, tokensPath, bestCount, output, flash] = process.argv.slice(2);
const best = Number(bestCount);
const require = createRequire(folder + "/");
const {getLlama} = await import(pathToFileURL(require.resolve("node-llama-cpp")).href);
const llama = await getLlama({gpu: false, build: "never", progressLogs: false, logLevel: "error"});
const model = await llama.loadModel({modelPath});
// One thread: those of llama.cpp wait for each other by spinning, which takes minutes on a machine that is busy.
const context = await model.createContext({contextSize: 512, batchSize: 512, threads: 1, flashAttention: JSON.parse(flash)});
const sequence = context.getSequence();
const file = createWriteStream(output);
const wanted = {generateNext: {logits: {filter: {tokens: [], includeTop: best}}, totalLogitWeight: true}};
for (const line of readFileSync(tokensPath, "utf8").trim().split("\n")) {
    const [prompt, ...ids] = line.split(" ").map(Number);
    const input = ids.slice(0, -1).map((id, i) => i < prompt - 1 ? id : [id, wanted]);
    const results = await sequence.controlledEvaluate(input);
    for (const {next} of results.slice(prompt - 1)) {
        const entries = [...next.logits].sort((a, b) => b[1] - a[1]).slice(0, best);
        if (entries.length !== best) throw new Error(`${entries.length} logits instead of ${best}`);
        const row = new Float32Array(1 + 2 * best);
        row[0] = entries[0][1] + Math.log(next.totalLogitWeight);
        entries.forEach(([id, logit], i) => { row[1 + i] = id; row[1 + best + i] = logit; });
        file.write(Buffer.from(row.buffer));
    }
    await sequence.clearHistory();
}
await new Promise((done) => file.end(done));
process.exit(0);
