#include "engine/safetensors.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "base/json_tokenizer.h"
#include "base/text.h"

namespace vitrine {
namespace {

using Kind = JsonToken::Kind;

struct TypeRow {
  std::string_view name;
  uint64_t bytes;
};
// In the order of SafetensorsType.
constexpr TypeRow kTypes[] = {{"F64", 8},     {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1},
                              {"F8_E5M2", 1}, {"I64", 8}, {"I32", 4}, {"I16", 2},  {"I8", 1},
                              {"U64", 8},     {"U32", 4}, {"U16", 2}, {"U8", 1},   {"BOOL", 1}};

std::optional<SafetensorsType> type_named(std::string_view name) {
  for (size_t i = 0; i < std::size(kTypes); ++i) {
    if (kTypes[i].name == name) return static_cast<SafetensorsType>(i);
  }
  return std::nullopt;
}

std::optional<uint64_t> unsigned_number(const JsonToken& token) {
  uint64_t value = 0;
  if (token.kind != Kind::number) return std::nullopt;
  const auto [end, error] = std::from_chars(token.raw.data(), token.raw.data() + token.raw.size(), value);
  if (error != std::errc() || end != token.raw.data() + token.raw.size()) return std::nullopt;
  return value;
}

std::string_view name_of(const SafetensorsTensor& tensor) { return tensor.name; }

// The JSON of a header, read token by token: no document is built of it.
class HeaderParser {
 public:
  HeaderParser(std::string_view header, const std::string& file)
      : json_(header, kDepth), size_(header.size()), file_(file) {}

  // Offsets are those of the header, from the start of the data.
  Result<std::vector<SafetensorsTensor>> parse() {
    std::vector<SafetensorsTensor> tensors;
    JsonToken token;
    if (!json_.next(token) || token.kind != Kind::begin_object) return broken("header", "is no JSON object");
    while (json_.next(token) && token.kind == Kind::key) {
      std::string name(unescaped(token, scratch_));
      if (name == "__metadata__") {  // free text of whoever wrote the file
        if (!json_.skip(token)) break;
        continue;
      }
      auto tensor = parse_tensor(std::move(name));
      if (!tensor) return tl::make_unexpected(tensor.error());
      tensors.push_back(std::move(*tensor));
    }
    if (token.kind == Kind::end_object) json_.next(token);
    if (token.kind == Kind::too_deep) return broken("header", "is nested too deeply");
    if (token.kind != Kind::end || token.offset != size_) return broken("header", "is no well-formed JSON");
    return tensors;
  }

 private:
  static constexpr uint32_t kDepth = 8;

  tl::unexpected<Error> broken(const std::string& field, std::string message) const {
    return fail(ErrorCode::malformed, std::move(message), file_ + ", " + field);
  }

  Result<SafetensorsTensor> parse_tensor(std::string name) {
    SafetensorsTensor tensor;
    const std::string field = "tensor " + printable(name);
    tensor.name = std::move(name);
    std::optional<SafetensorsType> type;
    std::optional<std::vector<uint64_t>> shape, offsets;
    JsonToken token;
    if (!json_.next(token) || token.kind != Kind::begin_object) return broken(field, "is no JSON object");
    while (json_.next(token) && token.kind == Kind::key) {
      const std::string key(unescaped(token, scratch_));
      if (key == "dtype" && !type) {
        if (!json_.next(token) || token.kind != Kind::string) return broken(field, "dtype is no text");
        type = type_named(unescaped(token, scratch_));
        if (!type) {
          return fail(ErrorCode::unsupported, "dtype " + printable(unescaped(token, scratch_)), file_ + ", " + field);
        }
      } else if (key == "shape" && !shape) {
        shape = numbers(SafetensorsFile::kMaxDimensions);
        if (!shape) return broken(field, "shape is no list of up to 8 numbers");
      } else if (key == "data_offsets" && !offsets) {
        offsets = numbers(2);
        if (!offsets || offsets->size() != 2) return broken(field, "data_offsets is no pair of numbers");
      } else {
        return broken(field, "unexpected key " + printable(key));  // or one that comes twice
      }
    }
    if (token.kind != Kind::end_object) return broken(field, "is no well-formed JSON");
    if (!type || !shape || !offsets) return broken(field, "lacks dtype, shape or data_offsets");
    tensor.type = *type;
    tensor.shape = std::move(*shape);
    tensor.offset = (*offsets)[0];
    if ((*offsets)[1] < tensor.offset) return broken(field, "data_offsets end before they begin");
    tensor.bytes = (*offsets)[1] - tensor.offset;
    uint64_t bytes = safetensors_type_bytes(*type);
    for (const uint64_t n : tensor.shape) {
      if (__builtin_mul_overflow(bytes, n, &bytes)) return broken(field, "shape multiplies to more than 64 bits");
    }
    if (bytes != tensor.bytes) {
      return broken(field, "dtype and shape ask for " + std::to_string(bytes) + " bytes, data_offsets give " +
                               std::to_string(tensor.bytes));
    }
    return tensor;
  }

  // The array that comes next, of at most `most` unsigned numbers.
  std::optional<std::vector<uint64_t>> numbers(size_t most) {
    JsonToken token;
    std::vector<uint64_t> out;
    if (!json_.next(token) || token.kind != Kind::begin_array) return std::nullopt;
    while (json_.next(token) && token.kind != Kind::end_array) {
      const auto value = unsigned_number(token);
      if (!value || out.size() == most) return std::nullopt;
      out.push_back(*value);
    }
    return token.kind == Kind::end_array ? std::optional(std::move(out)) : std::nullopt;
  }

  JsonTokenizer json_;
  uint64_t size_;
  const std::string& file_;
  std::string scratch_;
};

// A plain file name: no folder, no parent, nothing hidden, no byte that a
// terminal or a file system reads as something else.
bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > 255 || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.';
  });
}

}  // namespace

std::string_view safetensors_type_name(SafetensorsType type) { return kTypes[static_cast<size_t>(type)].name; }
uint64_t safetensors_type_bytes(SafetensorsType type) { return kTypes[static_cast<size_t>(type)].bytes; }

Result<SafetensorsFile> SafetensorsFile::parse(Bytes bytes, const std::string& name) {
  ByteReader reader(bytes, false);
  const uint64_t header_bytes = reader.u64();
  if (reader.failed()) return fail(ErrorCode::unreadable, "too short for a safetensors file", name);
  if (header_bytes > kMaxHeaderBytes) {
    return fail(ErrorCode::malformed, "a header of " + std::to_string(header_bytes) + " bytes: at most 100000000",
                name);
  }
  const std::string_view header = as_text(reader.take(header_bytes));
  if (reader.failed()) {
    return fail(ErrorCode::malformed, "the file ends inside its header of " + std::to_string(header_bytes) + " bytes",
                name);
  }
  if (header.empty() || header.front() != '{') {
    return fail(ErrorCode::unreadable, "no safetensors file: its header does not begin with {", name);
  }
  auto tensors = HeaderParser(header, name).parse();
  if (!tensors) return tl::make_unexpected(tensors.error());

  SafetensorsFile file;
  file.tensors_ = std::move(*tensors);
  if (const auto index = NameIndex::build(file.tensors_, name_of); !index) {
    return fail(ErrorCode::malformed, "the tensor comes twice",
                name + ", tensor " + printable(file.tensors_[index.error()].name));
  }
  // In order of offset (and length: empty tensors first) they must cover the data exactly.
  std::stable_sort(file.tensors_.begin(), file.tensors_.end(), [](const auto& a, const auto& b) {
    return a.offset != b.offset ? a.offset < b.offset : a.bytes < b.bytes;
  });
  uint64_t expected = 0;
  const uint64_t room = reader.remaining();
  for (SafetensorsTensor& tensor : file.tensors_) {
    const std::string where = name + ", tensor " + printable(tensor.name);
    if (tensor.offset > room || tensor.bytes > room - tensor.offset) {
      return fail(ErrorCode::malformed,
                  "its " + std::to_string(tensor.bytes) + " bytes at offset " + std::to_string(tensor.offset) +
                      " are not in the file: " + std::to_string(room) + " bytes of data are there",
                  where);
    }
    if (tensor.offset != expected) {
      return fail(ErrorCode::malformed,
                  (tensor.offset < expected ? "overlaps the tensor before it: begins at "
                                            : "leaves a hole before it: begins at ") +
                      std::to_string(tensor.offset) + ", expected " + std::to_string(expected),
                  where);
    }
    expected += tensor.bytes;
    tensor.offset += 8 + header_bytes;
  }
  if (expected != room) {
    return fail(ErrorCode::malformed, std::to_string(room - expected) + " bytes behind the last tensor belong to none",
                name);
  }
  return file;
}

Result<SafetensorsIndex> SafetensorsIndex::parse(std::string_view text, const std::string& name) {
  const auto broken = [&](std::string message, const std::string& field) {
    return fail(ErrorCode::malformed, std::move(message), name + ", " + field);
  };
  SafetensorsIndex index;
  std::vector<std::pair<std::string, std::string>> map;
  bool found = false;
  JsonTokenizer json(text, 8);
  JsonToken token;
  std::string scratch;
  if (!json.next(token) || token.kind != Kind::begin_object) return broken("is no JSON object", "index");
  while (json.next(token) && token.kind == Kind::key) {
    if (unescaped(token, scratch) != "weight_map") {
      if (!json.skip(token)) break;
      continue;
    }
    if (found) return broken("comes twice", "weight_map");
    found = true;
    if (!json.next(token) || token.kind != Kind::begin_object) return broken("is no JSON object", "weight_map");
    while (json.next(token) && token.kind == Kind::key) {
      std::string tensor(unescaped(token, scratch));
      if (!json.next(token) || token.kind != Kind::string)
        return broken("names no file", "weight_map/" + printable(tensor));
      std::string file(unescaped(token, scratch));
      if (!is_plain_name(file)) {
        return broken(
            "\"" + printable(file) + "\" is no plain file name; files outside the model's folder are not opened",
            "weight_map/" + printable(tensor));
      }
      map.emplace_back(std::move(tensor), std::move(file));
    }
    if (token.kind != Kind::end_object) break;
  }
  if (token.kind == Kind::end_object) json.next(token);
  if (token.kind != Kind::end || token.offset != text.size()) return broken("is no well-formed JSON", "index");
  if (map.empty()) return broken("lists no tensor", "weight_map");

  for (const auto& [tensor, file] : map) index.files.push_back(file);
  std::sort(index.files.begin(), index.files.end());
  index.files.erase(std::unique(index.files.begin(), index.files.end()), index.files.end());
  for (auto& [tensor, file] : map) {
    const auto at = std::lower_bound(index.files.begin(), index.files.end(), file) - index.files.begin();
    index.tensors.emplace_back(std::move(tensor), static_cast<uint32_t>(at));
  }
  const auto twice = NameIndex::build(index.tensors, [](const auto& entry) -> std::string_view { return entry.first; });
  if (!twice) return broken("the tensor comes twice", "weight_map/" + printable(index.tensors[twice.error()].first));
  return index;
}

}  // namespace vitrine
