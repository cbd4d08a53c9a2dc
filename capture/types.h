// The small vocabulary every part of capture shares: addresses, directions,
// identities and the causes of the coverage ledger.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"

namespace vitrine {

enum class Direction : uint8_t { client_to_server = 0, server_to_client = 1 };
inline Direction opposite(Direction d) {
  return d == Direction::client_to_server ? Direction::server_to_client : Direction::client_to_server;
}
std::string_view to_string(Direction direction);  // "client_to_server", "server_to_client"

struct IpAddress {
  std::array<uint8_t, 16> bytes{};  // IPv4 in the first four
  uint8_t family = 0;               // 4, 6; 0 = none (HAR without serverIPAddress)
  auto operator<=>(const IpAddress&) const = default;

  static IpAddress v4(Bytes four);
  static IpAddress v6(Bytes sixteen);
  static IpAddress parse(std::string_view text);  // family 0 when it is not an address
  // Not routed beyond the site: RFC 1918, 4193, 6598, loopback, link-local
  // (multicast of that scope too), limited broadcast, unspecified.
  bool is_private() const;
  std::string to_string() const;  // RFC 5952
};

struct Endpoint {
  IpAddress ip;
  uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
  std::string to_string() const;  // "203.0.113.7:443", "[2001:db8::1]:443"
};

// A connection is named by the number of its first packet (1-based, as tshark
// counts frames over the whole file), of its HAR entry, or of its exchange-log
// line: unique, and independent of threads.
using ConnectionId = uint64_t;

// The n-th exchange of a connection, in the order its messages opened. 0 is the
// connection itself (addresses, TLS hello), 1.. are HTTP exchanges.
struct ExchangeId {
  ConnectionId connection = 0;
  uint32_t ordinal = 0;
  auto operator<=>(const ExchangeId&) const = default;
  std::string to_string() const;  // "1204.3"
};

// Where every byte of a stream ends up. `decoded` is the only good one.
enum class Cause : uint8_t {
  decoded,      // understood, framing included
  no_key,       // encrypted, no secret held
  unsupported,  // well formed, but a protocol or coding we do not read (named in an issue)
  gap,          // not in the capture (lost, or before it began)
  truncated,    // cut: snap length, end of file inside a message, a bound of ours
  malformed,    // breaks its own format
  opaque,       // decoded down to a blob that nothing opens
  refused,      // the client or server refused our part (active sources only)
  withheld,     // left out by the recorder, on purpose (capture/withheld.h)
};
inline constexpr size_t kCauses = 9;
std::string_view to_string(Cause cause);

// How much of the content a recorder kept (docs/exchange-log.md, CONTENT).
enum class RecordedContent : uint8_t {
  full,
  hash,  // names and kinds of values; each value as its size and a keyed digest
  none,  // whole bodies and messages as their size and a keyed digest
};
std::string_view to_string(RecordedContent content);  // "full", "hash", "none"

// Bytes by cause; every stage adds each stream byte exactly once.
struct ByteCounts {
  std::array<uint64_t, kCauses> by_cause{};
  void add(Cause cause, uint64_t bytes) { by_cause[static_cast<size_t>(cause)] += bytes; }
  uint64_t operator[](Cause cause) const { return by_cause[static_cast<size_t>(cause)]; }
  uint64_t total() const;
  uint64_t undecoded() const { return total() - (*this)[Cause::decoded]; }
  ByteCounts& operator+=(const ByteCounts& other);
};

// Something that was skipped: counted, located, named.
struct Issue {
  Cause cause = Cause::malformed;
  std::string what;         // "tls: record length 20000 exceeds 16640"
  uint64_t packet = 0;      // first place it was seen; 0 = whole file
  uint64_t connection = 0;  // 0 = none
};

// Receives issues. Implementations count equal (cause, what) pairs and keep the
// first location, within a bound. `what` must therefore hold no varying numbers
// where the same defect can repeat (put those in the first location instead).
class IssueSink {
 public:
  virtual ~IssueSink() = default;
  virtual void issue(Issue issue) = 0;
};

}  // namespace vitrine
