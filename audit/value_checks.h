// What the form of a value alone shows: "this is a UUID", "this is a public
// IPv4 address". A check knows no data type; policies/taxonomy.yaml binds checks
// to types. Pure functions; no allocation.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "capture/field.h"

namespace vitrine {

enum class ValueCheck : uint8_t {
  uuid,             // RFC 9562 text form, with or without braces; not nil
  ipv4_public,      // dotted quad that is not private, loopback, multicast or 0/8
  ipv4_private,     // RFC 1918, link-local, RFC 6598
  ipv6,             // RFC 4291 text form; as a lead only global addresses
  mac,              // six octets with ':' or '-' (IEEE 802)
  imei,             // 15 digits, allocated reporting body, Luhn (3GPP TS 23.003)
  user_agent,       // RFC 9110, 10.1.5: products with versions and comments
  timezone_iana,    // a name of the IANA database
  timezone_offset,  // "+09:00", "UTC+9", "GMT+0900 (...)"; numbers only when a rule asks
  screen_size,      // "1920x1080"
  locale,           // BCP 47 language-region; language alone only when a rule asks
  email,
  phone_e164,          // '+', a calling code in use, 8 to 15 digits
  jwt,                 // RFC 7519 compact form
  high_entropy_token,  // unguessable text: mixed classes, Shannon entropy
  image_magic,         // JPEG, PNG, GIF, WebP, HEIC by their first bytes
  audio_magic,         // Ogg, WAVE, FLAC, MP3, AAC, WebM with an audio track
  semver,              // "2.5.3", "1.0.0-beta.1"
  url,                 // absolute, http(s) or ws(s)
  iso_datetime,        // RFC 3339, a space allowed for 'T'
  epoch_ms,            // whole milliseconds of the years 2001 to 2099
};
inline constexpr size_t kValueChecks = 21;

std::string_view to_string(ValueCheck check);
// Words of the data files, for a strict reader.
std::span<const std::pair<std::string_view, ValueCheck>> value_check_names();

// Whether `value` has the form, where a rule already says what it should be:
// lenient about forms that would be too common on their own ("ko", -540).
bool holds(ValueCheck check, std::string_view value, ValueType type);

// The checks a value of unknown meaning satisfies; strict. Built for the fast
// path: most values are turned away by length and character classes.
class CheckSet {
 public:
  void add(ValueCheck check) { bits_ |= 1u << static_cast<unsigned>(check); }
  bool has(ValueCheck check) const { return (bits_ >> static_cast<unsigned>(check) & 1u) != 0; }
  bool empty() const { return bits_ == 0; }
  uint32_t bits() const { return bits_; }

 private:
  uint32_t bits_ = 0;
};
CheckSet detect(std::string_view value, ValueType type);

// Bits per byte of the value's own distribution; 0 for an empty one.
double shannon_entropy(std::string_view value);

}  // namespace vitrine
