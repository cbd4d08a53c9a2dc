// Reads the values of a model's configuration, wherever they stand: keeps the
// first error, so that callers read everything and check once.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vitrine {

struct ConfigValue {
  enum class Kind : uint8_t { absent, integer, real, boolean, text, other };
  Kind kind = Kind::absent;
  uint64_t integer = 0;  // not negative; a negative number is `real`
  double real = 0;       // also of an integer
  bool boolean = false;
  std::string_view text = {};

  bool present() const { return kind != Kind::absent; }
};

class ConfigReader {
 public:
  using Lookup = std::function<ConfigValue(std::string_view key)>;

  // `prefix` is put before keys, for looking up and in messages.
  ConfigReader(Lookup lookup, std::string file, std::string prefix = {})
      : lookup_(std::move(lookup)), file_(std::move(file)), prefix_(std::move(prefix)) {}

  // Numbers are 1 … most (count), 0 … most (count_or_zero); a missing key is an
  // error, or `fallback`. Reals are finite.
  uint32_t count(std::string_view key, uint32_t most);
  uint32_t count(std::string_view key, uint32_t most, uint32_t fallback);
  uint32_t count_or_zero(std::string_view key, uint32_t most, uint32_t fallback);
  double positive(std::string_view key);
  double positive(std::string_view key, double fallback);
  double not_negative(std::string_view key, double fallback);
  bool flag(std::string_view key, bool fallback);
  std::string_view text(std::string_view key);
  std::string_view text(std::string_view key, std::string_view fallback);

  ConfigValue get(std::string_view key) const { return lookup_(prefix_ + std::string(key)); }
  bool has(std::string_view key) const { return get(key).present(); }

  // The first error stays. `refuse`: a value we know but cannot compute with.
  void fault(std::string_view key, std::string message);
  void refuse(std::string_view key, std::string message);
  // Refuses `key` unless it is absent or one of `known`.
  void expect(std::string_view key, std::initializer_list<std::string_view> known);
  // Refuses `key` when it is set to true.
  void expect_off(std::string_view key);

  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }

 private:
  std::optional<uint32_t> number(std::string_view key, uint32_t least, uint32_t most);
  std::optional<double> real(std::string_view key);
  void add(ErrorCode code, std::string_view key, std::string message);

  Lookup lookup_;
  std::string file_;
  std::string prefix_;
  std::optional<Error> error_;
};

}  // namespace vitrine
