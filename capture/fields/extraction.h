// The working state of one FieldExtractor while it takes a part apart. Private
// to capture/fields; methods stand in the .cc file of what they read:
// header_fields, body_fields, json_fields, list_fields, nested_values, extraction
// (the rest).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json_tokenizer.h"
#include "capture/exchange.h"
#include "capture/field.h"
#include "capture/fields/field_extractor.h"
#include "capture/fields/name_counter.h"
#include "capture/fields/pattern_table.h"
#include "capture/fields/sniff.h"

namespace vitrine {

// Sizes up to which an unreadable value in a place for tokens is taken for one.
// Cookies and authorization are made by the server and only given back. A
// header named "…-token" may be made by the client, and anti-fraud components
// put encrypted fingerprints there: only what is too short for one passes.
inline constexpr uint16_t kCredentialBytes = 1024;
inline constexpr uint16_t kClientTokenBytes = 128;  // as sent: base64 of 96 bytes

// What lives as long as an exchange.
struct ExchangeFields {
  ExchangeId id;
  OriginTable origins;
  uint64_t fields = 0;
  uint64_t opaque[2] = {0, 0};
  bool limit_reported = false;
};

class Extraction {
 public:
  Extraction(FieldSink& sink, const ExtractLimits& limits, PatternTable& patterns)
      : sink_(sink), limits_(limits), patterns_(patterns) {}

  // All of one part. `fields` is of the part's exchange.
  void part(const Exchange& exchange, const Part& part, ExchangeFields& fields);

  // Fields that no part carries (connection, tls, dns), between begin and end.
  void begin(const Exchange& exchange, const Part& part, ExchangeFields& fields);
  void plain(Location location, std::string_view name, std::string_view value, Decoder root, StreamSpan span,
             Direction direction, ValueType type = ValueType::string);
  void end();

  void set_issues(IssueSink* issues) { issues_ = issues; }

 private:
  // A value on its way to become fields. Its place (path_, pattern, name) is passed beside it.
  struct Value {
    std::string_view bytes;
    OriginNode origin;   // not yet in the table: added when the value is emitted or opened
    uint64_t wire = 0;   // stream bytes it stands for
    uint32_t depth = 0;  // decoders above it
    bool cut = false;
    uint16_t credential = 0;  // a token is expected here: one of at most this many bytes is no opaque blob
    bool content = false;     // a whole body or message: a text leaf gets "|text"
    bool body_like = false;   // everything a body can be is tried: JSON lines, multipart
  };
  struct Place {
    PatternId pattern = 0;
    std::string_view name;  // Field::name
  };
  struct Scratch {
    std::string text;     // the unescaped or form-decoded value of this depth
    std::string decoded;  // the output of this depth's decoder
  };
  struct Frame {      // an open JSON container
    size_t path = 0;  // length of path_ up to and including it
    PatternId pattern = 0;
    PatternId element = 0;  // of its elements or members' values; arrays only
    PatternId member = 0;   // of the last member; objects only
    std::string_view name;
    uint64_t index = 0;  // elements or members so far
    uint64_t offset = 0;
    bool array = false;
    NameCounter::Scope scope;
  };
  enum class Opening : uint8_t { opened, closed, opaque };
  // Restores path_ when a place is left.
  class PathMark {
   public:
    explicit PathMark(std::string& path) : path_(path), size_(path.size()) {}
    ~PathMark() { path_.resize(size_); }
    PathMark(const PathMark&) = delete;
    PathMark& operator=(const PathMark&) = delete;

   private:
    std::string& path_;
    size_t size_;
  };

  // header_fields.cc
  void headers(const Part& part);
  void request_target(const Part& part);
  void cookies(const Value& header);
  void set_cookie(const Value& header);
  void path_fields(const Value& target);
  void query(const Value& query, uint64_t offset, OriginId parent);

  // body_fields.cc
  void body(const Part& part);
  void content(const Value& value, std::string_view type, Place place);
  void form(const Value& value, Place place);
  void multipart(const Value& value, std::string_view boundary, Place place);
  void multipart_part(std::string_view part, uint64_t offset, const Value& whole, OriginId parent, size_t index,
                      PatternId pattern, NameCounter::Scope& scope, std::string_view outer_name);
  void envelopes(const Value& value, Decoder decoder, std::string_view type, Place place);

  // json_fields.cc
  void json(const Value& value, uint64_t start, Place place);
  bool json_document(JsonTokenizer& json, const Value& value, OriginId parent, Place place, JsonToken& token);
  void json_scalar(const JsonToken& token, const Value& value, OriginId parent, Place place);

  // list_fields.cc
  void json_list(const Value& whole, StreamSpan span, size_t elements, OriginId parent, Place place);

  // nested_values.cc
  void value(const Value& value, Place place);
  bool open(const Value& value, CharClasses classes, Place place, float& opaque_entropy);
  bool open_json_string(const Value& value, Place place);
  bool open_percent(const Value& value, Place place);
  bool open_jwt(const Value& value, Place place);
  bool open_data_url(const Value& value, Place place);
  bool open_authorization(const Value& value, Place place);
  Opening open_base64(const Value& value, CharClasses classes, Place place, float& entropy);
  Opening open_hex(const Value& value, Place place, float& entropy);
  bool open_compressed(const Value& value, Place place);
  bool inflate(Decoder kind, const Value& value, Place place);
  void descend(const Value& outer, Decoder decoder, StreamSpan span, std::string_view decoded, Place place);
  void leaf(const Value& value, CharClasses classes, Place place, float opaque_entropy);

  // extraction.cc
  void emit(std::string_view bytes, ValueType type, const Value& value, Place place, OriginId origin, bool opaque,
            float entropy);
  OriginId node(OriginNode origin);
  OriginNode child(OriginId parent, Decoder decoder, uint64_t offset, uint64_t length) const;
  Place decoder_place(Place outer, Decoder decoder);                          // appends "|json"
  Place key_place(PatternId parent, std::string_view key, uint32_t nth);      // appends "/key[n]"
  Place member_place(PatternId pattern, std::string_view key, uint32_t nth);  // the same, its pattern known
  Place name_place(Location location, std::string_view name, uint32_t nth);   // sets "header:name[n]"
  void append_nth(uint32_t nth);
  void start_path(std::string_view text);
  std::string_view keep_name(std::string_view name);
  Scratch& scratch(uint32_t depth);
  bool spend(uint64_t decoded);
  uint64_t budget() const { return limits_.decoded_bytes_per_part - spent_; }
  void issue(Cause cause, std::string_view what);

  FieldSink& sink_;
  const ExtractLimits limits_;
  PatternTable& patterns_;
  IssueSink* issues_ = nullptr;

  // Of the part at hand.
  const Exchange* exchange_ = nullptr;
  const Part* part_ = nullptr;
  ExchangeFields* fields_ = nullptr;
  Field field_;  // with what is the same for all fields of the part
  Direction direction_ = Direction::client_to_server;
  uint64_t spent_ = 0;  // decoder output so far
  std::string path_;
  NameCounter names_;
  std::vector<Frame> frames_;
  std::vector<std::unique_ptr<Scratch>> scratch_;
  std::vector<std::unique_ptr<std::string>> kept_names_;  // escaped keys, alive until the part ends
  size_t kept_ = 0;
  std::string lower_;  // a header name in lower case
};

// wire * part / whole, rounded down; 0 when whole is 0.
uint64_t share(uint64_t wire, uint64_t part, uint64_t whole);

}  // namespace vitrine
