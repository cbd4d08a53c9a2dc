// Event streams: every cut of the input gives the same events.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "capture/http/sse.h"

namespace {
struct Log final : vitrine::SseParser::Sink {
  explicit Log(std::string_view b) : body(b) {}
  std::string_view body;
  std::string text;
  void on_event(std::string_view data, vitrine::StreamSpan within, vitrine::StreamSpan event, bool complete) override {
    if (within.offset + within.length > body.size() || event.offset + event.length > body.size()) std::abort();
    // An event of one data line lies in the body as it is.
    if (complete && data.find('\n') == data.npos && body.substr(within.offset, within.length) != data) std::abort();
    text += std::string(data) + "|" + std::to_string(within.offset) + "+" + std::to_string(within.length) + "|" +
            std::to_string(event.offset) + "+" + std::to_string(event.length) + (complete ? "\n" : " cut\n");
  }
};
std::string parse(vitrine::Bytes input, size_t step) {
  Log log(vitrine::as_text(input));
  vitrine::SseParser parser(log);
  for (size_t at = 0; at < input.size(); at += step) parser.feed(input.subspan(at, std::min(step, input.size() - at)));
  parser.finish();
  return log.text;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vitrine::Bytes input{data, size};
  const std::string whole = parse(input, std::max<size_t>(size, 1));
  for (size_t step : {1, 3, 17}) {
    if (parse(input, step) != whole) std::abort();
  }
  return 0;
}
