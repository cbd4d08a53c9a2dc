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

constexpr uint64_t kOnes = 0x0101010101010101ull, kHighs = 0x8080808080808080ull;

// Bytes below 0x20 or from 0x7f, '"' and '\\' leave a mark in their high bit; bytes
// behind such a one may as well (borrows), which does not matter here.
uint64_t special_bytes(uint64_t block) {
  const auto zero = [](uint64_t x) { return (x - kOnes) & ~x; };
  return (block | (block - 0x20 * kOnes) | (block + kOnes) | zero(block ^ '"' * kOnes) | zero(block ^ '\\' * kOnes)) &
         kHighs;
}

// Copies the text to `to`, which has room for it, and tells whether it was
// printable ASCII without '"' and '\\': then the copy is its JSON form.
bool copy_plain(char* to, std::string_view text) {
  const char* from = text.data();
  const size_t size = text.size();
  uint64_t special = 0;
  if (size >= 8) {
    size_t i = 0;
#if defined(__SSE2__)
    if (size >= 16) {
      const __m128i low = _mm_set1_epi8(0x20), quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'),
                    del = _mm_set1_epi8(0x7f);
      const auto step = [&](size_t at) {
        const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + at));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at), block);
        // Signed: bytes above 0x7f are below 0x20 as well.
        const __m128i bad = _mm_or_si128(_mm_or_si128(_mm_cmplt_epi8(block, low), _mm_cmpeq_epi8(block, quote)),
                                         _mm_or_si128(_mm_cmpeq_epi8(block, backslash), _mm_cmpeq_epi8(block, del)));
        return _mm_movemask_epi8(bad) == 0;
      };
      for (; size - i >= 16; i += 16) {
        if (!step(i)) return false;
      }
      return i == size || step(size - 16);
    }
#endif
    const auto step = [&](size_t at) {
      uint64_t block;
      std::memcpy(&block, from + at, 8);
      std::memcpy(to + at, &block, 8);
      special |= special_bytes(block);
    };
    for (; size - i >= 8; i += 8) step(i);
    step(size - 8);
  } else if (size >= 4) {
    uint32_t first, last;
    std::memcpy(&first, from, 4);
    std::memcpy(&last, from + size - 4, 4);
    std::memcpy(to, &first, 4);
    std::memcpy(to + size - 4, &last, 4);
    special = special_bytes(static_cast<uint64_t>(last) << 32 | first);
  } else {
    uint64_t block = 0x2020202020202020ull;
    for (size_t i = 0; i < size; ++i) {
      to[i] = from[i];
      block = block << 8 | static_cast<uint8_t>(from[i]);
    }
    special = special_bytes(block);
  }
  return special == 0;
}

void append_text(std::string& out, std::string_view text) {
  const size_t at = out.size();
  out.resize(at + text.size() + 2);
  out[at] = '"';
  if (copy_plain(out.data() + at + 1, text)) {
    out.back() = '"';
    return;
  }
  out.resize(at);
  append_json_string(out, text);
}

// What the deciding stage gives by default (audit/classifier): not repeated.
float usual_confidence(Observation observation) {
  switch (observation) {
    case Observation::certain: return 1.0F;
    case Observation::probable: return 0.8F;
    case Observation::unconfirmed: return 0.4F;
    case Observation::none: break;
  }
  return 0;
}

// A line of plain texts is put together here, without a look at a string's
// capacity at every piece.
class LineBuffer {
 public:
  static constexpr size_t kTexts = 2048;  // bytes of path, value, type and decided_by together

  void add(std::string_view text) {
    std::memcpy(end_, text.data(), text.size());
    end_ += text.size();
  }
  // False: not plain, and the line must be written the general way.
  bool add_plain(std::string_view text) {
    if (!copy_plain(end_, text)) return false;
    end_ += text.size();
    return true;
  }
  void add_number(uint64_t value) { end_ = std::to_chars(end_, end_ + 20, value).ptr; }
  std::string_view text() const { return {bytes_, static_cast<size_t>(end_ - bytes_)}; }

 private:
  char bytes_[kTexts + 512];  // the rest: keys, words of ours, a number
  char* end_ = bytes_;
};

}  // namespace

void FieldJsonWriter::prepare(const Field& field) {
  const Exchange& exchange = *field.exchange;
  const ConnectionInfo& connection = *exchange.connection;
  const std::string& process = exchange.process.empty() ? connection.process : exchange.process;
  if (ready_ && exchange_ == exchange.id && time_ == field.time && direction_ == field.direction &&
      host_ == exchange.host && process_ == process) {
    return;
  }
  ready_ = true;
  exchange_ = exchange.id;
  time_ = field.time;
  direction_ = field.direction;
  host_ = exchange.host;
  process_ = process;
  origin_.assign("\",\"origin\":\"").append(exchange.id.to_string()).push_back(':');
  prefix_.assign("{\"time\":\"");
  append_rfc3339(prefix_, field.time);
  prefix_.push_back('"');
  std::string client;
  if (connection.client.ip.family != 0)
    client.append(",\"ip\":\"").append(connection.client.ip.to_string()).push_back('"');
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
  if (field.direction == Direction::server_to_client) prefix_.append(",\"direction\":\"server_to_client\"");
  prefix_.append(",\"path\":\"");
}

// Most lines: short plain texts, nothing special. False: nothing was appended.
bool FieldJsonWriter::append_short(std::string& out, const Field& field, std::string_view type) {
  if (field.opaque || field.cut || field.withheld || field.value_type == ValueType::binary ||
      prefix_.size() > kShortPrefix ||
      field.path.size() + field.value.size() + type.size() + field.decided_by.size() > LineBuffer::kTexts ||
      field.value.size() > limits_.text ||
      (field.confidence > 0 && field.confidence != usual_confidence(field.observation))) {
    return false;
  }
  LineBuffer line;
  if (!line.add_plain(field.path)) return false;
  if (field.value_type != ValueType::null && !field.value.empty()) {
    line.add("\",\"value\":\"");
    if (!line.add_plain(field.value)) return false;
  }
  if (field.value_type != ValueType::string) {
    line.add("\",\"value_type\":\"");
    line.add(to_string(field.value_type));
  }
  if (!type.empty()) {
    line.add("\",\"type\":\"");
    if (!line.add_plain(type)) return false;
  }
  if (field.observation != Observation::none) {
    line.add("\",\"observation\":\"");
    line.add(to_string(field.observation));
  }
  if (!field.decided_by.empty()) {
    line.add("\",\"decided_by\":\"");
    if (!line.add_plain(field.decided_by)) return false;
  }
  line.add(origin_);
  line.add_number(field.origin);
  line.add("\"}\n");
  out.append(prefix_).append(line.text());
  return true;
}

void FieldJsonWriter::append(std::string& out, const Field& field, std::string_view type) {
  prepare(field);
  if (append_short(out, field, type)) return;
  out.append(prefix_);
  out.pop_back();  // the quote belongs to the text
  append_text(out, field.path);
  bool cut = field.cut;
  const bool binary = field.value_type == ValueType::binary && !field.withheld;
  if (binary) {
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
  if (field.value_type != ValueType::string) {
    out.append(",\"value_type\":\"").append(to_string(field.value_type)).push_back('"');
  }
  if (!type.empty()) {
    out.append(",\"type\":");
    append_text(out, type);
  }
  if (field.observation != Observation::none)
    out.append(",\"observation\":\"").append(to_string(field.observation)).push_back('"');
  if (!field.decided_by.empty()) {
    out.append(",\"decided_by\":");
    append_text(out, field.decided_by);
  }
  if (field.confidence > 0 && field.confidence != usual_confidence(field.observation)) {
    out.append(",\"confidence\":");
    append_short_real(out, field.confidence);
  }
  out.append(std::string_view(origin_).substr(1));  // the texts before have closed their quotes
  append_number(out, field.origin);
  out.push_back('"');
  if (field.opaque) {
    out.append(",\"opaque\":true,\"entropy\":");
    append_short_real(out, field.entropy);
  }
  if (binary || field.opaque || cut) {
    out.append(",\"bytes\":");
    append_number(out, field.value.size());
  }
  if (cut) out.append(",\"cut\":true");
  if (field.withheld) out.append(",\"withheld\":true");
  out.append("}\n");
}

void append_field_json(std::string& out, const Field& field, std::string_view type, FieldJsonLimits limits) {
  FieldJsonWriter(limits).append(out, field, type);
}

}  // namespace vitrine
