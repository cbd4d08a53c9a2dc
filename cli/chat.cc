// `vitrine chat`: a conversation in the terminal.
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/line_reader.h"
#include "cli/model_flags.h"
#include "engine/chat_prompt.h"
#include "engine/reasoning.h"

namespace vitrine::cli {
namespace {

volatile std::sig_atomic_t interrupt_count = 0;
volatile int interrupt_event = -1;

// While it lives, Ctrl-C counts instead of ending the program, and makes event() readable.
class InterruptGuard {
 public:
  InterruptGuard() : event_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
    interrupt_event = event_;
    struct sigaction action = {};
    action.sa_handler = [](int) {
      const int error = errno;
      interrupt_count = interrupt_count + 1;
      eventfd_write(interrupt_event, 1);
      errno = error;
    };
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &before_);
  }
  ~InterruptGuard() {
    sigaction(SIGINT, &before_, nullptr);
    close(event_);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  int event() const { return event_; }

 private:
  const int event_;
  struct sigaction before_ = {};
};

// What a model writes, for a terminal: a control character could move the cursor, rename the window or
// answer in the user's place; all but newline and tab become U+FFFD. REQUIRES: whole characters.
std::string without_controls(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    if (c1 || byte == 0x7f || (byte < 0x20 && byte != '\n' && byte != '\t')) {
      out += "\xef\xbf\xbd";
    } else {
      out += text[i];
    }
  }
  return out;
}

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  std::string system;
};

class Chat {
 public:
  Chat(const ChatFlags& flags, LoadedModel& model, int interrupts)
      : flags_(flags),
        model_(model),
        engine_(*model.engine),
        interactive_(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)),
        terminal_(isatty(STDOUT_FILENO)),
        colour_(shows_colour(STDOUT_FILENO)),
        lines_(interactive_ ? read_terminal(interrupts) : read_pipe(interrupts)) {
    clear();
  }

  int run() {
    if (interactive_ && !flags_.model.quiet) {
      const std::string& name = engine_.config().name;
      fmt::print("{} ({}), {} tokens of context, {}. /help for commands, Ctrl-D ends.\n",
                 name.empty() ? flags_.model.path : printable(name), architecture_name(engine_.config().architecture),
                 engine_.context(), model_.ops->description());
    }
    std::string line;
    for (;;) {
      switch (lines_->next(line, false)) {
        case LineReader::Event::end:
          if (interactive_) print("\n");
          return kOk;
        case LineReader::Event::interrupted:
          if (interactive_) print("\n(Ctrl-D ends the conversation)\n");
          continue;
        case LineReader::Event::line: break;
      }
      if (trim(line).empty()) continue;
      if (trim(line) == "\"\"\"" && !read_block(line)) continue;
      if (interactive_ && line.front() == '/') {
        if (!command(std::string(trim(line)))) return kOk;
        continue;
      }
      if (const int code = answer(line); code != kOk) return code;
    }
  }

 private:
  static void print(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  }

  void clear() {
    messages_.clear();
    if (!flags_.system.empty()) messages_.push_back(chat_message("system", flags_.system));
  }

  // Lines up to the closing """. False when it was broken off.
  bool read_block(std::string& text) {
    text.clear();
    std::string line;
    while (lines_->next(line, true) == LineReader::Event::line) {
      if (trim(line) == "\"\"\"") return !trim(text).empty();
      text += line + "\n";
    }
    return false;
  }

  // False for /exit.
  bool command(const std::string& name) {
    if (name == "/exit" || name == "/quit") return false;
    if (name == "/clear") {
      clear();
      print("(a new conversation)\n");
    } else if (name == "/help") {
      print(
          "/clear   forget the conversation\n/exit    end (also Ctrl-D)\n"
          "\"\"\"      before and after a message of several lines\nCtrl-C   stops an answer\n"
          "arrows   edit the line, bring earlier messages back (Ctrl-R searches them)\n");
    } else {
      print("(no such command; /help lists them)\n");
    }
    return true;
  }

  Result<ChatPrompt> prompt() const {
    const Tokenizer& tokenizer = engine_.tokenizer();
    ChatInput input;
    input.messages = messages_;
    input.now = std::time(nullptr);
    if (const auto bos = tokenizer.bos()) input.bos_token = tokenizer.bytes(*bos);
    if (const auto eos = tokenizer.eos()) input.eos_token = tokenizer.bytes(*eos);
    return make_chat_prompt(*engine_.chat_template(), tokenizer, input);
  }

  void show(const ReasoningSplitter::Piece& piece) {
    if (!piece.reasoning.empty()) {
      if (!in_reasoning_) print(colour_ ? "\033[2m" : "<think>\n");
      in_reasoning_ = true;
      print(terminal_ ? without_controls(piece.reasoning) : piece.reasoning);
    }
    if (piece.answer.empty()) return;
    if (in_reasoning_) {
      end_reasoning();
      print("\n\n");
    }
    print(terminal_ ? without_controls(piece.answer) : piece.answer);
  }

  void end_reasoning() {
    if (in_reasoning_) print(colour_ ? "\033[0m" : "\n</think>");
    in_reasoning_ = false;
  }

  // An error of this message leaves the conversation as it was before it; only the
  // device's own errors end the program.
  int answer(const std::string& text) {
    messages_.push_back(chat_message("user", text));
    auto rendered = prompt();
    if (!rendered) {
      messages_.pop_back();
      report_error(rendered.error());
      return interactive_ ? kOk : exit_code_of(rendered.error());
    }
    ReasoningSplitter splitter(rendered->opens_reasoning);
    std::string said;
    in_reasoning_ = false;
    const auto take = [&](const ReasoningSplitter::Piece& piece) {
      said += piece.answer;
      show(piece);
    };
    const int before = interrupt_count;
    const auto result = run_request(
        engine_, flags_.sampling.request(std::move(rendered->ids)),
        [&](const SequenceOutput& output) { take(splitter.push(output.text)); },
        [&] { return interrupt_count != before; }, flags_.model.quiet);
    if (!result) {
      end_reasoning();
      messages_.pop_back();
      report_error(result.error());
      if (result.error().code == ErrorCode::limit) fmt::print(stderr, "vitrine: /clear starts a new conversation\n");
      return interactive_ && result.error().code != ErrorCode::internal ? kOk : exit_code_of(result.error());
    }
    take(splitter.finish());
    end_reasoning();
    print("\n");
    messages_.push_back(chat_message("assistant", said));
    report(*result);
    return kOk;
  }

  void report(const RunResult& result) const {
    if (flags_.model.quiet) return;
    const char* how = result.finished == FinishReason::cancelled ? ", stopped"
                      : result.finished == FinishReason::length  ? ", cut off at the limit"
                                                                 : "";
    fmt::print(stderr, "{}[{} tokens, {:.1f} tokens/s; prompt {} tokens ({} cached), {:.2f} s{}]{}\n",
               shows_colour(STDERR_FILENO) ? "\033[2m" : "", result.usage.generated_tokens, result.generate_rate(),
               result.usage.prompt_tokens, result.usage.cached_tokens, result.prompt_seconds, how,
               shows_colour(STDERR_FILENO) ? "\033[0m" : "");
  }

  const ChatFlags& flags_;
  LoadedModel& model_;
  Engine& engine_;
  const bool interactive_;
  const bool terminal_;  // the output is one
  const bool colour_;
  bool in_reasoning_ = false;
  const std::unique_ptr<LineReader> lines_;
  ChatList messages_;
};

int chat(const ChatFlags& flags) {
  auto loaded = flags.model.load();
  if (!loaded) return report_error(loaded.error());
  if (loaded->engine->chat_template() == nullptr) {
    return report_error({ErrorCode::usage, "the model has no chat template; `vitrine generate --raw` continues a text",
                         flags.model.path});
  }
  const InterruptGuard guard;
  return Chat(flags, *loaded, guard.event()).run();
}

}  // namespace

void add_chat(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<ChatFlags>();
  CLI::App* command = app.add_subcommand("chat", "a conversation with a local model, in the terminal");
  flags->model.add_to(*command);
  command->add_option("--system", flags->system, "a system message in front")->type_name("TEXT");
  flags->sampling.add_to(*command, 0.6f);
  command->footer(
      "Ctrl-C stops an answer, Ctrl-D ends. Nothing is stored and no connection is opened.\n"
      "Example: vitrine chat -m build/models/SmolLM2-135M-Instruct.gguf");
  command->callback([flags, &exit_code] { exit_code = chat(*flags); });
}

}  // namespace vitrine::cli
