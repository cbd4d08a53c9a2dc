// Short values that nothing opens: tokens, nonces, ids, and now and then a few
// encrypted bytes. Too many to call each one opaque, but a statement that a kind
// of data was not sent must not stand beside them where they may hold it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "capture/field.h"

namespace vitrine {

inline constexpr size_t kMinUnreadBytes = 16;  // one cipher block

// Several of one message together are a blob cut into pieces when they hold
// this many bytes (a single value is a blob from 64 on; tokens of a message
// come in ones and twos).
inline constexpr uint64_t kUnreadInMessage = 96;

// Neither a rule file nor its form says what the value is, it is random text or
// bytes, and it stands where clients put data: not in a cookie, which servers
// make.
inline bool is_unread_value(const Field& field) {
  if (field.opaque || field.withheld || field.location == Location::cookie || field.value.size() < kMinUnreadBytes)
    return false;
  if (field.type == 0) return field.value_type == ValueType::binary && field.decided_by.empty();
  return field.observation == Observation::unconfirmed && field.decided_by == "check:high_entropy_token";
}

// Hex of any length: digests and ids are written so.
inline bool is_digest_by_form(const Field& field) {
  return field.value_type != ValueType::binary && std::all_of(field.value.begin(), field.value.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
         });
}

// What the value can hold: base64 carries three bytes in four characters.
inline uint64_t unread_bytes(const Field& field) {
  return field.value_type == ValueType::binary ? field.value.size() : field.value.size() / 4 * 3;
}

}  // namespace vitrine
