// safetensors files, single and sharded.
// Source: the format description in huggingface/safetensors: eight bytes of header
// length (little-endian), a JSON object {name: {dtype, shape, data_offsets}}, data.
//
// Views of mapped files. Everything the header says is checked against the file:
// sizes from dtype and shape, offsets in order and without overlap or hole, as the
// format asks. An Error's `where` names file and tensor.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"
#include "engine/name_index.h"

namespace vitrine {

// All dtypes the format has with whole bytes; those of weights this program
// computes with are f32, f16, bf16 and f8_e4m3.
enum class SafetensorsType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean
};
std::string_view safetensors_type_name(SafetensorsType type);  // as in the file: "F8_E4M3"
uint64_t safetensors_type_bytes(SafetensorsType type);         // of one element

struct SafetensorsTensor {
  std::string name;
  SafetensorsType type = SafetensorsType::f32;
  std::vector<uint64_t> shape;  // slowest dimension first; empty for a scalar; at most 8
  uint64_t offset = 0;          // from the start of its file
  uint64_t bytes = 0;
  uint32_t file = 0;  // which file of a sharded model
};

// One file. Parses bytes, does no I/O.
class SafetensorsFile {
 public:
  static constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
  static constexpr size_t kMaxDimensions = 8;

  // Borrows `bytes` during the call; `name` is for messages.
  static Result<SafetensorsFile> parse(Bytes bytes, const std::string& name);

  std::span<const SafetensorsTensor> tensors() const { return tensors_; }  // by offset
  std::vector<SafetensorsTensor> take() && { return std::move(tensors_); }

 private:
  std::vector<SafetensorsTensor> tensors_;
};

// {tensor name: file name} of model.safetensors.index.json. File names are plain
// names in the index's own folder: anything with a path in it is refused.
struct SafetensorsIndex {
  std::vector<std::string> files;                         // distinct, sorted
  std::vector<std::pair<std::string, uint32_t>> tensors;  // name, index into files

  static Result<SafetensorsIndex> parse(std::string_view text, const std::string& name);
};

// A model's files.
class SafetensorsModel {
 public:
  // `path`: a .safetensors file, an .index.json, or a folder with
  // model.safetensors.index.json or model.safetensors.
  static Result<SafetensorsModel> open(const std::string& path);
  // One file in memory. Borrows `bytes`.
  static Result<SafetensorsModel> from_bytes(Bytes bytes, const std::string& name);

  std::span<const SafetensorsTensor> tensors() const { return tensors_; }  // file by file, by offset
  const SafetensorsTensor* find(std::string_view name) const;
  Bytes data(const SafetensorsTensor& tensor) const;  // valid for the model's life
  const std::string& path(const SafetensorsTensor& tensor) const { return files_[tensor.file].name; }
  const std::string& folder() const { return folder_; }  // of the files; from_bytes: its name
  size_t files() const { return files_.size(); }

 private:
  struct File {
    std::string name;
    std::optional<MappedFile> map;
    Bytes bytes;
  };
  Status add(std::string name, std::optional<MappedFile> map, Bytes bytes);
  Status index_names();

  std::string folder_;
  std::vector<File> files_;
  std::vector<SafetensorsTensor> tensors_;
  NameIndex by_name_;
};

}  // namespace vitrine
