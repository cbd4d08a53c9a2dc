// Server-Sent Events (WHATWG HTML, section 9.2) as they arrive: body bytes in,
// one call per event out. Any cut of the input gives the same events.
#pragma once

#include <string>
#include <string_view>

#include "base/bytes.h"
#include "capture/stream.h"

namespace vitrine {

class SseParser {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    // `data`: the data lines joined by LF. `event`: the whole event's lines in
    // the body; `within`: from the first to the last data line's value.
    // complete=false: the body ended, or the bound was passed, inside it.
    virtual void on_event(std::string_view data, StreamSpan within, StreamSpan event, bool complete) = 0;
  };

  static constexpr size_t kEventBound = 16 << 20;  // data of one event, and one line

  explicit SseParser(Sink& sink) : sink_(sink) {}
  void feed(Bytes body);
  void finish();  // the body ended

 private:
  void line(std::string_view text, uint64_t offset, uint64_t next);
  void dispatch(uint64_t end, bool complete);

  Sink& sink_;
  std::string partial_;    // a line without its end yet
  uint64_t position_ = 0;  // body offset of the next byte to read
  uint64_t line_start_ = 0;
  uint64_t event_start_ = 0;
  bool after_cr_ = false, first_line_ = true, overlong_ = false;
  std::string data_;
  bool has_data_ = false, cut_ = false;
  StreamSpan within_;
};

}  // namespace vitrine
