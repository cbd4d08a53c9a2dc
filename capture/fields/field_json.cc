#include "capture/fields/field_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/digest.h"
#include "base/json_writer.h"
#include "capture/fields/sniff.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace vitrine {
namespace {

void append_number(std::string& out, uint64_t value) {
  char digits[24];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// Three decimals, trailing zeros dropped: enough for a probability or an entropy.
void append_short_real(std::string& out, float value) {
  if (!std::isfinite(value) || value < 0) value = 0;
  const auto thousandths = static_cast<uint64_t>(std::lround(static_cast<double>(std::min(value, 1e9F)) * 1000));
  append_number(out, thousandths / 1000);
  if (const uint64_t fraction = thousandths % 1000; fraction != 0) {
    char digits[] = {'.', static_cast<char>('0' + fraction / 100), static_cast<char>('0' + fraction / 10 % 10),
                     static_cast<char>('0' + fraction % 10)};
    size_t length = 4;
    while (digits[length - 1] == '0') --length;
    out.append(digits, length);
  }
}

// Whether the text is printable ASCII without '"' and '\\', and can be copied.
bool is_plain(std::string_view text) {
  size_t i = 0;
#if defined(__SSE2__)
  const __m128i low = _mm_set1_epi8(0x20), quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), del = _mm_set1_epi8(0x7f);
  for (; text.size() - i >= 16; i += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    // Signed: bytes above 0x7f are below 0x20 as well.
    const __m128i bad = _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(block, low), _mm_cmpeq_epi8(block, quote)),
                                     _mm_or_si128(_mm_cmpeq_epi8(block, backslash), _mm_cmpeq_epi8(block, del)));
    if (_mm_movemask_epi8(bad) != 0) return false;
  }
#endif
  for (; i < text.size(); ++i) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') return false;
  }
  return true;
}

void append_text(std::string& out, std::string_view text) {
  if (!is_plain(text)) {
    append_json_string(out, text);
    return;
  }
  out.push_back('"');
  out.append(text);
  out.push_back('"');
}

}  // namespace

void FieldJsonWriter::prepare(const Field& field) {
  const Exchange& exchange = *field.exchange;
  const ConnectionInfo& connection = *exchange.connection;
  const std::string& process = exchange.process.empty() ? connection.process : exchange.process;
  if (ready_ && exchange_ == exchange.id && time_ == field.time && direction_ == field.direction && host_ == exchange.host &&
      process_ == process) {
    return;
  }
  ready_ = true;
  exchange_ = exchange.id;
  time_ = field.time;
  direction_ = field.direction;
  host_ = exchange.host;
  process_ = process;
  const std::string id = exchange.id.to_string();
  origin_.assign(",\"origin\":\"").append(id).push_back(':');
  prefix_.assign("{\"schema_version\":");
  append_number(prefix_, kFieldSchemaVersion);
  prefix_.append(",\"time\":\"");
  append_rfc3339(prefix_, field.time);
  prefix_.append("\",\"exchange\":\"").append(id).append("\",\"direction\":\"").append(to_string(field.direction)).push_back('"');
  std::string client;
  if (connection.client.ip.family != 0) client.append(",\"ip\":\"").append(connection.client.ip.to_string()).push_back('"');
  if (connection.client.port != 0) {
    client.append(",\"port\":");
    append_number(client, connection.client.port);
  }
  if (!process.empty()) {
    client.append(",\"process\":");
    append_json_string(client, process);
  }
  if (!client.empty()) prefix_.append(",\"client\":{").append(client, 1, std::string::npos).push_back('}');
  if (!host_.empty()) {
    prefix_.append(",\"host\":");
    append_json_string(prefix_, host_);
  }
  prefix_.append(",\"location\":\"");
}

void FieldJsonWriter::append(std::string& out, const Field& field, std::string_view type) {
  prepare(field);
  out.append(prefix_).append(to_string(field.location)).append("\",\"path\":");
  append_text(out, field.path);
  if (!field.name.empty()) {
    out.append(",\"name\":");
    append_text(out, field.name);
  }
  bool cut = field.cut;
  if (field.value_type == ValueType::binary) {
    const std::string_view shown = field.value.substr(0, limits_.binary);
    cut |= shown.size() < field.value.size();
    if (!shown.empty()) {
      out.append(",\"value\":\"").append(to_base64(as_bytes(shown))).push_back('"');
    }
  } else if (field.value_type != ValueType::null && !field.value.empty()) {
    std::string_view shown = field.value;
    if (shown.size() > limits_.text) {
      shown = shown.substr(0, limits_.text);
      shown = shown.substr(0, trim_utf8(shown));
      cut = true;
    }
    out.append(",\"value\":");
    append_text(out, shown);
  }
  out.append(",\"value_type\":\"").append(to_string(field.value_type)).push_back('"');
  if (!type.empty()) {
    out.append(",\"type\":");
    append_text(out, type);
  }
  if (field.observation != Observation::none) out.append(",\"observation\":\"").append(to_string(field.observation)).push_back('"');
  if (!field.decided_by.empty()) {
    out.append(",\"decided_by\":");
    append_text(out, field.decided_by);
  }
  if (field.confidence > 0) {
    out.append(",\"confidence\":");
    append_short_real(out, field.confidence);
  }
  out.append(origin_);
  append_number(out, field.origin);
  out.push_back('"');
  if (field.opaque) {
    out.append(",\"opaque\":true,\"entropy\":");
    append_short_real(out, field.entropy);
  }
  if (field.value_type == ValueType::binary || field.opaque || cut) {
    out.append(",\"bytes\":");
    append_number(out, field.value.size());
  }
  if (cut) out.append(",\"cut\":true");
  out.append("}\n");
}

void append_field_json(std::string& out, const Field& field, std::string_view type, FieldJsonLimits limits) {
  FieldJsonWriter(limits).append(out, field, type);
}

}  // namespace vitrine
