// Fields as NDJSON: one line a field (schema: field.schema.json beside this
// file). Keys stand in a fixed order:
//   time (RFC 3339), client {ip, port, process}, host, direction, path, value,
//   value_type, type (taxonomy id), observation, decided_by, confidence (0..1),
//   origin ("1204.3:17", for `vitrine origin`), opaque, entropy (bits per byte,
//   only when opaque), bytes (length of the value, when it is binary, opaque or
//   cut), cut (the value is a prefix of what was sent), withheld (the value was
//   left out by the recorder; `value` is what stands for it).
// Lines come by the million, so that what a reader can know is left out:
//   - keys whose value would be null, empty, zero or false. An absent `value`
//     is an empty string (or the null of JSON, which value_type tells), an
//     absent `type` is "not classified";
//   - defaults: schema_version 1, direction "client_to_server", value_type
//     "string", confidence 1 of certain, 0.8 of probable, 0.4 of unconfirmed;
//   - what another key says: the location is the path's first word
//     (in jq `.path | split("[:|]"; null)[0]`), the name its last one, the
//     exchange stands before the ':' of origin.
// `value` is text; binary values are base64, and value_type is "binary", unless withheld.
// Numbers are written as strings: the lexeme is evidence, 1.0 is not 1.
#pragma once

#include <string>
#include <string_view>

#include "capture/field.h"

namespace vitrine {

struct FieldJsonLimits {
  size_t text = 64 * 1024;   // bytes of a text value written; the rest is cut
  size_t binary = 4 * 1024;  // bytes of a binary value written (before base64)
};

// Appends lines; keeps what fields of one exchange have in common between
// calls. Fields of any exchanges in any order give the same lines as a new
// writer for each would. Owner: one thread.
class FieldJsonWriter {
 public:
  explicit FieldJsonWriter(FieldJsonLimits limits = {}) : limits_(limits) {}

  // `type`: the taxonomy id of field.type, empty when not classified.
  // REQUIRES: field.exchange and its connection are set.
  void append(std::string& out, const Field& field, std::string_view type);

 private:
  static constexpr size_t kShortPrefix = 4096;
  void prepare(const Field& field);
  bool append_short(std::string& out, const Field& field, std::string_view type);

  FieldJsonLimits limits_;
  bool ready_ = false;
  ExchangeId exchange_;
  Timestamp time_;
  Direction direction_ = Direction::client_to_server;
  std::string host_;
  std::string process_;
  std::string prefix_;  // `{"time":"…",…,"host":"…","path":"`
  std::string origin_;  // `","origin":"1204.3:`
};

// One line without the cache; the same bytes.
void append_field_json(std::string& out, const Field& field, std::string_view type, FieldJsonLimits limits = {});

}  // namespace vitrine
