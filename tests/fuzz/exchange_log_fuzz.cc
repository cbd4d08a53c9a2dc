// Exchange logs: what is read is written again, and the second reading must
// find a log without a defect and with as many exchanges. A log that comes in
// pieces, whatever they are, says the same as the whole one.
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "capture/input/exchange_log.h"
#include "exchange_story.h"

namespace {

using vitrine::Bytes;
using vitrine::fuzz::Story;

// Forwards to the writer too.
struct Both : vitrine::ExchangeSink {
  Both(Story& first, vitrine::ExchangeSink& second) : a(first), b(second) {}
  void connection(const vitrine::ConnectionInfo& info, ConnectionEvent event) override {
    a.connection(info, event);
    b.connection(info, event);
  }
  void opened(const vitrine::Exchange& exchange) override {
    a.opened(exchange);
    b.opened(exchange);
  }
  void part(const vitrine::Exchange& exchange, const vitrine::Part& part) override {
    a.part(exchange, part);
    b.part(exchange, part);
  }
  void closed(const vitrine::Exchange& exchange, vitrine::CloseReason reason) override {
    a.closed(exchange, reason);
    b.closed(exchange, reason);
  }
  void dns(const vitrine::ConnectionInfo& info, const vitrine::DnsName& name) override { a.dns(info, name); }
  void resolved(const vitrine::IpAddress& ip, std::string_view name) override { a.resolved(ip, name); }
  void issue(vitrine::Issue issue) override { a.issue(std::move(issue)); }
  Story& a;
  vitrine::ExchangeSink& b;
};

// `most` 0: pieces of any size, as a generator seeded with the input says.
std::string in_pieces(Bytes file, size_t most) {
  Story story;
  vitrine::ExchangeLogReader reader(story);
  uint64_t state = 88172645463325252ull + file.size();
  for (size_t at = 0; at < file.size();) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    const size_t size = std::min(file.size() - at, most != 0 ? most : 1 + state % 200);
    const std::vector<uint8_t> copy(file.begin() + at, file.begin() + at + size);  // its end is the end of memory
    if (!reader.feed(copy)) return "refused";
    at += size;
  }
  return reader.finish() ? story.text : "refused";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes file(data, size);
  (void)vitrine::looks_like_exchange_log(file);
  (void)vitrine::exchange_log_comment(file);
  Story first;
  std::string out = vitrine::exchange_log_head({});
  vitrine::ExchangeLogWriter writer(out);
  Both both(first, writer);
  const bool read = vitrine::read_exchange_log(file, both).has_value();
  const std::string whole = read ? first.text : "refused";
  for (const size_t most : {size_t{0}, size_t{1}, size_t{13}}) {
    if (const std::string pieces = in_pieces(file, most); pieces != whole) {
      std::fprintf(stderr, "pieces of %zu differ\n--- whole\n%s\n--- pieces\n%s\n", most, whole.c_str(),
                   pieces.c_str());
      std::abort();
    }
  }
  if (!read) return 0;
  if (first.connections != 0 || first.open != 0) std::abort();
  Story second;
  if (!vitrine::read_exchange_log(vitrine::as_bytes(out), second)) std::abort();
  if (second.issues != 0 || second.exchanges != first.exchanges || second.parts != first.parts) std::abort();
  return 0;
}
