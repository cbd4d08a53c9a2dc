#include "capture/record/pcapng_writer.h"

#include <algorithm>

namespace vitrine {
namespace {

constexpr uint16_t kOptEnd = 0, kOptComment = 1, kShbUserApplication = 4, kIfName = 2, kIfTsResolution = 9;
constexpr uint16_t kIsbReceived = 4, kIsbDropped = 5;
constexpr uint32_t kTlsKeyLog = 0x544c534b;

template <class Number>
void put(std::string& out, Number value) {
  for (size_t i = 0; i < sizeof(Number); ++i) out.push_back(static_cast<char>(static_cast<uint64_t>(value) >> (8 * i)));
}

void pad(std::string& out) { out.append((4 - out.size() % 4) % 4, '\0'); }

void option(std::string& body, uint16_t code, std::string_view value) {
  value = value.substr(0, 0xffff);
  put(body, code);
  put(body, static_cast<uint16_t>(value.size()));
  body.append(value);
  pad(body);
}

void block(std::string& out, uint32_t type, std::string& body) {
  pad(body);
  const auto length = static_cast<uint32_t>(body.size() + 12);
  put(out, type);
  put(out, length);
  out.append(body);
  put(out, length);
}

void put_time(std::string& body, Timestamp time) {
  put(body, static_cast<uint32_t>(static_cast<uint64_t>(time.ns) >> 32));
  put(body, static_cast<uint32_t>(time.ns));
}

}  // namespace

void append_section_header(std::string& out, std::string_view application, std::span<const std::string> comments) {
  std::string body;
  put(body, uint32_t{0x1a2b3c4d});
  put(body, uint16_t{1});
  put(body, uint16_t{0});
  put(body, ~uint64_t{0});  // section length not given
  for (const std::string& comment : comments) option(body, kOptComment, comment);
  option(body, kShbUserApplication, application);
  option(body, kOptEnd, {});
  block(out, 0x0a0d0d0a, body);
}

void append_interface(std::string& out, uint16_t link_type, uint32_t snap_length, std::string_view name) {
  std::string body;
  put(body, link_type);
  put(body, uint16_t{0});
  put(body, snap_length);
  option(body, kIfName, name);
  option(body, kIfTsResolution, std::string_view("\x09", 1));
  option(body, kOptEnd, {});
  block(out, 1, body);
}

void append_packet(std::string& out, uint32_t interface, Timestamp time, Bytes data, uint32_t original_length) {
  std::string body;
  body.reserve(data.size() + 24);
  put(body, interface);
  put_time(body, time);
  put(body, static_cast<uint32_t>(data.size()));
  put(body, original_length);
  body.append(as_text(data));
  block(out, 6, body);
}

void append_tls_secrets(std::string& out, std::string_view key_log) {
  std::string body;
  put(body, kTlsKeyLog);
  put(body, static_cast<uint32_t>(key_log.size()));
  body.append(key_log);
  block(out, 10, body);
}

void append_statistics(std::string& out, uint32_t interface, Timestamp end, uint64_t received, uint64_t dropped,
                       std::span<const std::string> comments) {
  std::string body;
  put(body, interface);
  put_time(body, end);
  for (const std::string& comment : comments) option(body, kOptComment, comment);
  std::string number;
  put(number, received);
  option(body, kIsbReceived, number);
  number.clear();
  put(number, dropped);
  option(body, kIsbDropped, number);
  option(body, kOptEnd, {});
  block(out, 5, body);
}

}  // namespace vitrine
