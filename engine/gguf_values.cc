#include <bit>
#include <limits>

#include "engine/gguf.h"

namespace vitrine {
namespace {

bool is_signed(GgufType type) {
  return type == GgufType::i8 || type == GgufType::i16 || type == GgufType::i32 || type == GgufType::i64;
}
bool is_integer(GgufType type) {
  return type != GgufType::f32 && type != GgufType::f64 && type != GgufType::boolean && type != GgufType::string &&
         type != GgufType::array;
}

uint64_t little_endian(Bytes bytes) {
  uint64_t value = 0;
  for (size_t i = bytes.size(); i > 0; --i) value = value << 8 | bytes[i - 1];
  return value;
}

// The bits of a signed integer of bytes.size() bytes, widened.
int64_t sign_extended(Bytes bytes) {
  const unsigned unused = static_cast<unsigned>(64 - 8 * bytes.size());
  return static_cast<int64_t>(little_endian(bytes) << unused) >> unused;
}

std::optional<int64_t> integer(GgufType type, Bytes bytes) {
  if (is_signed(type)) return sign_extended(bytes);
  const uint64_t value = little_endian(bytes);
  if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return static_cast<int64_t>(value);
}

double real(GgufType type, Bytes bytes) {
  if (type == GgufType::f32) return std::bit_cast<float>(static_cast<uint32_t>(little_endian(bytes)));
  return std::bit_cast<double>(little_endian(bytes));
}

bool is_real(GgufType type) { return type == GgufType::f32 || type == GgufType::f64; }

}  // namespace

std::optional<uint64_t> GgufValue::as_unsigned() const {
  if (!is_integer(type_)) return std::nullopt;
  if (!is_signed(type_)) return little_endian(bytes_);
  const int64_t value = sign_extended(bytes_);
  if (value < 0) return std::nullopt;
  return static_cast<uint64_t>(value);
}

std::optional<int64_t> GgufValue::as_integer() const {
  return is_integer(type_) ? integer(type_, bytes_) : std::nullopt;
}

std::optional<double> GgufValue::as_real() const {
  if (!is_real(type_)) return std::nullopt;
  return real(type_, bytes_);
}

std::optional<bool> GgufValue::as_bool() const {
  if (type_ != GgufType::boolean) return std::nullopt;
  return bytes_[0] != 0;
}

std::optional<std::string_view> GgufValue::as_string() const {
  if (type_ != GgufType::string) return std::nullopt;
  return as_text(bytes_);
}

std::optional<std::vector<std::string_view>> GgufValue::as_strings() const {
  if (type_ != GgufType::array || element_ != GgufType::string) return std::nullopt;
  std::vector<std::string_view> out;
  out.reserve(count_);  // the parser has walked them: each has its eight bytes of length in the file
  ByteReader reader(bytes_, false);
  for (uint64_t i = 0; i < count_; ++i) out.push_back(as_text(reader.take(reader.u64())));
  return out;
}

std::optional<std::vector<int64_t>> GgufValue::as_integers() const {
  if (type_ != GgufType::array || !(is_integer(element_) || element_ == GgufType::boolean)) return std::nullopt;
  std::vector<int64_t> out;
  if (count_ == 0) return out;
  out.reserve(count_);
  const size_t width = bytes_.size() / count_;
  for (uint64_t i = 0; i < count_; ++i) {
    const auto value = integer(element_, bytes_.subspan(i * width, width));
    if (!value) return std::nullopt;
    out.push_back(*value);
  }
  return out;
}

std::optional<std::vector<double>> GgufValue::as_reals() const {
  if (type_ != GgufType::array || !is_real(element_)) return std::nullopt;
  std::vector<double> out;
  if (count_ == 0) return out;
  out.reserve(count_);
  const size_t width = bytes_.size() / count_;
  for (uint64_t i = 0; i < count_; ++i) out.push_back(real(element_, bytes_.subspan(i * width, width)));
  return out;
}

}  // namespace vitrine
