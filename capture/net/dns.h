// DNS messages as they pass (RFC 1035; AAAA: RFC 3596): questions and the
// answers that tie names to addresses. Passive: no cache, no validation.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "capture/types.h"

namespace vitrine {

inline constexpr uint16_t kDnsPort = 53;

namespace dns_type {
inline constexpr uint16_t kA = 1, kCname = 5, kAaaa = 28;
}
std::string to_string_dns_type(uint16_t type);  // "A", "AAAA", "HTTPS" …, else "TYPE65280" (RFC 3597)

struct DnsQuestion {
  std::string name;  // presentation form without the last dot, case as sent; "." = root;
                     // dots and backslashes inside a label as \. and \\, other non-printing bytes as \DDD
  uint16_t type = 0;
  uint16_t klass = 0;   // 1 = Internet; multicast DNS adds 0x8000
  uint32_t offset = 0;  // of the encoded name in the message,
  uint32_t length = 0;  //   and its length there
};

struct DnsAnswer {
  std::string name;    // owner
  uint16_t type = 0;   // kA, kAaaa or kCname
  uint32_t ttl = 0;    // seconds
  IpAddress ip;        // A, AAAA
  std::string target;  // CNAME
};

struct DnsMessage {
  uint16_t id = 0;
  bool response = false;
  uint8_t opcode = 0;
  uint8_t rcode = 0;
  bool truncated = false;              // TC: the rest goes over TCP
  std::vector<DnsQuestion> questions;  // at most 32
  std::vector<DnsAnswer> answers;      // at most 256; of the answer section only
  uint32_t skipped = 0;                // questions and answers beyond the bounds, or of other types
};

// One message (a UDP payload). What was read before an error is lost: a message
// fits in one datagram, so a damaged one is refused whole. Error texts have no
// "dns: " prefix.
Result<DnsMessage> parse_dns(Bytes message);

// Messages in a TCP stream, each after two length bytes (RFC 1035 section
// 4.2.2). Holds at most one message (65,535 bytes).
class DnsTcpFramer {
 public:
  // Takes bytes from the front of `in` until a message is complete, which is
  // then returned (valid until the next call), else an empty span and `in` is
  // used up. Messages of no bytes are skipped.
  Bytes next(Bytes& in);
  bool inside_message() const { return !buffer_.empty() && !done_; }
  void reset() {
    buffer_.clear();
    done_ = false;
  }  // after a gap: the caller decides whether to go on

 private:
  std::vector<uint8_t> buffer_;  // length bytes included
  bool done_ = false;
};

}  // namespace vitrine
