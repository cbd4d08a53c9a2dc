// pcapng blocks (draft-ietf-opsawg-pcapng), little-endian, appended to a string.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/time.h"

namespace vitrine {

void append_section_header(std::string& out, std::string_view application, std::span<const std::string> comments);
void append_interface(std::string& out, uint16_t link_type, uint32_t snap_length, std::string_view name);
void append_packet(std::string& out, uint32_t interface, Timestamp time, Bytes data, uint32_t original_length);
// TLS key log text as a Decryption Secrets Block.
void append_tls_secrets(std::string& out, std::string_view key_log);
void append_statistics(std::string& out, uint32_t interface, Timestamp end, uint64_t received, uint64_t dropped,
                       std::span<const std::string> comments);

}  // namespace vitrine
