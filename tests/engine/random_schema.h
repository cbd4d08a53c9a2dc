// Random schemas of the supported keywords, and random documents that are often nearly valid.
#pragma once

#include <nlohmann/json.hpp>
#include <random>
#include <string>

namespace vitrine {

using SchemaJson = nlohmann::ordered_json;

class RandomSchema {
 public:
  explicit RandomSchema(uint64_t seed) : random_(seed) {}

  SchemaJson schema() {
    SchemaJson out = value(3);
    if (recursive_) {
      if (!out.is_object()) out = SchemaJson{{"anyOf", {out, {{"$ref", "#/$defs/tree"}}}}};
      out["$defs"]["tree"] = {
          {"type", "object"},
          {"properties",
           {{"name", {{"type", "string"}, {"maxLength", 3}}},
            {"children", {{"type", "array"}, {"items", {{"$ref", "#/$defs/tree"}}}, {"maxItems", 2}}}}},
          {"required", {"name"}},
          {"additionalProperties", false}};
    }
    return out;
  }

  uint32_t below(uint32_t count) { return std::uniform_int_distribution<uint32_t>(0, count - 1)(random_); }
  bool one_in(uint32_t count) { return below(count) == 0; }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(static_cast<uint32_t>(from.size()))];
  }

 private:
  SchemaJson value(int depth) {
    const uint32_t kind = below(depth > 0 ? 14 : 7);
    switch (kind) {
      case 0: return string();
      case 1: return number("integer");
      case 2: return number("number");
      case 3: return {{"type", pick<std::string>({"null", "boolean"})}};
      case 4: return {{"enum", some_values()}};
      case 5: return {{"const", some_values()[0]}};
      case 6:
        return one_in(3) ? SchemaJson(true)
                         : SchemaJson{{"type", {"string", "null", "integer"}}, {"maxLength", 4}, {"minimum", 0}};
      case 7:
      case 8:
      case 9: return object(depth);
      case 10: return array(depth);
      case 11: {
        SchemaJson out = {{"anyOf", SchemaJson::array()}};
        for (uint32_t i = 0, count = 1 + below(3); i < count; ++i) out["anyOf"].push_back(value(depth - 1));
        return out;
      }
      case 12: return all_of(depth);
      default: recursive_ = true; return {{"$ref", "#/$defs/tree"}};
    }
  }

  SchemaJson string() {
    SchemaJson out = {{"type", "string"}};
    if (one_in(3)) {
      out["pattern"] = pick<std::string>({"^[a-c]+$", "^(x|yz)*$", "b", "^\\d{2,4}$", "^a?b?c?$", "^[^\"]{1,3}$",
                                          "\\\\$", "^é[가-힣]*$", "^(?:ab|a)(?:c|bcd)$", "^\"+$"});
    } else if (one_in(5)) {
      out["format"] = pick<std::string>({"date", "uuid", "ipv4", "time", "date-time"});
      return out;
    }
    if (one_in(3)) out["minLength"] = below(3);
    if (one_in(3)) out["maxLength"] = 2 + below(4);
    return out;
  }

  SchemaJson number(const char* type) {
    SchemaJson out = {{"type", type}};
    const int low = static_cast<int>(below(400)) - 200;
    if (one_in(2))
      out[one_in(3) ? "exclusiveMinimum" : "minimum"] = one_in(3) ? SchemaJson(low + 0.25) : SchemaJson(low);
    if (one_in(2))
      out[one_in(3) ? "exclusiveMaximum" : "maximum"] = one_in(3) ? SchemaJson(low + 50.5) : SchemaJson(low + 50);
    if (one_in(6)) out["multipleOf"] = 1 + below(7);
    return out;
  }

  SchemaJson some_values() {
    static const std::vector<SchemaJson> kValues = {"a",
                                                    "ab",
                                                    "é\"\n",
                                                    0,
                                                    1,
                                                    12,
                                                    -3,
                                                    1.5,
                                                    true,
                                                    false,
                                                    nullptr,
                                                    SchemaJson::array(),
                                                    SchemaJson{{"k", {1, "x"}}},
                                                    SchemaJson::array({1, SchemaJson::object()})};
    SchemaJson out = SchemaJson::array();
    for (uint32_t i = 0, count = 1 + below(4); i < count; ++i) out.push_back(pick(kValues));
    return out;
  }

  SchemaJson object(int depth) {
    static const std::vector<std::string> kNames = {"a", "ab", "abc", "b", "é", "한글", "\"q\"", "", "id", "ê", "a\nb"};
    SchemaJson out = {{"type", "object"}};
    SchemaJson properties = SchemaJson::object(), required = SchemaJson::array();
    for (uint32_t i = 0, count = below(5); i < count; ++i) properties[pick(kNames)] = value(depth - 1);
    for (const auto& [name, schema] : properties.items()) {
      if (one_in(2)) required.push_back(name);
    }
    if (one_in(8)) required.push_back(pick(kNames));
    out["properties"] = properties;
    if (!required.empty()) out["required"] = required;
    if (one_in(2)) out["additionalProperties"] = one_in(2) ? SchemaJson(one_in(2)) : value(depth - 1);
    return out;
  }

  SchemaJson array(int depth) {
    SchemaJson out = {{"type", "array"}};
    if (one_in(3)) {
      out["prefixItems"] = SchemaJson::array();
      for (uint32_t i = 0, count = 1 + below(2); i < count; ++i) out["prefixItems"].push_back(value(depth - 1));
    }
    if (!one_in(4)) out["items"] = one_in(6) ? SchemaJson(false) : value(depth - 1);
    if (one_in(3)) out["minItems"] = below(3);
    if (one_in(2)) out["maxItems"] = 1 + below(3);
    return out;
  }

  SchemaJson all_of(int depth) {
    SchemaJson out = object(depth);
    SchemaJson more = object(depth);
    more.erase("type");
    out[one_in(2) ? "allOf" : "anyOf"] = {more, {{"required", {pick<std::string>({"a", "id"})}}}};
    return out;
  }

  std::mt19937_64 random_;
  bool recursive_ = false;
};

// A document that follows a schema as far as it looks, and goes wrong now and then.
class RandomDocument {
 public:
  RandomDocument(RandomSchema& random, const SchemaJson& root) : random_(random), root_(root) {}

  std::string text(const SchemaJson& schema, int depth = 0) {
    if (random_.one_in(40) || depth > 8) return any(depth);
    if (!schema.is_object()) return any(depth);
    if (schema.contains("$ref")) return text(root_["$defs"]["tree"], depth + 1);
    if (schema.contains("enum"))
      return schema["enum"][random_.below(static_cast<uint32_t>(schema["enum"].size()))].dump();
    if (schema.contains("const")) return schema["const"].dump();
    SchemaJson merged = schema;
    for (const char* list : {"anyOf", "allOf"}) {
      if (!schema.contains(list)) continue;
      const SchemaJson& members = schema[list];
      const bool all = std::string(list) == "allOf";
      const uint32_t chosen = random_.below(static_cast<uint32_t>(members.size()));
      if (!schema.contains("type")) return text(members[chosen], depth + 1);
      for (uint32_t i = 0; i < members.size(); ++i) {
        if (!all && i != chosen) continue;
        if (!members[i].is_object()) continue;
        if (members[i].contains("properties")) {
          for (const auto& [name, value] : members[i]["properties"].items()) {
            if (!merged["properties"].contains(name) || random_.one_in(2)) merged["properties"][name] = value;
          }
        }
        if (members[i].contains("required")) {
          for (const auto& name : members[i]["required"]) merged["required"].push_back(name);
        }
        if (members[i].contains("additionalProperties"))
          merged["additionalProperties"] = members[i]["additionalProperties"];
      }
    }
    std::string type = merged.contains("type") && merged["type"].is_string() ? merged["type"].get<std::string>() : "";
    if (merged.contains("type") && merged["type"].is_array())
      type = merged["type"][random_.below(static_cast<uint32_t>(merged["type"].size()))];
    if (type == "object") return object(merged, depth);
    if (type == "array") return array(merged, depth);
    if (type == "string") return string(merged);
    if (type == "null") return "null";
    if (type == "boolean") return random_.one_in(2) ? "true" : "false";
    if (type == "integer" || type == "number") return number(merged, type == "integer");
    return any(depth);
  }

 private:
  std::string gap() {
    switch (random_.below(30)) {
      case 0: return " ";
      case 1: return "\n";
      case 2: return "\n  \t";
      case 3: return random_.one_in(4) ? "  " : "";
      case 4: return random_.one_in(4) ? "\n\n" : "";
      default: return "";
    }
  }
  std::string quoted(const std::string& text) { return SchemaJson(text).dump(); }
  std::string word(uint32_t most) {
    static const std::vector<std::string> kPieces = {"a", "b",  "c",  "x",  "yz", "1",    "22",
                                                     "é", "가", "\"", "\\", "\n", "\x01", "😀"};
    std::string out;
    for (uint32_t i = random_.below(most + 1); i > 0; --i) out += random_.pick(kPieces);
    return out;
  }

  std::string string(const SchemaJson& schema) {
    if (schema.contains("format")) {
      return quoted(random_.pick<std::string>({"2024-02-29", "2023-02-29", "123e4567-e89b-12d3-a456-426614174000",
                                               "10.0.0.255", "23:59:59Z", "2024-02-29T12:00:00+01:00", "x"}));
    }
    if (schema.contains("pattern") && !random_.one_in(3)) {
      return quoted(random_.pick<std::string>({"a", "abc", "x", "yzx", "yz", "b", "12", "1234", "ac", "q\n", "x\\",
                                               "é가", "é", "abcd", "abbcd", "ab", "\"\"", "bb"}));
    }
    if (random_.one_in(4))
      return "\"" +
             random_.pick<std::string>(
                 {"\\u00e9", "\\/", "\\uD83D\\uDE00", "\\n\\t", "\\u0061", "\\ud800", "\x7f", "\\u001F"}) +
             "\"";
    return quoted(word(5));
  }

  std::string number(const SchemaJson& schema, bool integer) {
    double at = 0;
    for (const char* bound : {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"}) {
      if (schema.contains(bound)) at = schema[bound].get<double>();
    }
    const int near = static_cast<int>(at) + static_cast<int>(random_.below(60)) - 30;
    if (integer || random_.one_in(2)) return std::to_string(random_.one_in(4) ? static_cast<int>(at) : near);
    return random_.pick<std::string>({"0.5", "1e3", "-0", "1.50"}) == "1e3"
               ? "1e3"
               : std::to_string(near) + random_.pick<std::string>({".25", ".5", ".250", ".0", ".75"});
  }

  std::string object(const SchemaJson& schema, int depth) {
    std::vector<std::string> members;
    const auto member = [&](const std::string& name, const SchemaJson& value) {
      members.push_back(quoted(name) + ":" + (random_.one_in(3) ? " " : "") + text(value, depth + 1));
    };
    const SchemaJson none = SchemaJson::object();
    const SchemaJson& properties = schema.contains("properties") ? schema["properties"] : none;
    const auto required = [&](const std::string& name) {
      return schema.contains("required") &&
             std::find(schema["required"].begin(), schema["required"].end(), name) != schema["required"].end();
    };
    for (const auto& [name, value] : properties.items()) {
      if (required(name) ? !random_.one_in(30) : random_.one_in(2)) member(name, value);
    }
    if (schema.contains("required")) {
      for (const auto& name : schema["required"]) {
        if (!properties.contains(name.get<std::string>())) {
          member(name, schema.contains("additionalProperties") ? schema["additionalProperties"] : SchemaJson(true));
        }
      }
    }
    if (schema.contains("additionalProperties") ? random_.one_in(2) : random_.one_in(20)) {
      member(random_.pick<std::string>({"z", "a", "abcd", "é!", "한"}),
             schema.contains("additionalProperties") ? schema["additionalProperties"] : SchemaJson(true));
    }
    if (members.size() > 1 && random_.one_in(12)) std::swap(members[0], members[1]);
    return joined("{", members, "}");
  }

  std::string array(const SchemaJson& schema, int depth) {
    std::vector<std::string> elements;
    const uint32_t least = schema.value("minItems", 0u);
    const uint32_t count = least + random_.below(3);
    for (uint32_t i = 0; i < count; ++i) {
      if (schema.contains("prefixItems") && i < schema["prefixItems"].size()) {
        elements.push_back(text(schema["prefixItems"][i], depth + 1));
      } else {
        elements.push_back(text(schema.contains("items") ? schema["items"] : SchemaJson(true), depth + 1));
      }
    }
    return joined("[", elements, "]");
  }

  std::string joined(const char* open, const std::vector<std::string>& parts, const char* close) {
    std::string out = open + gap();
    for (size_t i = 0; i < parts.size(); ++i) out += (i > 0 ? "," + gap() : "") + parts[i];
    if (!parts.empty()) out += gap();
    return out + close;
  }

  std::string any(int depth) {
    static const std::vector<std::string> kValues = {
        "null", "true", "0", "-12.5e-7", "\"a\"", "[]", "{}", "[1,\"b\"]", "{\"a\": {\"b\": []}}", "\"\\u00e9\""};
    return depth > 12 ? "null" : random_.pick(kValues);
  }

  RandomSchema& random_;
  const SchemaJson& root_;
};

}  // namespace vitrine
