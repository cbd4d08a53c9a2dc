// Field: one value a client or server transmitted. Path grammar:
//   location[:name]('|'decoder[pointer])*     body|form/f.req|json/0/2|json/1
// Pointers are RFC 6901; repeated names get [n]; '*' only in rule patterns.
// HTTP content codings are not part of a path (a rule must not depend on
// whether a body was compressed); they are part of the origin.
#pragma once

#include <cstdint>
#include <string_view>

#include "capture/exchange.h"
#include "capture/origin.h"

namespace vitrine {

inline constexpr int kFieldSchemaVersion = 1;

enum class Location : uint8_t { connection, tls, header, cookie, query, path, body, frame, dns };
std::string_view to_string(Location location);

enum class ValueType : uint8_t { string, number, boolean, null, binary, container };
std::string_view to_string(ValueType type);

enum class Observation : uint8_t { none, unconfirmed, probable, certain };  // ordered by strength
std::string_view to_string(Observation observation);

// Index of a taxonomy node; 0 = not classified. The table is audit/taxonomy.
using TypeId = uint16_t;

// A field path with array indices replaced by '*', interned per shard: equal
// patterns have equal ids, so that classification can be cached per pattern.
// 0 = the table was full; look at `path` instead.
using PatternId = uint32_t;

struct Field {
  Timestamp time;
  Direction direction = Direction::client_to_server;
  const Exchange* exchange = nullptr;
  Location location = Location::header;
  std::string_view path;   // concrete: "body|json/events/3/t"
  std::string_view name;   // last name in the path: header, cookie, key ("t"); array elements: the array's key
  std::string_view value;  // decoded text, or raw bytes when value_type == binary
  ValueType value_type = ValueType::string;
  PatternId pattern = 0;
  OriginId origin = 0;
  bool opaque = false;      // a leaf that nothing opened; entropy is set
  float entropy = 0;        // Shannon, bits per byte; only when opaque
  uint64_t wire_bytes = 0;  // stream bytes this value stands for (opaque accounting)
  uint64_t packet = 0;      // last packet that carried it
  bool cut = false;         // value is a prefix of what was sent
  bool withheld = false;    // value is not what was sent but what stands for it (capture/withheld.h)

  // Set by classification (audit/); capture leaves them empty.
  TypeId type = 0;
  Observation observation = Observation::none;
  std::string_view decided_by;  // rule id | "check:uuid" | "detector:keystroke" | model | "canary"
  float confidence = 0;         // 0..1
};

// Called from one thread; views are valid for the call.
class FieldSink {
 public:
  virtual ~FieldSink() = default;
  // All fields of one part are bracketed, so that detectors can look at
  // siblings (columns of an array) before they judge.
  virtual void begin_part(const Exchange&, const Part&) {}
  virtual void field(const Field& field) = 0;
  virtual void end_part(const Exchange&, const Part&) {}
};

}  // namespace vitrine
