#include "capture/http/body_reader.h"

#include <algorithm>

#include "capture/http/spans.h"

namespace vitrine {
namespace {
constexpr uint64_t kStep = 256 << 10;  // output of one stage taken at a time
constexpr size_t kHeld = 1 << 20;      // compressed bytes that wait for their end
constexpr std::string_view kEmptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
}  // namespace

void BodyReader::release() {
  view_ = {};
  if (buffers_ == nullptr) return;
  buffers_->put(held_);
  buffers_->put(inflated_);
  if (!kept_) return;
  std::string memory = kept_->take_memory();
  buffers_->put(memory);
  kept_.reset();
}

void BodyReader::reset() {
  release();
  decoders_.clear();
  stages_.clear();
  events_.reset();
  unsupported_ = streamed_ = holding_ = false;
  discard_ = cut_ = Cause::decoded;
  cut_issue_ = nullptr;
  wire_ = content_bytes_ = decoded_wire_ = 0;
  pieces_.clear();
  if (pieces_.capacity() > 1024) pieces_.shrink_to_fit();
  hash_.reset();
  digest_.clear();
}

void BodyReader::begin(const HttpLimits& limits, std::vector<Decoder> decoders, SseParser::Sink* events) {
  limits_ = limits;
  decoders_ = std::move(decoders);
  for (Decoder kind : decoders_) {
    Stage stage;
    stage.decompressor = Decompressor::create(kind, 0);
    stages_.push_back(std::move(stage));
  }
  holding_ =
      events == nullptr && decoders_.size() == 1 && (decoders_[0] == Decoder::gzip || decoders_[0] == Decoder::zlib);
  if (events != nullptr) {
    events_.emplace(*events);
    if (limits.digests) hash_.emplace();
  }
}

void BodyReader::add(Bytes bytes, StreamSpan span) {
  wire_ += bytes.size();
  append_span(pieces_, span);
  if (cut_ != Cause::decoded || discard_ != Cause::decoded) return;
  if (stages_.empty()) content(bytes, true);
  else if (!hold(bytes)) decode(0, bytes);
}

void BodyReader::hole(Cause cause) {
  release_held();
  cut(cause, wire_);
}

bool BodyReader::hold(Bytes bytes) {
  if (!holding_) return false;
  if (held_.size() + bytes.size() <= kHeld) {
    if (held_.empty()) held_ = buffers_->get_empty();
    held_.append(as_text(bytes));
    return true;
  }
  release_held();
  return false;
}

void BodyReader::release_held() {
  holding_ = false;
  if (held_.empty()) return;
  decode(0, as_bytes(held_));
  buffers_->put(held_);
}

bool BodyReader::inflate_held() {
  const uint64_t bound = std::min({uint64_t{limits_.body_memory}, uint64_t{limits_.body_bytes},
                                   std::max<uint64_t>(limits_.expansion_floor, wire_ * limits_.expansion)});
  inflated_ = buffers_->get();
  if (!inflate_whole(decoders_[0], as_bytes(held_), bound, inflated_)) {
    buffers_->put(inflated_);
    return false;
  }
  content_bytes_ = inflated_.size();
  view_ = as_bytes(inflated_);
  stages_[0].done = true;
  return true;
}

void BodyReader::decode(size_t index, Bytes bytes) {
  Stage& stage = stages_[index];
  BorrowedBuffer borrowed(*buffers_);
  std::string& out = borrowed.bytes;
  while (cut_ == Cause::decoded) {
    if (stage.done && !bytes.empty() && decoders_[index] != Decoder::gzip && decoders_[index] != Decoder::zstd) {
      cut(Cause::malformed, index == 0 ? stage.decompressor->accepted() : 0,
          "http: bytes behind the end of a content coding");
      return;
    }
    stage.allowed = stage.produced + kStep;
    stage.decompressor->raise_bound(stage.allowed);
    out.clear();
    size_t used = 0;
    const auto state = stage.decompressor->feed(bytes, out, used);
    bytes = bytes.subspan(used);
    stage.produced += out.size();
    if (index + 1 < stages_.size()) {
      const bool over = stage.produced > limits_.body_bytes;
      if (over) out.resize(out.size() - static_cast<size_t>(stage.produced - limits_.body_bytes));
      if (!out.empty()) decode(index + 1, as_bytes(out));
      if (over) cut(Cause::truncated, 0, "http: content exceeds the bound");
    } else {
      content(as_bytes(out), false);
    }
    if (cut_ != Cause::decoded) return;
    if (stage.produced > std::max<uint64_t>(limits_.expansion_floor, wire_ * limits_.expansion)) {
      cut(Cause::truncated, 0, "http: content coding expands beyond the bound");
      return;
    }
    stage.done = state == Decompressor::State::done;
    if (state == Decompressor::State::malformed) {
      cut(Cause::malformed, index == 0 ? stage.decompressor->accepted() : 0, "http: content coding malformed");
      return;
    }
    if (state == Decompressor::State::bound) {
      // Not our step but the decoder's own refusal (zstd window) makes no progress.
      if (out.empty() && used == 0) cut(Cause::truncated, 0, "http: content coding needs more memory than the bound");
      continue;
    }
    if (state == Decompressor::State::done && !bytes.empty()) {
      cut(Cause::malformed, index == 0 ? stage.decompressor->accepted() : 0,
          "http: bytes behind the end of a content coding");
    }
    return;
  }
}

void BodyReader::content(Bytes bytes, bool borrowed) {
  const uint64_t room = limits_.body_bytes - content_bytes_;
  if (bytes.size() > room) {
    const uint64_t good = stages_.empty() ? wire_ - bytes.size() + room : 0;
    bytes = bytes.first(static_cast<size_t>(room));
    cut(Cause::truncated, good, "http: content exceeds the bound");
  }
  if (bytes.empty()) return;
  content_bytes_ += bytes.size();
  if (hash_) hash_->update(bytes);
  if (events_) events_->feed(bytes);
  if (streamed_) {
    if (kept_) kept_.reset();
    view_ = {};
    return;
  }
  if (borrowed && view_.empty() && !kept_) {
    view_ = bytes;
    return;
  }
  keep_views();
  if (!keep(bytes))
    cut(Cause::truncated, stages_.empty() ? wire_ - bytes.size() : 0, "http: cannot write the spill file");
}

void BodyReader::keep_views() {
  if (view_.empty()) return;
  const Bytes view = view_;
  view_ = {};
  if (!keep(view)) cut(Cause::truncated, 0, "http: cannot write the spill file");
}

bool BodyReader::keep(Bytes bytes) {
  if (!kept_) kept_.emplace(static_cast<size_t>(limits_.body_memory), buffers_->get_empty());
  return kept_->append(bytes).has_value();
}

void BodyReader::cut(Cause cause, uint64_t decoded_wire, const char* issue) {
  if (cut_ != Cause::decoded) return;
  cut_ = cause;
  decoded_wire_ = decoded_wire;
  cut_issue_ = issue;
}

BodyReader::Outcome BodyReader::finish(bool complete) {
  Outcome out;
  if (events_) events_->finish();
  if (!held_.empty() && !inflate_held()) release_held();
  out.streamed = streamed_;
  if (discard_ != Cause::decoded) {
    out.bytes.add(discard_, wire_);
    out.cause = discard_;
    out.streamed = true;
    return out;
  }
  if (cut_ == Cause::decoded && complete && wire_ > 0 && !stages_.empty()) {
    for (const Stage& stage : stages_) {
      if (!stage.done && cut_ == Cause::decoded) cut(Cause::malformed, wire_, "http: content coding ends early");
    }
  }
  if (unsupported_) {
    out.bytes.add(Cause::unsupported, wire_);
    out.cause = Cause::unsupported;
  } else if (cut_ == Cause::decoded) {
    out.bytes.add(Cause::decoded, wire_);
  } else {
    out.bytes.add(Cause::decoded, decoded_wire_);
    out.bytes.add(cut_, wire_ - decoded_wire_);
    out.cause = cut_;
    out.issue = cut_issue_;
  }
  if (events_ && streamed_) {
    if (hash_) digest_ = to_hex(hash_->digest());
    return out;
  }
  out.content = !view_.empty() ? view_ : kept_ ? kept_->view() : Bytes{};
  if (!limits_.digests) return out;
  if (out.content.empty()) digest_ = kEmptySha256;
  else digest_ = to_hex(vitrine::sha256(out.content));
  return out;
}

}  // namespace vitrine
