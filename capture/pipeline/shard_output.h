// What a shard has to say during one batch, on its way to the merge: text in
// pieces of one size that go round, so that memory is what waits and not what
// the richest batch ever needed.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "capture/pipeline/shard.h"

namespace vitrine {

// Pieces of text between the thread that fills them and the one that empties
// them. The one given back last goes out first.
class TextPieces {
 public:
  static constexpr size_t kPiece = 128 << 10;
  std::string get();  // empty, with room for a piece and a line
  void put(std::string piece);

 private:
  static constexpr size_t kRoom = kPiece + (8 << 10), kSpare = 256;
  std::mutex mutex_;
  std::vector<std::string> spare_;
};

// Text whose parts carry their position. Consumers that produce more derive from it.
struct ShardOutput {
  ShardOutput() = default;
  explicit ShardOutput(std::shared_ptr<TextPieces> from) : bytes(from->get()), pieces_(std::move(from)) {}
  virtual ~ShardOutput();
  struct Mark {
    OutputPosition position;
    uint64_t end = 0;  // of the part in the whole text; it begins where the one before ends
  };
  std::string bytes;  // the end of the text, to be appended to
  std::vector<Mark> marks;

  uint64_t size() const { return sealed_ + bytes.size(); }
  void clear();
  // Text appended to bytes since the last call belongs to `position`.
  void mark(OutputPosition position) {
    if (!marks.empty() && marks.back().position == position) {
      marks.back().end = size();
    } else if (size() > (marks.empty() ? 0 : marks.back().end)) {
      marks.push_back({position, size()});
    }
  }
  // To be called as text is appended: starts a new piece when the last is full.
  // One part of a recording can say a thousand times its bytes: what passes
  // kSpill waits in a file for the merge, not in memory.
  void bound_memory() {
    if (bytes.size() >= TextPieces::kPiece) seal();
  }
  Status write(uint64_t begin, uint64_t end, const std::function<Status(std::string_view)>& each) const;

 private:
  static constexpr size_t kSpill = 32 << 20;
  struct Sealed {
    uint64_t end = 0;  // in the whole text
    std::string text;
  };
  void seal();
  void spill();
  std::shared_ptr<TextPieces> pieces_;  // may be none
  std::vector<Sealed> full_;            // behind what was spilled, before `bytes`
  uint64_t sealed_ = 0;                 // bytes before `bytes`
  SpillBuffer spilled_{0};
  bool no_room_ = false;  // on the disk: the rest stays in memory
};

// Outputs between a shard's thread, which fills them, and the merge's thread,
// which empties them: a few go round instead of one a batch.
template <class Output>
class OutputPool {
 public:
  std::unique_ptr<Output> get() {
    std::lock_guard lock(mutex_);
    if (spare_.empty()) return std::make_unique<Output>(pieces_);
    std::unique_ptr<Output> output = std::move(spare_.back());
    spare_.pop_back();
    return output;
  }
  void put(std::unique_ptr<ShardOutput> output) {
    output->clear();
    std::lock_guard lock(mutex_);
    if (spare_.size() < kSpare) spare_.emplace_back(static_cast<Output*>(output.release()));
  }

 private:
  static constexpr size_t kSpare = 32;
  const std::shared_ptr<TextPieces> pieces_ = std::make_shared<TextPieces>();
  std::mutex mutex_;
  std::vector<std::unique_ptr<Output>> spare_;
};

// Hands the outputs' text to `write` piece by piece in merged order; stops at
// the first that fails.
Status write_in_order(std::span<std::unique_ptr<ShardOutput>> outputs,
                      const std::function<Status(std::string_view)>& write);
// The same, appended to `out`.
void append_in_order(std::span<std::unique_ptr<ShardOutput>> outputs, std::string& out);

}  // namespace vitrine
