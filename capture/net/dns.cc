#include "capture/net/dns.h"

#include <algorithm>

namespace vitrine {
namespace {

constexpr size_t kMaxQuestions = 32, kMaxAnswers = 256;
constexpr size_t kMaxName = 255;  // bytes of an encoded name (section 2.3.4)
constexpr size_t kHeader = 12;

void append_label(std::string& out, Bytes label) {
  for (const uint8_t c : label) {
    if (c == '.' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c > 0x20 && c < 0x7f) {
      out.push_back(static_cast<char>(c));
    } else {
      out.push_back('\\');
      out.push_back(static_cast<char>('0' + c / 100));
      out.push_back(static_cast<char>('0' + c / 10 % 10));
      out.push_back(static_cast<char>('0' + c % 10));
    }
  }
}

// Reads the name at `at` and moves `at` behind it. Every pointer must lead to
// before the place it was read from, so the walk ends.
bool read_name(Bytes message, size_t& at, std::string& name) {
  name.clear();
  size_t position = at, lowest = at, encoded = 1;
  bool jumped = false;
  for (;;) {
    if (position >= message.size()) return false;
    const uint8_t length = message[position];
    if (length >= 0xc0) {
      if (position + 1 >= message.size()) return false;
      const size_t target = (length & 0x3fu) << 8 | message[position + 1];
      if (!jumped) at = position + 2;
      jumped = true;
      if (target >= lowest) return false;
      position = lowest = target;
      continue;
    }
    if (length > 63) return false;  // 0x40 and 0x80 are no label types any more (RFC 6891)
    if (length == 0) {
      if (!jumped) at = position + 1;
      if (name.empty()) name = ".";
      return true;
    }
    encoded += length + 1u;
    if (encoded > kMaxName || length > message.size() - position - 1) return false;
    if (!name.empty()) name.push_back('.');
    append_label(name, message.subspan(position + 1, length));
    position += 1 + length;
  }
}

uint16_t u16_at(Bytes message, size_t at) { return static_cast<uint16_t>(message[at] << 8 | message[at + 1]); }

tl::unexpected<Error> malformed(const char* what) { return fail(ErrorCode::malformed, what); }

}  // namespace

std::string to_string_dns_type(uint16_t type) {
  switch (type) {
    case 1: return "A";
    case 2: return "NS";
    case 5: return "CNAME";
    case 6: return "SOA";
    case 12: return "PTR";
    case 15: return "MX";
    case 16: return "TXT";
    case 28: return "AAAA";
    case 33: return "SRV";
    case 41: return "OPT";
    case 43: return "DS";
    case 48: return "DNSKEY";
    case 64: return "SVCB";
    case 65: return "HTTPS";
    case 255: return "ANY";
    default: return "TYPE" + std::to_string(type);
  }
}

Result<DnsMessage> parse_dns(Bytes message) {
  if (message.size() < kHeader) return malformed("message shorter than its header");
  DnsMessage out;
  out.id = u16_at(message, 0);
  const uint16_t flags = u16_at(message, 2);
  out.response = (flags & 0x8000) != 0;
  out.opcode = static_cast<uint8_t>(flags >> 11 & 15);
  out.truncated = (flags & 0x0200) != 0;
  out.rcode = static_cast<uint8_t>(flags & 15);
  const uint16_t questions = u16_at(message, 4), answers = u16_at(message, 6);
  size_t at = kHeader;
  std::string name;
  for (uint16_t i = 0; i < questions; ++i) {
    const size_t start = at;
    if (!read_name(message, at, name)) return malformed("name of a question damaged");
    const size_t length = at - start;
    if (message.size() - at < 4) return malformed("question cut short");
    if (out.questions.size() < kMaxQuestions) {
      out.questions.push_back({name, u16_at(message, at), u16_at(message, at + 2), static_cast<uint32_t>(start),
                               static_cast<uint32_t>(length)});
    } else {
      ++out.skipped;
    }
    at += 4;
  }
  for (uint16_t i = 0; i < answers; ++i) {
    // A truncated response may end anywhere; its answers so far stand.
    const char* damage = nullptr;
    DnsAnswer answer;
    if (!read_name(message, at, answer.name)) {
      damage = "name of an answer damaged";
    } else if (message.size() - at < 10) {
      damage = "answer cut short";
    }
    size_t length = 0;
    if (!damage) {
      answer.type = u16_at(message, at);
      answer.ttl = static_cast<uint32_t>(u16_at(message, at + 4)) << 16 | u16_at(message, at + 6);
      length = u16_at(message, at + 8);
      if (message.size() - at - 10 < length) damage = "answer cut short";
    }
    if (damage) {
      if (out.truncated) break;
      return malformed(damage);
    }
    const uint16_t klass = u16_at(message, at + 2);
    const Bytes data = message.subspan(at + 10, length);
    size_t target = at + 10;
    at += 10 + length;
    bool wanted = (klass & 0x7fff) == 1;  // the top bit: cache flush of multicast DNS (RFC 6762)
    if (answer.type == dns_type::kA) {
      if (wanted && length != 4) return malformed("address of another length than its type");
      answer.ip = IpAddress::v4(data);
    } else if (answer.type == dns_type::kAaaa) {
      if (wanted && length != 16) return malformed("address of another length than its type");
      answer.ip = IpAddress::v6(data);
    } else if (answer.type == dns_type::kCname) {
      if (!read_name(message, target, answer.target) || target != at) return malformed("target of an alias damaged");
    } else {
      wanted = false;
    }
    if (wanted && out.answers.size() < kMaxAnswers) {
      out.answers.push_back(std::move(answer));
    } else {
      ++out.skipped;
    }
  }
  return out;
}

Bytes DnsTcpFramer::next(Bytes& in) {
  if (done_) reset();
  while (!in.empty()) {
    const size_t have = buffer_.size();
    const size_t need = have < 2 ? 2 : 2u + u16_at(buffer_, 0);
    const size_t step = std::min(need - have, in.size());
    buffer_.insert(buffer_.end(), in.begin(), in.begin() + static_cast<std::ptrdiff_t>(step));
    in = in.subspan(step);
    if (buffer_.size() < 2) continue;
    const size_t length = u16_at(buffer_, 0);
    if (length == 0) {
      buffer_.clear();
    } else if (buffer_.size() == 2 + length) {
      done_ = true;
      return Bytes(buffer_).subspan(2);
    }
  }
  return {};
}

}  // namespace vitrine
