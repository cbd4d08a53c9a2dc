// A JSON text as the fields of a part, for tests of detectors: one field per
// scalar, values in values opened (JSON in a string, base64 of JSON or text).
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "capture/field.h"

namespace vitrine {

inline std::string test_base64(const std::string& in, bool& good) {
  static const std::string kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned bits = 0;
  int held = 0;
  good = in.size() >= 16 && in.size() % 4 == 0;
  for (char c : in) {
    if (c == '=') break;
    const size_t at = kAlphabet.find(c);
    if (at == std::string::npos) {
      good = false;
      return out;
    }
    bits = bits << 6 | static_cast<unsigned>(at);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out.push_back(static_cast<char>(bits >> held & 0xff));
  }
  for (char c : out) good &= static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x7f;
  return out;
}

class JsonFields {
 public:
  JsonFields(const Exchange& exchange, Direction direction, FieldSink& sink) : sink_(sink) {
    field_.exchange = &exchange;
    field_.direction = direction;
    field_.location = Location::body;
  }

  void walk(const nlohmann::ordered_json& value, const std::string& path, const std::string& name) {
    if (value.is_object()) {
      for (const auto& [key, child] : value.items()) walk(child, path + "/" + key, key);
    } else if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) walk(value[i], path + "/" + std::to_string(i), name);
    } else if (value.is_string()) {
      text(value.get<std::string>(), path, name);
    } else {
      emit(value.dump(),
           value.is_number()    ? ValueType::number
           : value.is_boolean() ? ValueType::boolean
                                : ValueType::null,
           path, name);
    }
  }

 private:
  void text(const std::string& value, const std::string& path, const std::string& name) {
    if (!value.empty() && (value[0] == '{' || value[0] == '[')) {
      const auto inner = nlohmann::ordered_json::parse(value, nullptr, false);
      if (!inner.is_discarded()) return walk(inner, path + "|json", name);
    }
    bool good = false;
    const std::string decoded = test_base64(value, good);
    if (good) return text(decoded, path + "|base64", name);
    emit(value, ValueType::string, path, name);
  }
  void emit(const std::string& value, ValueType type, const std::string& path, const std::string& name) {
    field_.value = value;
    field_.value_type = type;
    field_.path = path;
    field_.name = name;
    sink_.field(field_);
  }

  FieldSink& sink_;
  Field field_;
};

inline void json_fields(const std::string& json, const Exchange& exchange, Direction direction, FieldSink& sink) {
  JsonFields(exchange, direction, sink).walk(nlohmann::ordered_json::parse(json), "body|json", "");
}

}  // namespace vitrine
