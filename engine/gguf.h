// GGUF model files, versions 2 and 3, little-endian.
// Source: the format description in ggml's docs/gguf.md.
//
//   auto model = GgufModel::open("model-00001-of-00003.gguf");   // maps all parts
//   if (const GgufValue* v = model->find("general.architecture")) v->as_string() …
//   if (const GgufTensor* t = model->find_tensor("output.weight")) model->data(*t) …
//
// Everything is a view of the mapped file. Each count, offset and size of the
// file is checked against the bytes that are there before anything is allocated
// or read; an Error's `where` names file and key or tensor.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "engine/ggml_type.h"
#include "engine/name_index.h"

namespace vitrine {

// The numbers are the file's.
enum class GgufType : uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
std::string_view gguf_type_name(GgufType type);

// One metadata value: a view, already checked. Accessors give nothing when the
// value is of another kind or does not fit.
class GgufValue {
 public:
  GgufType type() const { return type_; }
  GgufType element_type() const { return element_; }  // REQUIRES: type() == array
  uint64_t count() const { return count_; }           // elements of an array; 1 for the rest

  std::optional<uint64_t> as_unsigned() const;  // any integer type, not negative
  std::optional<int64_t> as_integer() const;    // any integer type that fits
  std::optional<double> as_real() const;        // f32, f64
  std::optional<bool> as_bool() const;
  std::optional<std::string_view> as_string() const;
  // Arrays. Sizes are bounded by the file's: each element takes bytes in it.
  std::optional<std::vector<std::string_view>> as_strings() const;
  std::optional<std::vector<int64_t>> as_integers() const;  // any integer type or boolean
  std::optional<std::vector<double>> as_reals() const;      // f32, f64

 private:
  friend class GgufParser;
  GgufType type_ = GgufType::u8;
  GgufType element_ = GgufType::u8;
  uint64_t count_ = 1;
  Bytes bytes_;  // scalar: its bytes; string: its text; array: its elements as they lie in the file
};

struct GgufEntry {
  std::string_view key;
  GgufValue value;
};

struct GgufTensor {
  std::string_view name;
  GgmlType type;
  uint32_t dimensions = 0;                    // 1 … 4
  std::array<uint64_t, 4> ne = {1, 1, 1, 1};  // elements per dimension, fastest first; each >= 1
  uint64_t offset = 0;                        // from the start of its file
  uint64_t bytes = 0;
  uint32_t part = 0;  // which file of a split model

  uint64_t elements() const { return ne[0] * ne[1] * ne[2] * ne[3]; }  // checked not to overflow
};

// One file. Parses bytes, does no I/O.
class GgufFile {
 public:
  static constexpr uint64_t kMaxKeyBytes = 65535;
  static constexpr uint64_t kMaxTensorNameBytes = 64;
  static constexpr uint64_t kMaxAlignment = 1 << 20;

  // Borrows `bytes`; `name` is for messages. unsupported: another version, byte
  // order or tensor type number, nested arrays; malformed: the rest.
  static Result<GgufFile> parse(Bytes bytes, const std::string& name);

  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  std::span<const GgufEntry> metadata() const { return metadata_; }  // in file order
  std::span<const GgufTensor> tensors() const { return tensors_; }   // in file order
  const GgufValue* find(std::string_view key) const;

 private:
  friend class GgufParser;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  std::vector<GgufEntry> metadata_;
  std::vector<GgufTensor> tensors_;
  NameIndex by_key_;
};

// A model: one file, or all parts of a split one (NAME-00001-of-00003.gguf).
class GgufModel {
 public:
  // Any part's path opens them all. Parts are checked: split.no, split.count,
  // split.tensors.count, and that no tensor comes twice.
  static Result<GgufModel> open(const std::string& path);
  // One file in memory, not split. Borrows `bytes`.
  static Result<GgufModel> from_bytes(Bytes bytes, const std::string& name);

  std::span<const GgufEntry> metadata() const { return parts_.front().file.metadata(); }
  const GgufValue* find(std::string_view key) const { return parts_.front().file.find(key); }
  std::span<const GgufTensor> tensors() const { return tensors_; }  // part by part, in file order
  const GgufTensor* find_tensor(std::string_view name) const;
  Bytes data(const GgufTensor& tensor) const;  // valid for the model's life
  const std::string& path(const GgufTensor& tensor) const { return parts_[tensor.part].name; }
  const std::string& path() const { return parts_.front().name; }  // of the first part
  size_t parts() const { return parts_.size(); }
  uint32_t version() const { return parts_.front().file.version(); }

 private:
  struct Part {
    std::string name;
    std::optional<MappedFile> map;
    Bytes bytes;
    GgufFile file;
  };
  Status index_tensors();

  std::vector<Part> parts_;
  std::vector<GgufTensor> tensors_;
  NameIndex by_name_;
};

}  // namespace vitrine
