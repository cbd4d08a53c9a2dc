#include "engine/config_reader.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"

namespace vitrine {

using Kind = ConfigValue::Kind;

void ConfigReader::add(ErrorCode code, std::string_view key, std::string message) {
  if (!error_) error_ = Error{code, std::move(message), file_ + ", key " + prefix_ + std::string(key)};
}
void ConfigReader::fault(std::string_view key, std::string message) {
  add(ErrorCode::malformed, key, std::move(message));
}
void ConfigReader::refuse(std::string_view key, std::string message) {
  add(ErrorCode::unsupported, key, std::move(message));
}

std::optional<uint32_t> ConfigReader::number(std::string_view key, uint32_t least, uint32_t most) {
  const ConfigValue value = get(key);
  if (!value.present()) return std::nullopt;
  if (value.kind != Kind::integer || value.integer < least || value.integer > most) {
    fault(key, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
    return std::nullopt;
  }
  return static_cast<uint32_t>(value.integer);
}

uint32_t ConfigReader::count(std::string_view key, uint32_t most) {
  if (!has(key)) fault(key, "is missing");
  return number(key, 1, most).value_or(1);
}
uint32_t ConfigReader::count(std::string_view key, uint32_t most, uint32_t fallback) {
  return number(key, 1, most).value_or(fallback);
}
uint32_t ConfigReader::count_or_zero(std::string_view key, uint32_t most, uint32_t fallback) {
  return number(key, 0, most).value_or(fallback);
}

std::optional<double> ConfigReader::real(std::string_view key) {
  const ConfigValue value = get(key);
  if (!value.present()) return std::nullopt;
  if ((value.kind != Kind::integer && value.kind != Kind::real) || !std::isfinite(value.real)) {
    fault(key, "must be a number");
    return std::nullopt;
  }
  return value.real;
}

double ConfigReader::positive(std::string_view key, double fallback) {
  const double value = real(key).value_or(fallback);
  if (value <= 0) fault(key, "must be greater than 0");
  return value > 0 ? value : fallback;
}
double ConfigReader::positive(std::string_view key) {
  if (!has(key)) fault(key, "is missing");
  return positive(key, 1);
}
double ConfigReader::not_negative(std::string_view key, double fallback) {
  const double value = real(key).value_or(fallback);
  if (value < 0) fault(key, "must not be negative");
  return value < 0 ? fallback : value;
}

bool ConfigReader::flag(std::string_view key, bool fallback) {
  const ConfigValue value = get(key);
  if (!value.present()) return fallback;
  if (value.kind != Kind::boolean) fault(key, "must be true or false");
  return value.kind == Kind::boolean ? value.boolean : fallback;
}

std::string_view ConfigReader::text(std::string_view key, std::string_view fallback) {
  const ConfigValue value = get(key);
  if (!value.present()) return fallback;
  if (value.kind != Kind::text) fault(key, "must be text");
  return value.kind == Kind::text ? value.text : fallback;
}
std::string_view ConfigReader::text(std::string_view key) {
  if (!has(key)) fault(key, "is missing");
  return text(key, "");
}

void ConfigReader::expect(std::string_view key, std::initializer_list<std::string_view> known) {
  if (!has(key)) return;
  const std::string_view value = text(key);
  if (!failed() && std::find(known.begin(), known.end(), value) == known.end()) {
    refuse(key, "\"" + printable(value) + "\" is not supported");
  }
}

void ConfigReader::expect_off(std::string_view key) {
  if (flag(key, false)) refuse(key, "true is not supported");
}

}  // namespace vitrine
