// Files at the edge of the program: mapped for reading, private for writing.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"

namespace vitrine {

// How a mapped file will be read.
enum class FileAccess {
  sequential,  // once, front to back: recordings
  random,      // any part, again and again: model weights
};

// A whole file as bytes, by mmap. With sequential access, gzip files and pipes
// are inflated into an unlinked temporary file first, so that bytes() is always
// the plain content; with random access only regular files are read, as they are.
// Owner: the caller; bytes() is valid for the object's life. Who shortens the
// file meanwhile stops the program with SIGBUS, as with every mapping.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path, FileAccess access = FileAccess::sequential);
  ~MappedFile();
  MappedFile(MappedFile&&) noexcept;
  MappedFile& operator=(MappedFile&&) noexcept;

  Bytes bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  bool was_gzip() const { return was_gzip_; }
  bool truncated_gzip() const { return truncated_gzip_; }  // inflated as far as it went

  // Copies the bytes from `offset` on into `out` without mapping them: for who
  // wants few bytes of many pages. How many were there; 0 for an error.
  size_t read_at(uint64_t offset, std::span<uint8_t> out) const;
  // The caller will not read [0, end) again soon: lets the kernel drop the
  // pages, so that memory stays flat on files larger than memory.
  void release_before(uint64_t end);
  // The caller reads a little behind `position` soon: maps the pages there in
  // one go, instead of by a fault for every 64 KiB.
  void read_ahead(uint64_t position);
  // Lets [begin, end) go, any number of times.
  void drop_pages(uint64_t begin, uint64_t end);

 private:
  MappedFile() = default;
  std::string path_;
  Bytes bytes_;
  int descriptor_ = -1;  // of the content, for read_at()
  uint64_t released_ = 0;
  uint64_t ahead_ = 0;  // mapped in advance up to here
  bool was_gzip_ = false;
  bool truncated_gzip_ = false;
};

// Bytes that grow: memory up to a bound, then an unlinked temporary file, so
// that a large body stays addressable as one contiguous span without holding
// memory. Used for bodies (BodyRef).
class SpillBuffer {
 public:
  explicit SpillBuffer(size_t memory_bound = 4 << 20);
  // `memory` is used as the memory; its content is dropped.
  SpillBuffer(size_t memory_bound, std::string memory);
  ~SpillBuffer();
  SpillBuffer(SpillBuffer&&) noexcept;
  SpillBuffer& operator=(SpillBuffer&&) noexcept;

  Status append(Bytes bytes);
  uint64_t size() const { return size_; }
  Bytes view();  // valid until the next append or destruction
  // Hands [offset, offset + length) to `each` in pieces without mapping it: the
  // memory needed does not grow with the size. REQUIRES: the range was appended.
  Status read(uint64_t offset, uint64_t length, const std::function<Status(std::string_view)>& each) const;
  void clear();
  // Empties the buffer and hands its memory over, for another one.
  std::string take_memory();

 private:
  void unmap();
  std::string memory_;
  size_t memory_bound_;
  uint64_t size_ = 0;
  int descriptor_ = -1;
  void* mapping_ = nullptr;
  uint64_t mapped_ = 0;
};

Result<std::string> read_file(const std::string& path, uint64_t bound = 64ull << 20);

// Writes `content` to `path` through a temporary file in the same folder and
// rename(2); mode 0600: evidence is not for everybody.
Status write_file(const std::string& path, std::string_view content);

}  // namespace vitrine
