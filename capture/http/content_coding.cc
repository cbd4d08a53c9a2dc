#include "capture/http/content_coding.h"

#include <brotli/decode.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <vector>

#include "base/text.h"
#include "capture/http/zstd_frame.h"

namespace vitrine {
namespace {

using State = Decompressor::State;

constexpr size_t kOutputStep = 64 << 10;  // `out` grows by this much at a time
constexpr int kZstdWindowLog = 23;        // 8 MiB, what RFC 9659 asks of HTTP senders

// What the four formats share: output in steps, and a bound on it that is only
// reported when a byte beyond it really exists.
class BoundedDecompressor : public Decompressor {
 public:
  explicit BoundedDecompressor(uint64_t max_output) : max_output_(max_output) {}

  State feed(Bytes input, std::string& out, size_t& consumed) final {
    consumed = 0;
    if (failed_) return State::malformed;
    if (held_ >= 0) {
      if (produced_ >= max_output_) return State::bound;
      out.push_back(static_cast<char>(held_));
      held_ = -1;
      ++produced_;
    }
    for (;;) {
      const bool full = produced_ >= max_output_;
      uint8_t probe = 0;
      const size_t want = std::clamp<size_t>(input.size() * 8, 1024, kOutputStep);
      const size_t room = full ? 1 : static_cast<size_t>(std::min<uint64_t>(want, max_output_ - produced_));
      const size_t before = out.size();
      uint8_t* target = &probe;
      if (!full) {
        out.resize(before + room);
        target = reinterpret_cast<uint8_t*>(out.data()) + before;
      }
      const Step step = run(input.subspan(consumed), target, room);
      consumed += step.consumed;
      if (full) {
        if (step.produced > 0) {
          held_ = probe;
          return State::bound;
        }
      } else {
        out.resize(before + step.produced);
        produced_ += step.produced;
      }
      if (step.state == State::malformed) failed_ = true;
      if (step.state != State::more) return step.state;
      // More output may wait inside the decoder as long as it fills the room.
      if (step.produced < room && (consumed == input.size() || (step.consumed == 0 && step.produced == 0)))
        return State::more;
    }
  }

  void raise_bound(uint64_t max_output) final { max_output_ = std::max(max_output_, max_output); }

 protected:
  struct Step {
    State state = State::more;
    size_t consumed = 0, produced = 0;
  };
  virtual Step run(Bytes input, uint8_t* out, size_t room) = 0;

 private:
  uint64_t max_output_;
  uint64_t produced_ = 0;
  int held_ = -1;  // the byte that proved the bound was passed
  bool failed_ = false;
};

class ZlibDecompressor final : public BoundedDecompressor {
 public:
  ZlibDecompressor(Decoder kind, uint64_t max_output) : BoundedDecompressor(max_output), kind_(kind) {
    if (kind == Decoder::gzip) start(16 + MAX_WBITS);
    if (kind == Decoder::deflate) start(-MAX_WBITS);
  }
  ~ZlibDecompressor() override {
    if (started_) inflateEnd(&stream_);
  }
  uint64_t accepted() const override { return accepted_; }

 private:
  Step run(Bytes input, uint8_t* out, size_t room) override {
    Step step;
    if (!started_) {
      // RFC 9110 8.4.1.2: "deflate" is zlib, but some send raw deflate. The two
      // header bytes decide; they may come one by one.
      while (prefix_size_ < 2 && step.consumed < input.size()) prefix_[prefix_size_++] = input[step.consumed++];
      const bool maybe = prefix_size_ == 0 || ((prefix_[0] & 15) == 8 && prefix_[0] >> 4 <= 7);
      if (maybe && prefix_size_ < 2) return step;
      start(maybe && (prefix_[0] << 8 | prefix_[1]) % 31 == 0 ? MAX_WBITS : -MAX_WBITS);
    }
    if (!started_) return {State::malformed, step.consumed, 0};
    if (prefix_used_ < prefix_size_) {
      const Step head = inflate_some({prefix_ + prefix_used_, prefix_size_ - prefix_used_}, out, room);
      prefix_used_ += head.consumed;
      step.produced = head.produced;
      step.state = head.state;
      if (head.state != State::more || prefix_used_ < prefix_size_) return step;
    }
    if (ended_) {
      // RFC 1952 2.2: members follow each other; anything else is not ours.
      if (kind_ != Decoder::gzip || step.consumed == input.size() || input[step.consumed] != 0x1f) {
        step.state = State::done;
        return step;
      }
      inflateReset(&stream_);
      ended_ = false;
    }
    const Step tail = inflate_some(input.subspan(step.consumed), out + step.produced, room - step.produced);
    step.consumed += tail.consumed;
    step.produced += tail.produced;
    step.state = tail.state;
    if (tail.state == State::done && kind_ == Decoder::gzip && step.consumed < input.size() &&
        input[step.consumed] == 0x1f) {
      step.state = State::more;  // the next run() starts the next member
    }
    return step;
  }

  Step inflate_some(Bytes input, uint8_t* out, size_t room) {
    Step step;
    stream_.next_in = const_cast<uint8_t*>(input.data());
    stream_.avail_in = static_cast<uInt>(std::min<size_t>(input.size(), 1u << 30));
    const uInt given = stream_.avail_in;
    stream_.next_out = out;
    stream_.avail_out = static_cast<uInt>(room);
    const int result = inflate(&stream_, Z_SYNC_FLUSH);
    step.consumed = given - stream_.avail_in;
    step.produced = room - stream_.avail_out;
    accepted_ += step.consumed;
    if (result == Z_STREAM_END) {
      ended_ = true;
      step.state = State::done;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      step.state = State::malformed;
    }
    return step;
  }

  void start(int window_bits) { started_ = inflateInit2(&stream_, window_bits) == Z_OK; }

  Decoder kind_;
  z_stream stream_{};
  bool started_ = false, ended_ = false;
  uint8_t prefix_[2] = {};
  size_t prefix_size_ = 0, prefix_used_ = 0;
  uint64_t accepted_ = 0;
};

class BrotliDecompressor final : public BoundedDecompressor {
 public:
  explicit BrotliDecompressor(uint64_t max_output)
      : BoundedDecompressor(max_output), decoder_(BrotliDecoderCreateInstance(nullptr, nullptr, nullptr)) {}
  ~BrotliDecompressor() override { BrotliDecoderDestroyInstance(decoder_); }
  uint64_t accepted() const override { return accepted_; }

 private:
  // The decoder drops output it has not flushed when it meets an error, so how
  // much of a damaged stream comes out would depend on how it was cut. The
  // input is kept up to a bound, and after an error decoded again byte by byte.
  static constexpr size_t kHistory = 256 << 10;

  Step run(Bytes input, uint8_t* out, size_t room) override {
    Step step;
    if (decoder_ == nullptr) return {State::malformed, 0, 0};
    if (replaying_) return replay(out, room);
    if (BrotliDecoderIsFinished(decoder_)) return {State::done, 0, 0};
    size_t available_in = input.size(), available_out = room;
    const uint8_t* next_in = input.data();
    uint8_t* next_out = out;
    const auto result =
        BrotliDecoderDecompressStream(decoder_, &available_in, &next_in, &available_out, &next_out, nullptr);
    step.consumed = input.size() - available_in;
    step.produced = room - available_out;
    if (result == BROTLI_DECODER_RESULT_ERROR) {
      if (!remember(input)) return {State::malformed, step.consumed, 0};
      BrotliDecoderDestroyInstance(decoder_);
      decoder_ = BrotliDecoderCreateInstance(nullptr, nullptr, nullptr);
      replaying_ = true;
      accepted_ = 0;
      Step again = decoder_ ? replay(out, room) : Step{State::malformed, 0, 0};
      again.consumed = input.size();
      return again;
    }
    remember(input.first(step.consumed));
    accepted_ += step.consumed;
    produced_ += step.produced;
    if (result == BROTLI_DECODER_RESULT_SUCCESS) step.state = State::done;
    return step;
  }

  bool remember(Bytes input) {
    if (forgotten_ || history_.size() + input.size() > kHistory) {
      forgotten_ = true;
      std::string().swap(history_);
      return false;
    }
    history_.append(as_text(input));
    return true;
  }

  // Output the first decoder already gave is skipped; what it lost is delivered.
  Step replay(uint8_t* out, size_t room) {
    Step step;
    uint8_t skipped[4096];
    while (step.produced < room) {
      const uint64_t skip = produced_ - std::min(replayed_, produced_);
      const size_t space =
          skip > 0 ? static_cast<size_t>(std::min<uint64_t>(skip, sizeof skipped)) : room - step.produced;
      const uint8_t* next_in = reinterpret_cast<const uint8_t*>(history_.data()) + accepted_;
      // Output that waits inside goes first: an error with the next byte would drop it.
      const size_t give = accepted_ < history_.size() && !BrotliDecoderHasMoreOutput(decoder_) ? 1 : 0;
      size_t available_in = give, available_out = space;
      uint8_t* next_out = skip > 0 ? skipped : out + step.produced;
      const auto result =
          BrotliDecoderDecompressStream(decoder_, &available_in, &next_in, &available_out, &next_out, nullptr);
      if (result == BROTLI_DECODER_RESULT_ERROR) {
        step.state = State::malformed;
        return step;
      }
      const size_t got = space - available_out;
      if (skip > 0) replayed_ += got;
      else step.produced += got;
      if (available_in < give) {
        ++accepted_;
      } else if (got == 0) {
        step.state = State::malformed;  // the same bytes were an error before
        return step;
      }
    }
    produced_ += step.produced;
    replayed_ = produced_;
    return step;
  }

  BrotliDecoderState* decoder_;
  std::string history_;
  bool forgotten_ = false, replaying_ = false;
  uint64_t accepted_ = 0, produced_ = 0, replayed_ = 0;
};

class ZstdDecompressor final : public BoundedDecompressor {
 public:
  explicit ZstdDecompressor(uint64_t max_output) : BoundedDecompressor(max_output), stream_(ZSTD_createDStream()) {
    if (stream_ == nullptr) return;
    ZSTD_initDStream(stream_);
    ZSTD_DCtx_setParameter(stream_, ZSTD_d_windowLogMax, kZstdWindowLog);
  }
  ~ZstdDecompressor() override { ZSTD_freeDStream(stream_); }
  uint64_t accepted() const override { return accepted_; }

 private:
  using Unit = ZstdFrame::Unit;
  static constexpr uint64_t kMaxBlock = 128 << 10;  // Block_Maximum_Size, RFC 8878 3.1.1.2.4

  // The decoder gets the same pieces whatever the input's cuts were, since what an
  // error costs depends on them: whole units, gathered where they come in parts.
  // Only raw blocks go as they come: their bytes are output at once, and no error
  // can come before their last byte, which goes alone.
  Step run(Bytes input, uint8_t* out, size_t room) override {
    Step step;
    if (stream_ == nullptr) return {State::malformed, 0, 0};
    if (refused_) return {State::bound, 0, 0};
    while (step.produced < room) {
      if (frame_.unit() == Unit::end) {
        if (step.consumed == input.size()) {
          step.state = any_frame_ ? State::done : State::more;
          return step;
        }
        // Frame magics end in 0x28 (RFC 8878 3.1.1) and 0x50..0x5f (3.1.2).
        const uint8_t first = input[step.consumed];
        if (any_frame_ && first != 0x28 && (first & 0xf0) != 0x50) {
          step.state = State::done;
          return step;
        }
        frame_.begin();
        frame_output_ = 0;
      }
      // Output that waits inside goes first: an error with the next piece would drop it.
      const bool drain = output_waits_;
      const bool gather = gathers(input.size() - step.consumed);
      if (gather) step.consumed += take_unit(input.subspan(step.consumed));
      const Bytes at_hand = gather ? Bytes(unit_bytes_).subspan(unit_used_) : input.subspan(step.consumed);
      const Bytes piece = drain ? Bytes() : next_piece(at_hand);
      if (piece.empty() && !drain) return step;
      ZSTD_inBuffer in{piece.data(), piece.size(), 0};
      ZSTD_outBuffer to{out + step.produced, room - step.produced, 0};
      const size_t result = ZSTD_decompressStream(stream_, &to, &in);
      if (ZSTD_isError(result)) {
        refused_ = ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge;
        step.state = refused_ ? State::bound : State::malformed;
        return step;
      }
      if (!gather) step.consumed += in.pos;
      step.produced += to.pos;
      frame_output_ += to.pos;
      output_waits_ = to.pos == to.size;
      unit_used_ += in.pos;
      if (unit_used_ == frame_.size()) {
        accepted_ += unit_used_;
        frame_.advance(unit_bytes_);
        unit_bytes_.clear();
        unit_used_ = 0;
        if (!plausible()) return {State::malformed, step.consumed, step.produced};
      }
      // The decoder says 0 when a frame has been read and all its output was taken.
      const bool frame_done = result == 0;
      if (frame_done != (frame_.unit() == Unit::end)) return {State::malformed, step.consumed, step.produced};
      any_frame_ |= frame_done;
    }
    return step;
  }

  // Whether the unit is collected in unit_bytes_: headers, because they are read
  // here too, and blocks that do not lie whole in the `available` bytes.
  bool gathers(size_t available) const {
    switch (frame_.unit()) {
      case Unit::raw_block:
      case Unit::skipped: return false;
      case Unit::block: return !unit_bytes_.empty() || (unit_used_ == 0 && available < frame_.size());
      default: return true;
    }
  }

  size_t take_unit(Bytes input) {
    const size_t missing = static_cast<size_t>(frame_.size()) - unit_bytes_.size();
    const Bytes part = input.first(std::min(missing, input.size()));
    unit_bytes_.insert(unit_bytes_.end(), part.begin(), part.end());
    return part.size();
  }

  // What of `available`, the unit's bytes that are at hand, the decoder gets now.
  Bytes next_piece(Bytes available) const {
    const uint64_t left = frame_.size() - unit_used_;
    uint64_t give = left;
    switch (frame_.unit()) {
      // Byte by byte: that keeps the decoder off its readers of old formats, and it says at once what is no frame.
      case Unit::magic: give = 1; break;
      case Unit::raw_block: give = left > 1 ? left - 1 : 1; break;
      case Unit::skipped: break;
      default:
        if (available.size() < left) return {};
    }
    return available.first(static_cast<size_t>(std::min<uint64_t>(give, available.size())));
  }

  // Of the unit that comes next, before any of it is given away: no block is longer
  // than the format allows, no raw block than what is left of the frame's content.
  bool plausible() const {
    if (frame_.unit() == Unit::block) return frame_.size() <= kMaxBlock;
    if (frame_.unit() != Unit::raw_block || !frame_.declares_content()) return true;
    return frame_output_ <= frame_.content_size() && frame_.size() <= frame_.content_size() - frame_output_;
  }

  ZSTD_DStream* stream_;
  ZstdFrame frame_;
  std::vector<uint8_t> unit_bytes_;  // of the unit that comes next, where it is gathered: at most kMaxBlock
  uint64_t unit_used_ = 0;           // of the unit, given to the decoder
  uint64_t frame_output_ = 0;        // of this frame
  uint64_t accepted_ = 0;
  bool output_waits_ = false;  // perhaps more, inside the decoder
  bool any_frame_ = false;
  bool refused_ = false;  // the frame's window is larger than we allow
};

}  // namespace

std::unique_ptr<Decompressor> Decompressor::create(Decoder kind, uint64_t max_output) {
  switch (kind) {
    case Decoder::gzip:
    case Decoder::zlib:
    case Decoder::deflate: return std::make_unique<ZlibDecompressor>(kind, max_output);
    case Decoder::br: return std::make_unique<BrotliDecompressor>(max_output);
    case Decoder::zstd: return std::make_unique<ZstdDecompressor>(max_output);
    default: return nullptr;
  }
}

bool content_coding(std::string_view token, Decoder& out) {
  const auto is = [token](std::string_view name) { return equals_ignoring_case(token, name); };
  if (is("gzip") || is("x-gzip")) out = Decoder::gzip;
  else if (is("deflate")) out = Decoder::zlib;
  else if (is("br")) out = Decoder::br;
  else if (is("zstd")) out = Decoder::zstd;
  else return false;
  return true;
}

Inflated decompress(Decoder kind, Bytes input, uint64_t max_output) {
  Inflated result;
  auto decompressor = Decompressor::create(kind, max_output);
  if (!decompressor) {
    result.state = State::malformed;
    return result;
  }
  size_t consumed = 0;
  result.state = decompressor->feed(input, result.bytes, consumed);
  result.complete = result.state == State::done && consumed == input.size();
  return result;
}

bool inflate_whole(Decoder kind, Bytes input, uint64_t max_output, std::string& out) {
  constexpr uint64_t kLeast = 64 << 10, kUsualRatio = 8;
  if (input.size() < 18 || (kind != Decoder::gzip && kind != Decoder::zlib)) return false;
  uint64_t size = std::max<uint64_t>(kLeast, input.size() * kUsualRatio);
  if (kind == Decoder::gzip) {
    constexpr uint8_t kHeaderChecksum = 2;  // FHCRC, which libdeflate does not look at
    if ((input[3] & kHeaderChecksum) != 0) return false;
    const Bytes isize = input.last(4);  // RFC 1952 2.3.1, least significant byte first
    size = isize[0] | uint64_t{isize[1]} << 8 | uint64_t{isize[2]} << 16 | uint64_t{isize[3]} << 24;
    if (size > max_output) return false;
  }
  struct Free {
    void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
  };
  thread_local const std::unique_ptr<libdeflate_decompressor, Free> inflater(libdeflate_alloc_decompressor());
  if (!inflater) return false;
  out.resize(static_cast<size_t>(std::min(size, max_output)));
  size_t used = 0, made = 0;
  const auto inflate_ex = kind == Decoder::gzip ? libdeflate_gzip_decompress_ex : libdeflate_zlib_decompress_ex;
  if (inflate_ex(inflater.get(), input.data(), input.size(), out.data(), out.size(), &used, &made) !=
          LIBDEFLATE_SUCCESS ||
      used != input.size()) {
    return false;
  }
  out.resize(made);
  return true;
}

}  // namespace vitrine
