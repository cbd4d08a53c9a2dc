// Byte buffers that go round instead of being allocated, grown and freed for
// every body. The one given back last is handed out first: its bytes are still
// in the processor's cache, and its pages are there.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace vitrine {

// Used from one thread. Holds at most kMaxBytes while nobody uses them.
class BufferPool {
 public:
  // A buffer with the size and content it was given back with: cheaper to write
  // over than to clear and fill again.
  std::string get() {
    if (spare_.empty()) return {};
    std::string buffer = std::move(spare_.back());
    spare_.pop_back();
    bytes_ -= buffer.capacity();
    return buffer;
  }
  std::string get_empty() {
    std::string buffer = get();
    buffer.clear();
    return buffer;
  }
  // Leaves `buffer` empty and without memory of its own.
  void put(std::string& buffer) {
    std::string given = std::move(buffer);
    buffer = std::string();
    if (given.capacity() < kSmallest || given.capacity() > kLargest || bytes_ + given.capacity() > kMaxBytes) return;
    bytes_ += given.capacity();
    spare_.push_back(std::move(given));
  }

 private:
  static constexpr size_t kSmallest = 64;  // below, a string has no memory of its own or not worth keeping
  static constexpr size_t kLargest = 4 << 20, kMaxBytes = 16 << 20;
  std::vector<std::string> spare_;
  size_t bytes_ = 0;
};

// A buffer for the length of a block.
struct BorrowedBuffer {
  explicit BorrowedBuffer(BufferPool& from) : pool(from), bytes(from.get_empty()) {}
  ~BorrowedBuffer() { pool.put(bytes); }
  BorrowedBuffer(const BorrowedBuffer&) = delete;
  BorrowedBuffer& operator=(const BorrowedBuffer&) = delete;
  BufferPool& pool;
  std::string bytes;
};

}  // namespace vitrine
