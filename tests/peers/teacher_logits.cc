// Generates greedily and writes the logits each token was chosen from, for comparison
// with another implementation that is given the same tokens.
//
//   teacher_logits MODEL COUNT LOGITS_FILE < prompts > tokens
//
// A line of standard input is a prompt: "text: …", or token ids. A line of output is
// "PROMPT_LENGTH id id …" of prompt and COUNT generated tokens. A line "forced: " with
// such a line behind it gives all tokens; nothing is chosen then. LOGITS_FILE gets
// float32 [prompts, COUNT, vocabulary].
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

#include "engine/model_runner.h"
#include "engine/model_text.h"
#include "kernels/cpu/cpu_ops.h"

namespace {

using namespace vitrine;

[[noreturn]] void stop(const Error& error) {
  std::fprintf(stderr, "teacher_logits: %s\n", error.to_string().c_str());
  std::exit(1);
}

template <class T>
T must(Result<T> result) {
  if (!result) stop(result.error());
  return std::move(*result);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) stop({ErrorCode::usage, "MODEL COUNT LOGITS_FILE", ""});
  const auto count = static_cast<size_t>(std::atoi(argv[2]));
  const Weights weights = must(Weights::open(argv[1]));
  const Tokenizer tokenizer = must(load_tokenizer(weights));
  const auto ops = must(make_cpu_ops());
  RunnerOptions options;
  options.kv.tokens = 2048;
  options.kv.type = Type::f16;
  options.outputs = static_cast<int64_t>(count);
  const auto runner = must(ModelRunner::create(must(load_model(weights, *ops)), *ops, options));
  std::ofstream file(argv[3], std::ios::binary);

  std::string line;
  while (std::getline(std::cin, line)) {
    std::vector<TokenId> tokens;
    size_t prompt = 0;
    constexpr std::string_view kText = "text: ", kForced = "forced: ";
    const bool forced = line.starts_with(kForced);
    if (line.starts_with(kText)) {
      tokens = must(tokenizer.encode(std::string_view(line).substr(kText.size()), {.add_bos = tokenizer.add_bos()}));
    } else {
      std::istringstream ids(forced ? line.substr(kForced.size()) : line);
      if (forced) ids >> prompt;
      for (TokenId id; ids >> id;) tokens.push_back(id);
    }
    if (!forced) prompt = tokens.size();
    if (prompt == 0 || (forced && tokens.size() != prompt + count)) stop({ErrorCode::usage, "a line too short", line});
    KvBlocks blocks;
    // Runs what is known and not yet in the cache, and writes its logits.
    const auto run = [&](size_t known, Piece::Logits wanted) {
      const auto ahead = std::span(tokens).first(known).subspan(static_cast<size_t>(blocks.tokens));
      const Piece piece = {&blocks, ahead, wanted};
      const auto logits = must(runner->run({&piece, 1}));
      file.write(reinterpret_cast<const char*>(logits.data()), static_cast<std::streamsize>(logits.size_bytes()));
      return logits;
    };
    if (forced) {  // in one step: the same bits as one by one (Invariance.*)
      if (prompt > 1) run(prompt - 1, Piece::Logits::none);
      run(prompt - 1 + count, Piece::Logits::all);
    } else {
      for (size_t i = 0; i < count; ++i) {
        const auto logits = run(prompt + i, Piece::Logits::last);
        tokens.push_back(static_cast<TokenId>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
      }
    }
    runner->kv().release(blocks);
    std::cout << prompt;
    for (const TokenId id : tokens) std::cout << ' ' << id;
    std::cout << '\n';
  }
  file.close();
  return file ? 0 : 1;
}
