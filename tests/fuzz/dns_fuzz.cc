// DNS messages, alone and framed in a TCP stream fed in pieces.
#include <algorithm>
#include <cstdlib>

#include "capture/net/dns.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  const Bytes input(data, size);
  if (const auto message = parse_dns(input)) {
    if (message->questions.size() > 32 || message->answers.size() > 256) std::abort();
    for (const auto& question : message->questions) {
      if (question.name.empty() || question.name.size() > 4 * 255) std::abort();
      if (!slice(input, question.offset, question.length)) std::abort();
    }
    for (const auto& answer : message->answers) {
      if (answer.type == dns_type::kCname ? answer.target.empty() : answer.ip.family == 0) std::abort();
    }
  }
  const size_t step = size == 0 ? 1 : 1 + data[0] % 64;
  DnsTcpFramer framer;
  for (size_t at = 0; at < size; at += step) {
    Bytes piece = input.subspan(at, std::min(step, size - at));
    for (;;) {
      const Bytes message = framer.next(piece);
      if (message.empty()) break;
      (void)parse_dns(message);
    }
    if (!piece.empty()) std::abort();
  }
  return 0;
}
