// Grammars for tests/peers/grammar_test.py.
//
//   sample_grammar random COUNT SAMPLES TOKENIZER    random schemas, and documents drawn from the masks of each
//   sample_grammar accepts < requests                {"schema": …, "open": bool, "documents": ["…"]} a line
//   sample_grammar answers MODEL SEEDS < requests    {"schema": …, "prompt": "…"} a line: what a model answers
//   sample_grammar speed TOKENIZER < requests        schemas, one a line: microseconds per mask
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <iostream>

#include "base/file.h"
#include "engine/chat_prompt.h"
#include "engine/engine.h"
#include "engine/token_mask.h"
#include "engine/tokenizer_gguf.h"
#include "engine/tokenizer_json.h"
#include "kernels/cpu/cpu_ops.h"
#include "tests/engine/random_schema.h"

namespace {

using namespace vitrine;

Result<Tokenizer> load(const std::string& path) {
  Result<TokenizerData> data;
  if (path.ends_with(".gguf")) {
    const auto model = GgufModel::open(path);
    if (!model) return tl::make_unexpected(model.error());
    data = read_tokenizer_gguf(*model);
  } else {
    const auto text = read_file(path, uint64_t{256} << 20);
    if (!text) return tl::make_unexpected(text.error());
    data = read_tokenizer_json(*text);
    // Which token ends an answer stands in the file beside it.
    const auto config = read_file(path.substr(0, path.rfind('/') + 1) + "tokenizer_config.json", 1 << 20);
    if (data && config) {
      if (Status status = apply_tokenizer_config(*config, *data); !status) return tl::make_unexpected(status.error());
    }
  }
  if (!data) return tl::make_unexpected(data.error());
  return Tokenizer::create(std::move(*data));
}

void print(const SchemaJson& line) {
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}

SchemaJson refusal(const Error& error) {
  static constexpr const char* kCodes[] = {"usage", "unreadable", "malformed", "unsupported", "limit", "internal"};
  return {{"code", kCodes[static_cast<int>(error.code)]}, {"error", error.message}, {"where", error.where}};
}

// A document drawn token by token: any that is allowed, later on what ends things. Nothing when it grows too long.
std::optional<std::vector<TokenId>> draw(const GrammarPointer& grammar, const Tokenizer& tokenizer, TokenMasks& masks,
                                         RandomSchema& random) {
  GrammarMatcher matcher(grammar);
  std::vector<TokenId> out, choices, closing;
  for (int step = 0; step < 400 && !matcher.must_end(); ++step) {
    const auto mask = masks.allowed(matcher);
    if (!mask) {
      std::fprintf(stderr, "%s after %s\n", mask.error().to_string().c_str(), tokenizer.decode(out).c_str());
      std::exit(1);
    }
    choices.clear();
    closing.clear();
    for (size_t word = 0; word < mask->size(); ++word) {
      for (uint64_t bits = (*mask)[word]; bits != 0; bits &= bits - 1) {
        const auto id = static_cast<TokenId>(word * 64 + static_cast<size_t>(__builtin_ctzll(bits)));
        choices.push_back(id);
        const std::string_view bytes = tokenizer.bytes(id);
        if (tokenizer.ends_generation(id) ||
            (bytes.size() == 1 && std::string_view("}]\",:@").find(bytes[0]) != std::string_view::npos))
          closing.push_back(id);
      }
    }
    const bool hurry = !closing.empty() && random.below(40) < static_cast<uint32_t>(10 + step);
    const TokenId chosen = random.pick(hurry ? closing : choices);
    if (tokenizer.ends_generation(chosen)) return out;
    out.push_back(chosen);
    if (!matcher.accept(tokenizer.bytes(chosen))) std::exit(1);
  }
  if (!matcher.must_end()) return std::nullopt;
  return out;
}

int random_schemas(uint64_t count, int samples, const std::string& path) {
  const auto tokenizer = load(path);
  if (!tokenizer) return 1;
  TokenMasks masks(*tokenizer);
  for (uint64_t seed = 0; seed < count; ++seed) {
    RandomSchema random(seed + 1'000'000);
    const SchemaJson schema = random.schema();
    const auto grammar = compile_json_schema(schema.dump());
    SchemaJson line = {{"schema", schema}};
    if (!grammar) {
      line.update(refusal(grammar.error()));
    } else {
      line["documents"] = SchemaJson::array();
      line["unfinished"] = 0;
      for (int i = 0; i < samples; ++i) {
        if (const auto ids = draw(*grammar, *tokenizer, masks, random)) {
          std::string text;
          for (const TokenId id : *ids) text += tokenizer->bytes(id);
          line["documents"].push_back(text);
        } else {
          line["unfinished"] = line["unfinished"].get<int>() + 1;
        }
      }
    }
    print(line);
  }
  return 0;
}

int accepts() {
  for (std::string text; std::getline(std::cin, text);) {
    const SchemaJson request = SchemaJson::parse(text);
    const auto grammar =
        compile_json_schema(request["schema"].get<std::string>(), {.open = request["open"].get<bool>()});
    SchemaJson line = SchemaJson::object();
    if (!grammar) {
      line = refusal(grammar.error());
    } else {
      line["accepted"] = SchemaJson::array();
      for (const auto& document : request["documents"])
        line["accepted"].push_back(matches(**grammar, document.get<std::string>()));
    }
    print(line);
  }
  return 0;
}

int answers(const std::string& path, uint64_t seeds) {
  auto ops = make_cpu_ops({.threads = 2, .isa = {}});
  if (!ops) return 1;
  EngineOptions options;
  options.context = 1024;
  options.cache_tokens = 8192;
  const auto engine = Engine::open(path, **ops, options);
  if (!engine) return 1;
  std::map<SequenceId, SchemaJson> open;
  for (std::string text; std::getline(std::cin, text);) {
    const SchemaJson request = SchemaJson::parse(text);
    const auto grammar = compile_json_schema(request["schema"].dump());
    if (!grammar) {
      print(refusal(grammar.error()));
      continue;
    }
    ChatInput input;
    input.messages = ChatList{ChatMap{{"role", "user"}, {"content", request["prompt"].get<std::string>()}}};
    const auto prompt = make_chat_prompt(*(*engine)->chat_template(), (*engine)->tokenizer(), input);
    if (!prompt) return 1;
    for (const float temperature : {0.0f, 1.0f}) {
      for (uint64_t seed = 0; seed < (temperature == 0 ? 1 : seeds); ++seed) {
        Request own;
        own.prompt = prompt->ids;
        own.sampling.temperature = temperature;
        own.sampling.seed = seed;
        own.max_tokens = 160;
        own.grammar = *grammar;
        open[*(*engine)->add(own)] = {
            {"schema", request["schema"]}, {"temperature", temperature}, {"seed", seed}, {"text", ""}};
      }
    }
  }
  while ((*engine)->busy()) {
    const auto outputs = (*engine)->step();
    if (!outputs) return 1;
    for (const SequenceOutput& output : *outputs) {
      SchemaJson& own = open[output.sequence];
      own["text"] = own["text"].get<std::string>() + output.text;
      if (output.error) own.update(refusal(*output.error));
      if (output.finished) own["finished"] = finish_reason_name(*output.finished);
      if (output.finished || output.error) print(own);
    }
  }
  return 0;
}

// Along drawn documents: a mask that was not asked for before, and the same again.
int speed(const std::string& path) {
  // Processor time of this thread: what else runs on the machine is not counted.
  struct Clock {
    static double now() {
      timespec time;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) / 1e3;
    }
  };
  const auto since = [](double start) { return Clock::now() - start; };
  const auto tokenizer = load(path);
  if (!tokenizer) return 1;
  auto start = Clock::now();
  { const TokenMasks warm(*tokenizer); }
  const double built = since(start);
  for (std::string text; std::getline(std::cin, text);) {
    start = Clock::now();
    const auto grammar = compile_json_schema(text);
    const double compiled = since(start);
    if (!grammar) {
      print(refusal(grammar.error()));
      continue;
    }
    TokenMasks masks(*tokenizer);
    RandomSchema random(1);
    std::vector<double> cold, warm, accept;
    for (int document = 0; document < 30; ++document) {
      GrammarMatcher matcher(*grammar);
      const auto ids = draw(*grammar, *tokenizer, masks, random);
      if (!ids) continue;
      TokenMasks fresh(*tokenizer, document % 5 == 0 ? TokenMasks::kCacheBytes : 0);
      for (const TokenId id : *ids) {
        if (document % 5 == 0) {
          start = Clock::now();
          if (!fresh.allowed(matcher)) return 1;
          cold.push_back(since(start));
        }
        if (!masks.allowed(matcher)) return 1;
        start = Clock::now();
        if (!masks.allowed(matcher)) return 1;
        warm.push_back(since(start));
        start = Clock::now();
        if (!matcher.accept(tokenizer->bytes(id))) return 1;
        accept.push_back(since(start));
      }
    }
    const auto at = [](std::vector<double>& values, double part) {
      if (values.empty()) return 0.0;
      std::sort(values.begin(), values.end());
      return values[std::min(values.size() - 1, static_cast<size_t>(part * static_cast<double>(values.size())))];
    };
    print({{"schema", text.substr(0, 80)},
           {"vocabulary", tokenizer->size()},
           {"trie_ms", built / 1000},
           {"compile_us", compiled},
           {"cold_us", {{"median", at(cold, 0.5)}, {"p90", at(cold, 0.9)}, {"max", at(cold, 1)}}},
           {"warm_us", {{"median", at(warm, 0.5)}, {"max", at(warm, 1)}}},
           {"accept_us", {{"median", at(accept, 0.5)}}},
           {"tokens", cold.size()}});
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "random" && argc == 5) return random_schemas(std::stoull(argv[2]), std::stoi(argv[3]), argv[4]);
  if (mode == "accepts" && argc == 2) return accepts();
  if (mode == "answers" && argc == 4) return answers(argv[2], std::stoull(argv[3]));
  if (mode == "speed" && argc == 3) return speed(argv[2]);
  std::fprintf(stderr, "usage: see the head of sample_grammar.cc\n");
  return 2;
}
