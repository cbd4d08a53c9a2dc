// GGUF bytes by hand, so that tests can lie in any field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitrine {

inline std::string le(uint64_t value, size_t width) {
  std::string out;
  for (size_t i = 0; i < width; ++i) out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return out;
}
inline std::string gguf_text(std::string_view text) { return le(text.size(), 8) + std::string(text); }
inline std::string gguf_key(std::string_view name, uint32_t type, std::string_view value) {
  return gguf_text(name) + le(type, 4) + std::string(value);
}
inline std::string gguf_string(std::string_view name, std::string_view value) {
  return gguf_key(name, 8, gguf_text(value));
}
inline std::string gguf_u32(std::string_view name, uint32_t value) { return gguf_key(name, 4, le(value, 4)); }
inline std::string gguf_tensor(std::string_view name, const std::vector<uint64_t>& ne, uint32_t type, uint64_t offset) {
  std::string out = gguf_text(name) + le(ne.size(), 4);
  for (const uint64_t n : ne) out += le(n, 8);
  return out + le(type, 4) + le(offset, 8);
}

struct GgufBytes {
  std::string magic = "GGUF";
  uint32_t version = 3;
  std::vector<std::string> keys, tensors;
  uint64_t more_keys = 0, more_tensors = 0;  // what the header says beyond what there is
  uint64_t alignment = 32;                   // of the data below
  std::string data;

  std::string bytes() const {
    std::string out = magic + le(version, 4) + le(tensors.size() + more_tensors, 8) + le(keys.size() + more_keys, 8);
    for (const std::string& key : keys) out += key;
    for (const std::string& tensor : tensors) out += tensor;
    out.resize((out.size() + alignment - 1) / alignment * alignment);
    return out + data;
  }
};

}  // namespace vitrine
