// Feeds parts to a FieldExtractor and keeps what comes out. Every field of a
// part is replayed through its origin chain as it is emitted, and must give its value.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <vector>

#include "capture/fields/field_extractor.h"
#include "capture/fields/replay.h"

namespace vitrine::testing {

struct Collected {
  std::string path, name, value, pattern;
  ValueType type = ValueType::string;
  Direction direction = Direction::client_to_server;
  Location location = Location::header;
  PatternId pattern_id = 0;
  bool opaque = false, cut = false;
  float entropy = 0;
  uint64_t wire_bytes = 0;
};

class Collector : public FieldSink, public IssueSink {
 public:
  explicit Collector(ExtractLimits limits = {}) : extractor(*this, limits) {
    extractor.set_issues(this);
    info.id = 7;
    info.client = {IpAddress::parse("192.0.2.10"), 50000};
    info.server = {IpAddress::parse("203.0.113.7"), 443};
    exchange.id = {7, 1};
    exchange.connection = &info;
    exchange.protocol = Protocol::http11;
    exchange.method = "POST";
    exchange.path = "/";
    exchange.host = "chat.aster.test";
  }

  void field(const Field& f) override {
    Collected c;
    c.path = f.path;
    c.name = f.name;
    c.value = f.value;
    c.pattern = extractor.patterns().text(f.pattern);
    c.pattern_id = f.pattern;
    c.type = f.value_type;
    c.direction = f.direction;
    c.location = f.location;
    c.opaque = f.opaque;
    c.cut = f.cut;
    c.entropy = f.entropy;
    c.wire_bytes = f.wire_bytes;
    if (replay && part_ != nullptr && f.exchange->id.ordinal != 0) {
      const auto value =
          replay_chain(*extractor.origins(f.exchange->id), f.origin, *f.exchange, *part_, as_bytes(pieces));
      ASSERT_TRUE(value.has_value()) << c.path << ": " << value.error().message;
      if (f.cut) {
        EXPECT_EQ(value->substr(0, c.value.size()), c.value) << c.path;
      } else {
        EXPECT_EQ(*value, c.value) << c.path;
      }
      ++replayed;
    }
    if (keep) fields.push_back(std::move(c));
    ++count;
  }
  void begin_part(const Exchange&, const Part& part) override {
    EXPECT_EQ(part_, nullptr) << "parts nest";
    part_ = &part;
  }
  void end_part(const Exchange&, const Part&) override { part_ = nullptr; }
  void issue(Issue issue) override { issues.push_back(issue.what); }

  // A body or message whose stream bytes are `wire`, made into `content` by `decoders`.
  void body(std::string_view content, std::string type = {}, std::string_view wire = {},
            std::vector<Decoder> decoders = {}, Part::Kind kind = Part::Kind::body, bool complete = true,
            StreamSpan within = {}) {
    pieces = wire.empty() ? content : wire;
    const StreamSpan span{0, pieces.size()};
    Part part;
    part.kind = kind;
    part.direction = direction;
    part.content = as_bytes(content);
    part.decoders = decoders;
    part.wire_bytes = pieces.size();
    part.pieces = {&span, 1};
    part.complete = complete;
    part.within = within;
    exchange.message(direction).content_type = type;
    exchange.message(direction).bytes.add(Cause::decoded, pieces.size());
    extractor.part(exchange, part);
  }

  // A head; HTTP/1 form, so that origins are spans of its bytes.
  void head(const std::vector<std::pair<std::string, std::string>>& list) {
    block.clear();
    std::vector<HeaderField> headers;
    for (const auto& [name, value] : list) {
      block += name + ": ";
      headers.push_back({name, value, static_cast<uint32_t>(block.size()), static_cast<uint32_t>(value.size())});
      block += value + "\r\n";
    }
    pieces = block;
    const StreamSpan span{0, pieces.size()};
    Part part;
    part.kind = Part::Kind::headers;
    part.direction = direction;
    part.headers = headers;
    part.pieces = {&span, 1};
    part.wire_bytes = pieces.size();
    extractor.part(exchange, part);
  }

  const Collected* find(std::string_view path) const {
    for (const Collected& field : fields) {
      if (field.path == path) return &field;
    }
    return nullptr;
  }
  std::string value(std::string_view path) const {
    const Collected* field = find(path);
    return field == nullptr ? "<no " + std::string(path) + " in " + paths() + ">" : field->value;
  }
  std::string paths() const {
    std::string out;
    for (const Collected& field : fields) out += field.path + " ";
    return out;
  }

  FieldExtractor extractor;
  ConnectionInfo info;
  Exchange exchange;
  Direction direction = Direction::client_to_server;
  std::vector<Collected> fields;
  std::vector<std::string> issues;
  std::string block;
  std::string_view pieces;
  bool keep = true, replay = true;
  size_t count = 0, replayed = 0;

 private:
  const Part* part_ = nullptr;
};

}  // namespace vitrine::testing
