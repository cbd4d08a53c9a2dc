// Whatever a part holds: every field's origin chain replays to its value, its
// line is JSON, and opaque bytes never exceed the bytes that came.
#include <cstdlib>

#include "base/json_tokenizer.h"
#include "capture/fields/field_extractor.h"
#include "capture/fields/field_json.h"
#include "capture/fields/replay.h"

namespace {

using namespace vitrine;

void require(bool condition) {
  if (!condition) std::abort();
}

class Check : public FieldSink {
 public:
  void begin_part(const Exchange&, const Part& part) override { part_ = &part; }
  void field(const Field& field) override {
    require(part_ != nullptr && !field.path.empty());
    const auto value =
        replay_chain(*extractor->origins(field.exchange->id), field.origin, *field.exchange, *part_, pieces);
    require(value.has_value());
    if (field.cut) require(value->starts_with(field.value));
    else require(*value == field.value);
    line_.clear();
    writer_.append(line_, field, {});
    JsonTokenizer json(line_);
    JsonToken token;
    while (json.next(token)) {
    }
    require(token.kind == JsonToken::Kind::end && token.offset == line_.size());
    if (field.opaque) require(field.entropy >= 0 && field.entropy <= 8.0001F);
    require(field.wire_bytes <= part_->wire_bytes);
  }
  void end_part(const Exchange&, const Part&) override { part_ = nullptr; }

  FieldExtractor* extractor = nullptr;
  Bytes pieces;

 private:
  const Part* part_ = nullptr;
  FieldJsonWriter writer_;
  std::string line_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  static constexpr const char* kTypes[] = {
      "",           "application/json",         "application/x-www-form-urlencoded", "multipart/form-data; boundary=b1",
      "text/plain", "application/connect+json", "application/grpc-web+proto",        "text/html"};
  const uint8_t kind = data[0];
  const Bytes bytes(data + 2, size - 2);
  ExtractLimits limits;
  limits.decoded_bytes_per_part = 1 << 20;
  limits.fields_per_exchange = 20'000;
  limits.value_bytes = 1 << 12;
  Check check;
  FieldExtractor extractor(check, limits);
  check.extractor = &extractor;
  check.pieces = bytes;
  ConnectionInfo info;
  info.id = 1;
  Exchange exchange;
  exchange.id = {1, 1};
  exchange.connection = &info;
  exchange.protocol = kind & 0x40 ? Protocol::websocket : Protocol::http11;
  exchange.method = "POST";
  const Direction direction = kind & 0x20 ? Direction::server_to_client : Direction::client_to_server;
  exchange.message(direction).content_type = kTypes[data[1] % 8];
  exchange.message(direction).bytes.add(Cause::decoded, bytes.size());
  const StreamSpan span{0, bytes.size()};
  Part part;
  part.direction = direction;
  part.pieces = {&span, 1};
  part.wire_bytes = bytes.size();
  part.complete = (kind & 0x10) == 0;

  std::vector<HeaderField> headers;
  if ((kind & 3) == 0) {
    // Lines "name: value", as a head is.
    const std::string_view text = as_text(bytes);
    size_t at = 0;
    while (at < text.size()) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = text.substr(at, end - at);
      const size_t colon = line.find(':', 1);
      if (colon != std::string_view::npos) {
        headers.push_back({line.substr(0, colon), line.substr(colon + 1), static_cast<uint32_t>(at + colon + 1),
                           static_cast<uint32_t>(line.size() - colon - 1)});
      }
      at = end + 1;
    }
    exchange.path = std::string(text.substr(0, text.size() / 2));
    // The target of a request without pseudo-headers has no stream bytes of its own.
    part.wire_bytes += exchange.path.size() + exchange.method.size();
    part.headers = headers;
  } else {
    part.kind = (kind & 3) == 1 ? Part::Kind::message : Part::Kind::body;
    part.content = bytes;
  }
  extractor.opened(exchange);
  extractor.part(exchange, part);
  require(extractor.opaque_bytes(exchange, direction) <= bytes.size());
  extractor.closed(exchange, CloseReason::complete);
  return 0;
}
