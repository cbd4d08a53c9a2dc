#include "capture/pipeline/shard_output.h"

#include <algorithm>
#include <utility>

namespace vitrine {

std::string TextPieces::get() {
  {
    std::lock_guard lock(mutex_);
    if (!spare_.empty()) {
      std::string piece = std::move(spare_.back());
      spare_.pop_back();
      return piece;
    }
  }
  std::string piece;
  piece.reserve(kRoom);
  return piece;
}

void TextPieces::put(std::string piece) {
  if (piece.capacity() < kRoom || piece.capacity() > 2 * kRoom) return;  // grown by one long line
  piece.clear();
  std::lock_guard lock(mutex_);
  if (spare_.size() < kSpare) spare_.push_back(std::move(piece));
}

ShardOutput::~ShardOutput() {
  clear();
  if (pieces_) pieces_->put(std::move(bytes));
}

void ShardOutput::clear() {
  if (pieces_) {
    for (Sealed& full : full_) pieces_->put(std::move(full.text));
  }
  if (bytes.capacity() > 2 * TextPieces::kPiece) std::string().swap(bytes);
  bytes.clear();
  full_.clear();
  sealed_ = 0;
  marks.clear();
  spilled_.clear();
  no_room_ = false;
}

void ShardOutput::seal() {
  sealed_ += bytes.size();
  full_.push_back({sealed_, std::exchange(bytes, pieces_ ? pieces_->get() : std::string())});
  if (sealed_ - spilled_.size() >= kSpill) spill();
}

void ShardOutput::spill() {
  if (no_room_) return;
  size_t gone = 0;
  for (Sealed& full : full_) {
    if (!spilled_.append(as_bytes(full.text))) {
      no_room_ = true;
      break;
    }
    if (pieces_) pieces_->put(std::move(full.text));
    ++gone;
  }
  full_.erase(full_.begin(), full_.begin() + static_cast<std::ptrdiff_t>(gone));
}

Status ShardOutput::write(uint64_t begin, uint64_t end, const std::function<Status(std::string_view)>& each) const {
  const uint64_t in_file = spilled_.size();
  if (begin < std::min(end, in_file)) {
    if (Status status = spilled_.read(begin, std::min(end, in_file) - begin, each); !status) return status;
    begin = in_file;
  }
  auto full = std::upper_bound(full_.begin(), full_.end(), begin,
                               [](uint64_t position, const Sealed& sealed) { return position < sealed.end; });
  for (; begin < end; ++full) {
    const bool last = full == full_.end();
    const std::string_view text = last ? bytes : full->text;
    const uint64_t start = last ? sealed_ : full->end - text.size();
    const uint64_t stop = std::min(end, start + text.size());
    if (Status status = each(text.substr(static_cast<size_t>(begin - start), static_cast<size_t>(stop - begin)));
        !status)
      return status;
    begin = stop;
    if (last) break;
  }
  return {};
}

Status write_in_order(std::span<std::unique_ptr<ShardOutput>> outputs,
                      const std::function<Status(std::string_view)>& write) {
  if (outputs.size() == 1) return outputs[0]->write(0, outputs[0]->size(), write);
  std::vector<size_t> next(outputs.size(), 0);
  for (;;) {
    size_t best = outputs.size();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (next[i] == outputs[i]->marks.size()) continue;
      if (best == outputs.size() || outputs[i]->marks[next[i]].position < outputs[best]->marks[next[best]].position)
        best = i;
    }
    if (best == outputs.size()) return {};
    const auto& marks = outputs[best]->marks;
    const uint64_t begin = next[best] == 0 ? 0 : marks[next[best] - 1].end;
    if (Status written = outputs[best]->write(begin, marks[next[best]].end, write); !written) return written;
    ++next[best];
  }
}

void append_in_order(std::span<std::unique_ptr<ShardOutput>> outputs, std::string& out) {
  (void)write_in_order(outputs, [&](std::string_view piece) -> Status {
    out.append(piece);
    return {};
  });
}

}  // namespace vitrine
