// HAR files: every exchange that opens closes, and every piece lies in the file.
#include <cstdlib>

#include "capture/input/har.h"

namespace {

struct Sink : vitrine::ExchangeSink {
  explicit Sink(size_t file_size) : size(file_size) {}
  void connection(const vitrine::ConnectionInfo&, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) ++connections;
    if (event == ConnectionEvent::closed) --connections;
  }
  void opened(const vitrine::Exchange&) override { ++exchanges; }
  void part(const vitrine::Exchange&, const vitrine::Part& part) override {
    if (exchanges != 1) std::abort();
    for (const vitrine::StreamSpan& piece : part.pieces) {
      if (piece.offset > size || piece.length > size - piece.offset) std::abort();
    }
    uint64_t pieces = 0;
    for (const vitrine::StreamSpan& piece : part.pieces) pieces += piece.length;
    for (const vitrine::HeaderField& field : part.headers) {
      if (uint64_t{field.offset} + field.length > pieces) std::abort();
    }
  }
  void closed(const vitrine::Exchange&, vitrine::CloseReason) override { --exchanges; }
  size_t size;
  int connections = 0, exchanges = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vitrine::Bytes file(data, size);
  (void)vitrine::looks_like_har(file);
  (void)vitrine::har_comment(file);
  Sink sink(size);
  (void)vitrine::read_har(file, sink);
  if (sink.connections != 0 || sink.exchanges != 0) std::abort();
  return 0;
}
