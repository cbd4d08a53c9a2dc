// Arbitrary bytes through the tap (form: http_script.h): its log of every
// content mode reads without a defect, with the same exchanges and the same
// number of bytes accounted; and nothing stands in it that the mode leaves out.
#include <array>
#include <cstdlib>
#include <memory>

#include "base/json_tokenizer.h"
#include "capture/input/exchange_log.h"
#include "capture/tap/content_filter.h"
#include "capture/tap/tap.h"
#include "exchange_story.h"
#include "http_script.h"

namespace {

using namespace vitrine;

bool stands_for_a_value(std::string_view text) {
  WithheldValue ignored;
  return parse_withheld(text, ignored);
}

// What the filter lets through, on its way to the writer.
struct Checked : ExchangeSink {
  Checked(ExchangeSink& to, RecordedContent what) : next(to), mode(what) {}
  void connection(const ConnectionInfo& info, ConnectionEvent event) override { next.connection(info, event); }
  void opened(const Exchange& exchange) override { next.opened(exchange); }
  void closed(const Exchange& exchange, CloseReason reason) override { next.closed(exchange, reason); }
  void issue(Issue issue) override { next.issue(std::move(issue)); }
  void part(const Exchange& exchange, const Part& part) override {
    const std::string_view text = as_text(part.content);
    if (mode == RecordedContent::none && !text.empty() && !stands_for_a_value(text)) std::abort();
    if (mode == RecordedContent::hash && !text.empty() && !stands_for_a_value(text) &&
        !exchange.message(part.direction).content_type.starts_with("application/x-www-form-urlencoded")) {
      for (uint64_t at = 0; at < text.size();) {
        JsonTokenizer json(text, 512, at);
        JsonToken token;
        while (json.next(token)) {
          if (token.kind == JsonToken::Kind::number) std::abort();
          if (token.kind == JsonToken::Kind::string && !stands_for_a_value(token.raw)) std::abort();
        }
        if (token.kind != JsonToken::Kind::end) std::abort();
        at = token.offset;
      }
    }
    for (const HeaderField& field : part.headers) {
      if (is_credential_header(field.name) && !field.value.empty() && !stands_for_a_value(field.value)) std::abort();
    }
    next.part(exchange, part);
  }
  ExchangeSink& next;
  const RecordedContent mode;
};

struct Logged {
  explicit Logged(RecordedContent mode)
      : text(exchange_log_head({.content = mode})),
        writer(text),
        checked(writer, mode),
        filter(checked, mode, WithheldValues(std::array<uint8_t, 32>{})) {}
  std::string text;
  ExchangeLogWriter writer;
  Checked checked;
  ContentFilter filter;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const fuzz::Script script = fuzz::read_script({data, size});
  TapOptions options;
  options.http.body_bytes = 1 << 20;
  options.http.body_memory = 4 << 10;
  options.http.header_bytes = 4 << 10;
  options.http.headers = 50;
  options.http.streams = 20;
  auto tap = Tap::open(std::move(options));
  if (!tap) std::abort();
  Logged hash(RecordedContent::hash), none(RecordedContent::none);
  std::string full = exchange_log_head({});
  ExchangeLogWriter writer(full);
  fuzz::Story direct;
  for (ExchangeSink* sink : {static_cast<ExchangeSink*>(&direct), static_cast<ExchangeSink*>(&writer),
                             static_cast<ExchangeSink*>(&hash.filter), static_cast<ExchangeSink*>(&none.filter)})
    (*tap)->subscribe(*sink);
  TapPeer peer;
  peer.tls = (script.flags & 2) != 0;
  if (peer.tls) peer.tls_info.alpn = "h2";
  {
    const auto connection = (*tap)->connection(std::move(peer), {1});
    int64_t time = 1;
    for (const fuzz::Record& record : script.records) {
      if (record.kind == StreamChunk::Kind::data) connection->bytes(record.direction, record.bytes, {++time});
      if (record.kind == StreamChunk::Kind::close) connection->close(record.direction, {++time});
    }
  }
  if (!(*tap)->close({})) std::abort();
  if (direct.open != 0 || direct.connections != 0) std::abort();
  for (const std::string* log : {&full, &hash.text, &none.text}) {
    fuzz::Story read;
    if (!read_exchange_log(as_bytes(*log), read)) std::abort();
    if (read.exchanges != direct.exchanges || read.parts != direct.parts || read.issues != direct.issues) std::abort();
    for (size_t d = 0; d < 2; ++d) {
      if (read.counted[d].total() != direct.counted[d].total()) std::abort();
    }
  }
  return 0;
}
