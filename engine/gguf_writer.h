// Writes GGUF version 3: keys, then tensor descriptions, then tensor bytes as a
// stream, so that files larger than memory can be made. For tools and tests.
//
//   GgufWriter writer(sink);
//   writer.add("general.architecture", "llama");
//   writer.add_tensor("output_norm.weight", 0, {64});
//   writer.begin_data();
//   writer.write(bytes);      // of the tensors in the order they were added
//   writer.finish();
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "engine/gguf.h"

namespace vitrine {

class GgufWriter {
 public:
  using Sink = std::function<Status(Bytes)>;  // finish() calls it with no bytes: everything is written, flush

  // REQUIRES: alignment is a power of two; written as general.alignment unless it is 32.
  explicit GgufWriter(Sink sink, uint32_t alignment = 32);

  // Keys. Each form writes exactly its type. REQUIRES: not after begin_data().
  void add(std::string_view key, uint32_t value);
  void add(std::string_view key, int32_t value);
  void add(std::string_view key, uint16_t value);
  void add(std::string_view key, uint64_t value);
  void add(std::string_view key, float value);
  void add(std::string_view key, bool value);
  void add(std::string_view key, std::string_view value);
  void add(std::string_view key, const char* value) { add(key, std::string_view(value)); }
  void add(std::string_view key, std::span<const std::string> values);
  void add(std::string_view key, std::span<const int32_t> values);
  void add(std::string_view key, std::span<const float> values);

  // `ne` as in the file, fastest dimension first. Refuses what GgufFile would:
  // an unknown type number, a size that overflows or is no multiple of the block.
  Status add_tensor(std::string_view name, uint32_t type, std::span<const uint64_t> ne);
  Status add_tensor(std::string_view name, uint32_t type, std::initializer_list<uint64_t> ne) {
    return add_tensor(name, type, std::span(ne.begin(), ne.size()));
  }

  Status begin_data();        // writes everything before the data
  Status write(Bytes bytes);  // the next bytes of the current tensor; may end one and begin the next
  uint64_t left() const;      // bytes the current tensor still wants; 0 when all are written
  Status finish();            // internal error when bytes are missing

 private:
  void key(std::string_view name, GgufType type);
  Status pad();

  Sink sink_;
  uint32_t alignment_;
  std::string entries_, descriptions_;
  uint64_t entry_count_ = 0;
  std::vector<uint64_t> sizes_;  // bytes of each tensor
  uint64_t data_bytes_ = 0;      // with padding, of the tensors added so far
  size_t current_ = 0;
  uint64_t written_ = 0;  // of the current tensor
};

// A sink that appends to `out`, and one that writes a file (created or emptied;
// closed with the last copy of the sink).
GgufWriter::Sink append_to(std::string& out);
Result<GgufWriter::Sink> write_to_file(const std::string& path);

}  // namespace vitrine
