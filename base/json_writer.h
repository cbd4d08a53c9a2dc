// Appends JSON to a string: the fast path for NDJSON lines. Output is a pure
// function of the calls (no locale, no pointers), so equal input gives equal bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace vitrine {

// Appends `text` as a JSON string with quotes. Valid UTF-8 is kept; each byte
// that is not part of valid UTF-8 becomes U+FFFD (RFC 8259 asks for Unicode),
// so callers that must keep raw bytes write base64 instead.
void append_json_string(std::string& out, std::string_view text);

// The same without the quotes.
void append_json_text(std::string& out, std::string_view text);

bool is_valid_utf8(std::string_view text);

// A flat writer: keys in call order, commas handled. Nesting by begin/end.
//   JsonWriter w(line); w.begin(); w.key("a").number(1); w.key("b").string("x"); w.end();
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin() { return open('{'); }
  JsonWriter& end() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  // REQUIRES: name needs no escaping (literals of this program).
  JsonWriter& key(std::string_view name) {
    comma();
    out_.push_back('"');
    out_.append(name);
    out_.append("\":");
    fresh_ = true;
    return *this;
  }
  JsonWriter& string(std::string_view text) {
    comma();
    append_json_string(out_, text);
    return *this;
  }
  // Already-JSON or known-plain text between quotes.
  JsonWriter& plain(std::string_view text) {
    comma();
    out_.push_back('"');
    out_.append(text);
    out_.push_back('"');
    return *this;
  }
  JsonWriter& number(uint64_t value);
  JsonWriter& number(int64_t value);
  JsonWriter& number(int value) { return number(static_cast<int64_t>(value)); }
  JsonWriter& number(unsigned value) { return number(static_cast<uint64_t>(value)); }
  JsonWriter& real(double value);  // shortest round-trip form
  JsonWriter& boolean(bool value) { return raw(value ? "true" : "false"); }
  JsonWriter& null() { return raw("null"); }
  JsonWriter& raw(std::string_view json) {
    comma();
    out_.append(json);
    return *this;
  }

 private:
  JsonWriter& open(char bracket) {
    comma();
    out_.push_back(bracket);
    fresh_ = true;
    return *this;
  }
  JsonWriter& close(char bracket) {
    out_.push_back(bracket);
    fresh_ = false;
    return *this;
  }
  void comma() {
    if (!fresh_) out_.push_back(',');
    fresh_ = false;
  }

  std::string& out_;
  bool fresh_ = true;  // nothing written yet at this level, or a key just was
};

}  // namespace vitrine
