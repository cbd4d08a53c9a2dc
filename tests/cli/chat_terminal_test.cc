// `vitrine chat` on a pseudo-terminal, as a person at a keyboard sees it. The model is a real file whose weights
// spell a script: each token is followed by one other, so that what it answers is known.
#include <gtest/gtest.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "engine/gguf_writer.h"
#include "tests/cli/program.h"

namespace vitrine::cli {
namespace {

// A byte in the alphabet that byte-level tokenizers spell tokens with.
std::string spelled(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const auto shown = [](unsigned b) { return (b > 32 && b < 127) || (b > 160 && b != 173 && b < 256); };
    unsigned code = byte;
    if (!shown(byte)) {
      code = 256;
      for (unsigned b = 0; b < byte; ++b) code += !shown(b);
    }
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else {
      out += static_cast<char>(0xc0 | code >> 6);
      out += static_cast<char>(0x80 | (code & 63));
    }
  }
  return out;
}

// A llama whose attention and feed-forward add nothing: what follows a token is what the head says for its
// embedding alone, and each embedding is a direction of its own.
//   script: text → the text that follows it; "" ends the answer.
std::string scripted_model(const TempFolder& folder, const std::map<std::string, std::string>& script,
                           const std::string& chat_template) {
  std::vector<std::string> texts;
  for (int byte = 0; byte < 256; ++byte) texts.emplace_back(1, static_cast<char>(byte));
  const auto id = [&texts](const std::string& text) {
    const auto at = std::find(texts.begin(), texts.end(), text) - texts.begin();
    if (at == std::ssize(texts)) texts.push_back(text);
    return at;
  };
  const auto end = id("<end>");
  std::vector<std::pair<ptrdiff_t, ptrdiff_t>> follows;  // token, the one behind it
  for (const auto& [text, next] : script) {
    const auto from = id(text);
    follows.emplace_back(from, next.empty() ? end : id(next));
  }
  const uint64_t vocabulary = texts.size(), n = 320, head = 32, ffn = 32;
  EXPECT_LT(vocabulary, n);

  const std::string path = folder.path("scripted.gguf");
  auto sink = write_to_file(path);
  if (!sink) return "";
  GgufWriter writer(std::move(*sink));
  writer.add("general.architecture", "llama");
  writer.add("general.name", "Scripted\033[31m");
  const auto count = [&](const char* key, uint64_t value) {
    writer.add(std::string("llama.") + key, static_cast<uint32_t>(value));
  };
  count("vocab_size", vocabulary);
  count("context_length", 1 << 20);
  count("embedding_length", n);
  constexpr int kLayers = 2;  // the last one computes little for tokens whose logits nobody reads
  count("block_count", kLayers);
  count("feed_forward_length", ffn);
  count("attention.head_count", 1);
  count("attention.head_count_kv", 1);
  count("attention.key_length", head);
  count("attention.value_length", head);
  count("rope.dimension_count", head);
  writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  writer.add("llama.rope.freq_base", 10000.0f);
  writer.add("tokenizer.ggml.model", "gpt2");
  writer.add("tokenizer.ggml.pre", "gpt-2");
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  for (size_t i = 0; i < texts.size(); ++i) {
    const bool control = static_cast<ptrdiff_t>(i) == end;
    tokens.push_back(control ? texts[i] : spelled(texts[i]));
    types.push_back(control ? 3 : 1);
  }
  writer.add("tokenizer.ggml.tokens", std::span<const std::string>(tokens));
  writer.add("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  writer.add("tokenizer.ggml.merges", std::span<const std::string>());
  writer.add("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(end));
  writer.add("tokenizer.chat_template", chat_template);

  std::vector<float> embedding(vocabulary * n), output(vocabulary * n);
  for (uint64_t t = 0; t < vocabulary; ++t) embedding[t * n + t] = 1;
  for (const auto& [from, to] : follows) output[static_cast<uint64_t>(to) * n + static_cast<uint64_t>(from)] = 8;
  std::vector<std::vector<float>> data;
  const auto add = [&](const std::string& name, std::initializer_list<uint64_t> ne, std::vector<float> values) {
    EXPECT_TRUE(writer.add_tensor(name, 0, ne));
    data.push_back(std::move(values));
  };
  const std::vector<float> ones(n, 1);
  add("token_embd.weight", {n, vocabulary}, embedding);
  add("output_norm.weight", {n}, ones);
  add("output.weight", {n, vocabulary}, output);
  for (int layer = 0; layer < kLayers; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    add(block + "attn_norm.weight", {n}, ones);
    add(block + "attn_q.weight", {n, head}, std::vector<float>(n * head));
    add(block + "attn_k.weight", {n, head}, std::vector<float>(n * head));
    add(block + "attn_v.weight", {n, head}, std::vector<float>(n * head));
    add(block + "attn_output.weight", {head, n}, std::vector<float>(n * head));
    add(block + "ffn_norm.weight", {n}, ones);
    add(block + "ffn_gate.weight", {n, ffn}, std::vector<float>(n * ffn));
    add(block + "ffn_up.weight", {n, ffn}, std::vector<float>(n * ffn));
    add(block + "ffn_down.weight", {ffn, n}, std::vector<float>(n * ffn));
  }
  EXPECT_TRUE(writer.begin_data());
  for (const auto& values : data) {
    EXPECT_TRUE(writer.write({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)}));
  }
  EXPECT_TRUE(writer.finish());
  return path;
}

// The last character of a message chooses the answer.
const std::map<std::string, std::string> kScript = {{"?", "<think>"},
                                                    {"<think>", "Let me see. "},
                                                    {"Let me see. ", "</think>"},
                                                    {"</think>", "Seven."},
                                                    {"Seven.", ""},
                                                    {"!", "la "},
                                                    {"la ", "la "},  // never ends
                                                    {"e", "\033[2J\033]0;owned\a"},
                                                    {"\033[2J\033]0;owned\a", "tail"},
                                                    {"tail", ""},
                                                    {"k", "한국어"},
                                                    {"한국어", " 中文"},
                                                    {" 中文", ""},
                                                    {"\n", "So it is. "},
                                                    {"So it is. ", "</think>"}};
const char* const kPlain = "{% for m in messages %}{{ m.content }}{% endfor %}";
// As the updated R1's: the prompt itself opens the reasoning.
const char* const kOpensReasoning = "{% for m in messages %}{{ m.content }}{% endfor %}{{ '<think>\\n' }}";

// A program with a pseudo-terminal as all three of its streams.
class Terminal {
 public:
  Terminal(const std::vector<std::string>& arguments, const std::vector<std::string>& environment = {}) {
    winsize size{.ws_row = 24, .ws_col = 60, .ws_xpixel = 0, .ws_ypixel = 0};
    child_ = forkpty(&master_, nullptr, nullptr, &size);
    if (child_ == 0) {
      unsetenv("NO_COLOR");
      setenv("TERM", "xterm", 1);
      setenv("LC_ALL", "C", 1);  // what a bare container has
      for (const std::string& variable : environment) putenv(strdup(variable.c_str()));
      std::vector<char*> argv = {strdup(VITRINE_PROGRAM)};
      for (const std::string& argument : arguments) argv.push_back(strdup(argument.c_str()));
      argv.push_back(nullptr);
      execv(VITRINE_PROGRAM, argv.data());
      _exit(127);
    }
    EXPECT_GT(child_, 0);
  }
  ~Terminal() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    close(master_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(const std::string& keys) {
    EXPECT_EQ(write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }

  // Waits for the prompt first: before it, the terminal itself takes the keys.
  void enter(const std::string& keys) {
    expect("> ");
    type(keys);
  }

  // Reads until `text` has come behind what was expected before; what came up to its end. Fails after 60 s.
  std::string expect(const std::string& text) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    for (;;) {
      const size_t at = seen_.find(text, from_);
      if (at != std::string::npos) {
        const std::string out = seen_.substr(from_, at + text.size() - from_);
        from_ = at + text.size();
        return out;
      }
      if (std::chrono::steady_clock::now() > deadline || !read_some()) {
        ADD_FAILURE() << "no \"" << text << "\" in: " << seen_.substr(from_);
        return seen_.substr(from_);
      }
    }
  }

  int exit_code() {
    while (read_some()) {
    }
    int status = -1;
    waitpid(child_, &status, 0);
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  const std::string& seen() const { return seen_; }

 private:
  bool read_some() {
    pollfd wait{master_, POLLIN, 0};
    if (poll(&wait, 1, 60000) <= 0) return false;
    char piece[4096];
    const ssize_t count = read(master_, piece, sizeof piece);
    if (count > 0) seen_.append(piece, static_cast<size_t>(count));
    return count > 0;
  }

  int master_ = -1;
  pid_t child_ = -1;
  std::string seen_;
  size_t from_ = 0;
};

TEST(ChatTerminal, ReasoningIsDimmedAndTheConversationGoesOn) {
  const TempFolder folder;
  const std::string model = scripted_model(folder, kScript, kPlain);
  Terminal terminal({"chat", "-m", model, "--temperature", "0"});
  EXPECT_EQ(terminal.expect("/help").find("\033[31m"), std::string::npos) << "the file's own name is made harmless";
  terminal.enter("what is the number of all things?\r");
  terminal.expect("\033[2mLet me see.");
  terminal.expect("\033[0m\r\n\r\nSeven.");
  terminal.expect("tokens/s");
  terminal.expect("prompt 33 tokens (0 cached)");
  terminal.enter("and?\r");
  terminal.expect("Seven.");
  // The first message, the answer without its reasoning, "and?".
  terminal.expect("prompt 43 tokens");
  terminal.enter("/clear\r");
  terminal.expect("a new conversation");
  terminal.enter("what?\r");
  terminal.expect("prompt 5 tokens");
  terminal.enter("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
  EXPECT_EQ(terminal.seen().find("think>"), std::string::npos) << "tags are not shown";
}

TEST(ChatTerminal, PromptThatOpensTheReasoning) {
  const TempFolder folder;
  Terminal terminal({"chat", "-m", scripted_model(folder, kScript, kOpensReasoning), "--temperature", "0"});
  terminal.enter("x\r");
  terminal.expect("\033[2mSo it is.");
  terminal.expect("\033[0m\r\n\r\nSeven.");
  terminal.enter("/exit\r");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(ChatTerminal, CtrlCStopsTheAnswerAndKeepsTheSession) {
  const TempFolder folder;
  Terminal terminal(
      {"chat", "-m", scripted_model(folder, kScript, kPlain), "--temperature", "0", "--context", "100000"});
  terminal.enter("sing!\r");
  terminal.expect("la la la la");
  terminal.type("\x03");
  terminal.expect("stopped]");
  terminal.enter("what?\r");
  terminal.expect("Seven.");
  terminal.enter("half a mess\x03");
  terminal.expect("(Ctrl-D ends the conversation)");
  terminal.enter("/clear\r");
  terminal.expect("a new conversation");
  terminal.enter("what?\r");
  terminal.expect("prompt 5 tokens");  // nothing of the half message is left
  terminal.enter("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(ChatTerminal, LinesAreEditedAndComeBack) {
  const TempFolder folder;
  Terminal terminal({"chat", "-m", scripted_model(folder, kScript, kPlain), "--temperature", "0"});
  terminal.enter("가나\x7f\x7f?\r");  // a character is taken back as a whole, wide or not
  terminal.expect("Seven.");
  terminal.expect("prompt 1 tokens");
  terminal.enter("/clear\r");
  terminal.expect("a new conversation");
  terminal.enter("?!\033[D\x7f\033[C\x7fwhy?\r");  // left, delete "?", right, delete "!"
  terminal.expect("prompt 4 tokens");
  terminal.enter("/clear\r");
  terminal.expect("a new conversation");
  terminal.enter("\033[A\033[A\r");  // two lines back: "why?"
  terminal.expect("prompt 4 tokens");
  terminal.enter("/clear\r");
  terminal.expect("a new conversation");
  terminal.enter("한 k\r");
  terminal.expect("한국어 中文");
  terminal.enter("/clear\r");
  terminal.expect("a new conversation");
  terminal.enter("\"\"\"\r");
  for (const char* line : {"ab\r", "c?\r", "\"\"\"\r"}) {
    terminal.expect(". ");
    terminal.type(line);
  }
  terminal.expect("prompt 6 tokens");  // "ab\nc?\n"
  terminal.enter("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(ChatTerminal, AnAnswerCannotSteerTheTerminal) {
  const TempFolder folder;
  Terminal terminal({"chat", "-m", scripted_model(folder, kScript, kPlain), "--temperature", "0"});
  terminal.enter("e\r");
  const std::string shown = terminal.expect("tail");
  EXPECT_EQ(shown.find("\033[2J"), std::string::npos);
  EXPECT_EQ(shown.find("\033]0;"), std::string::npos);
  EXPECT_NE(shown.find("\xef\xbf\xbd[2J\xef\xbf\xbd]0;owned\xef\xbf\xbd"), std::string::npos);
}

TEST(ChatTerminal, WithoutColour) {
  const TempFolder folder;
  const std::string model = scripted_model(folder, kScript, kPlain);
  Terminal terminal({"chat", "-m", model, "--temperature", "0"}, {"NO_COLOR=1"});
  terminal.enter("what?\r");
  EXPECT_EQ(terminal.expect("Seven.").find("\033[2m"), std::string::npos);
  EXPECT_EQ(terminal.expect("tokens/s").find("\033[2m"), std::string::npos);
  terminal.enter("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(ChatTerminal, ALongPromptShowsProgress) {
  const TempFolder folder;
  // 800,000 tokens: minutes, of which the test sees the first two seconds.
  const std::string model = scripted_model(folder, kScript, "{% for m in messages %}{{ m.content * 8 }}{% endfor %}");
  Terminal terminal({"chat", "-m", model, "--temperature", "0", "--context", "1000000", "--threads", "1", "--system",
                     std::string(100000, 'x')});
  terminal.enter("what?\r");
  terminal.expect("\r\033[Kreading the prompt [");
  terminal.expect("tokens/s");
  terminal.type("\x03");
  terminal.expect("stopped]");
  terminal.enter("\x04");
  EXPECT_EQ(terminal.exit_code(), 0);
}

TEST(ChatTerminal, ThroughPipes) {
  const TempFolder folder;
  const std::string model = scripted_model(folder, kScript, kPlain);
  const std::string in = folder.write("in", "what?\nk\n");
  const Outcome outcome =
      run_command("/bin/sh", {"-c", std::string(VITRINE_PROGRAM) + " chat -m " + model + " --temperature 0 <" + in});
  EXPECT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "<think>\nLet me see.\n</think>\n\nSeven.\n한국어 中文\n");
  EXPECT_EQ(outcome.err.find('\033'), std::string::npos);
}

}  // namespace
}  // namespace vitrine::cli
