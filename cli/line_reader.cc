#include "cli/line_reader.h"

#include <histedit.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <clocale>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace vitrine::cli {
namespace {

void drain(int descriptor) {
  char bytes[64];
  while (::read(descriptor, bytes, sizeof bytes) > 0) {
  }
}

// Until standard input has something, or its end; false when an interrupt came first.
bool wait_for_input(int interrupts) {
  for (;;) {
    pollfd both[] = {{interrupts, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (poll(both, 2, -1) < 0 && errno == EINTR) continue;
    return both[0].revents == 0;
  }
}

class PipeReader final : public LineReader {
 public:
  explicit PipeReader(int interrupts) : interrupts_(interrupts) {}

  Event next(std::string& line, bool) override {
    drain(interrupts_);
    for (;;) {
      const size_t newline = buffer_.find('\n');
      if (newline != std::string::npos) {
        line = buffer_.substr(0, newline);
        buffer_.erase(0, newline + 1);
        return Event::line;
      }
      char piece[4096];
      if (!wait_for_input(interrupts_)) {
        buffer_.clear();
        return Event::interrupted;
      }
      const ssize_t count = ::read(STDIN_FILENO, piece, sizeof piece);
      if (count <= 0) {
        line = std::move(buffer_);
        buffer_.clear();
        return line.empty() ? Event::end : Event::line;
      }
      buffer_.append(piece, static_cast<size_t>(count));
    }
  }

 private:
  const int interrupts_;
  std::string buffer_;
};

void append_utf8(std::string& out, uint32_t code) {
  const auto byte = [&out](uint32_t bits) { out += static_cast<char>(bits); };
  if (code < 0x80) return byte(code);
  if (code < 0x800) {
    byte(0xc0 | code >> 6);
  } else {
    if (code < 0x10000) {
      byte(0xe0 | code >> 12);
    } else {
      byte(0xf0 | code >> 18);
      byte(0x80 | (code >> 12 & 0x3f));
    }
    byte(0x80 | (code >> 6 & 0x3f));
  }
  byte(0x80 | (code & 0x3f));
}

// libedit draws and edits; reading is ours, because its own reader swallows the first Ctrl-C.
class TerminalReader final : public LineReader {
 public:
  explicit TerminalReader(int interrupts) : interrupts_(interrupts) {
    // libedit writes characters in the locale's encoding.
    if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX < 3) std::setlocale(LC_CTYPE, "C.UTF-8");
    history_ = history_winit();
    edit_ = el_init("vitrine", stdin, stdout, stderr);
    HistEventW event;
    history_w(history_, &event, H_SETSIZE, 1000);
    history_w(history_, &event, H_SETUNIQUE, 1);
    el_wset(edit_, EL_CLIENTDATA, this);
    el_wset(edit_, EL_EDITOR, L"emacs");
    el_wset(edit_, EL_PROMPT, &TerminalReader::prompt);
    el_wset(edit_, EL_HIST, history_w, history_);
    el_wset(edit_, EL_GETCFN, &TerminalReader::read_character);
    el_wset(edit_, EL_BIND, L"^R", L"em-inc-search-prev", nullptr);
  }
  ~TerminalReader() override {
    el_end(edit_);
    history_wend(history_);
  }

  Event next(std::string& line, bool more) override {
    more_ = more;
    interrupted_ = false;
    drain(interrupts_);
    el_resize(edit_);
    // Before the prompt, which libedit writes first: who types at once must not be echoed twice.
    el_wset(edit_, EL_PREP_TERM, 1);
    int count = 0;
    const wchar_t* typed = el_wgets(edit_, &count);
    if (typed == nullptr || count <= 0) return interrupted_ ? Event::interrupted : Event::end;
    line.clear();
    bool blank = true;
    for (int i = 0; i < count && typed[i] != L'\n'; ++i) {
      append_utf8(line, static_cast<uint32_t>(typed[i]));
      blank = blank && (typed[i] == L' ' || typed[i] == L'\t');
    }
    HistEventW event;
    if (!blank) history_w(history_, &event, H_ENTER, typed);
    return Event::line;
  }

 private:
  static TerminalReader& self(EditLine* edit) {
    void* data = nullptr;
    el_wget(edit, EL_CLIENTDATA, &data);
    return *static_cast<TerminalReader*>(data);
  }

  static wchar_t* prompt(EditLine* edit) {
    static wchar_t first[] = L"> ", further[] = L". ";
    return self(edit).more_ ? further : first;
  }

  // One character of UTF-8; what is none becomes U+FFFD. 1: read, 0: the end, -1: interrupted.
  static int read_character(EditLine* edit, wchar_t* out) {
    TerminalReader& reader = self(edit);
    uint32_t code = 0;
    for (int left = -1; left != 0;) {
      unsigned char byte = 0;
      if (!wait_for_input(reader.interrupts_)) {
        reader.interrupted_ = true;
        return -1;
      }
      const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
      if (count <= 0) return count < 0 ? -1 : 0;
      if (left < 0) {
        left = byte < 0x80 ? 0 : byte >> 5 == 6 ? 1 : byte >> 4 == 14 ? 2 : byte >> 3 == 30 ? 3 : -2;
        if (left == -2) code = 0xfffd, left = 0;
        else code = left == 0 ? byte : byte & (0x3fu >> left);
      } else if (byte >> 6 != 2) {  // cut short
        code = 0xfffd;
        left = 0;
      } else {
        code = code << 6 | (byte & 0x3f);
        --left;
      }
    }
    *out = static_cast<wchar_t>(code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ? 0xfffd : code);
    return 1;
  }

  const int interrupts_;
  EditLine* edit_ = nullptr;
  HistoryW* history_ = nullptr;
  bool more_ = false;
  bool interrupted_ = false;
};

}  // namespace

std::unique_ptr<LineReader> read_pipe(int interrupts) { return std::make_unique<PipeReader>(interrupts); }
std::unique_ptr<LineReader> read_terminal(int interrupts) { return std::make_unique<TerminalReader>(interrupts); }

}  // namespace vitrine::cli
