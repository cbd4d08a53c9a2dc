// llama.cpp (npm node-llama-cpp) on the work of tests/bench/engine_bench.cc:
//   node llama_cpp_bench.mjs MODULES MODEL.gguf THREADS PROMPT DECODE ROUNDS
// MODULES: the folder with node_modules. Prints one JSON object with raw samples.
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const [modules, model, ...numbers] = process.argv.slice(2);
const [threads, prompt, decode, rounds] = numbers.map(Number);
const require = createRequire(modules + "/node_modules/");
const entry = require.resolve("node-llama-cpp");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error});
const begin = performance.now();
const loaded = await llama.loadModel({modelPath: model, gpuLayers: 0, useMmap: true});
const context = await loaded.createContext({
  contextSize: prompt + decode + 64, batchSize: prompt, threads: {ideal: threads, min: threads}});
const load = (performance.now() - begin) / 1000;
const sequence = context.getSequence();
const vocabulary = loaded.fileInfo.metadata.tokenizer.ggml.tokens.length;
const token = i => 300 + (i * 7919) % Math.min(vocabulary - 400, 40000);

const samples = [];
for (let round = 0; round < rounds; ++round) {
  await sequence.clearHistory();
  const tokens = Array.from({length: prompt}, (_, i) => token(i + round * 131));
  let start = performance.now();
  await sequence.evaluateWithoutGeneratingNewTokens(tokens);
  const promptSeconds = (performance.now() - start) / 1000;
  // Greedy sampling is part of the time: an argmax, under one percent of a step.
  const steps = [];
  start = performance.now();
  for await (const _ of sequence.evaluate([token(1)], {temperature: 0, yieldEogToken: true})) {
    const now = performance.now();
    steps.push((now - start) / 1000);
    start = now;
    if (steps.length === decode) break;
  }
  samples.push({prompt_s: promptSeconds, decode_s: steps});
}
const version = require(modules + "/node_modules/node-llama-cpp/package.json").version;
console.log(JSON.stringify({node_llama_cpp: version, llama_cpp: llama.llamaCppRelease.release, load_s: load, samples}));
process.exit(0);
