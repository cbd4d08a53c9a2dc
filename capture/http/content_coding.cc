#include "capture/http/content_coding.h"

#include <brotli/decode.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>

#include "base/text.h"

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
  // Fed no more than the decoder asks for (one header or block at a time), so
  // that an error costs one block whatever the input's cuts were.
  Step run(Bytes input, uint8_t* out, size_t room) override {
    Step step;
    if (stream_ == nullptr) return {State::malformed, 0, 0};
    if (refused_) return {State::bound, 0, 0};
    while (step.produced < room) {
      if (between_frames_) {
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
        wanted_ = 1;
        magic_left_ = 4;
        between_frames_ = false;
      }
      // The magic goes byte by byte: that keeps the decoder off its one-pass path,
      // which fails as a whole, and off its readers of old formats. The last byte of
      // a unit goes alone: errors show with it, and a raw block's bytes before it are
      // then delivered however the input was cut.
      size_t give = magic_left_ > 0 ? 1 : std::max<size_t>(wanted_ - 1, 1);
      give = std::min(give, input.size() - step.consumed);
      ZSTD_inBuffer in{input.data() + step.consumed, give, 0};
      ZSTD_outBuffer to{out + step.produced, room - step.produced, 0};
      const size_t result = ZSTD_decompressStream(stream_, &to, &in);
      if (ZSTD_isError(result)) {
        step.consumed += give;
        refused_ = ZSTD_getErrorCode(result) == ZSTD_error_frameParameter_windowTooLarge;
        step.state = refused_ ? State::bound : State::malformed;
        return step;
      }
      step.consumed += in.pos;
      step.produced += to.pos;
      pending_ += in.pos;
      magic_left_ -= std::min(magic_left_, in.pos);
      const bool unit_done = in.pos == wanted_;
      if (unit_done || result == 0) {
        accepted_ += pending_;
        pending_ = 0;
      }
      if (result == 0) {
        between_frames_ = any_frame_ = true;
        continue;
      }
      wanted_ = unit_done ? result : wanted_ - in.pos;
      if (in.pos == 0 && to.pos == 0) return step;
    }
    return step;
  }

  ZSTD_DStream* stream_;
  size_t wanted_ = 1, magic_left_ = 0;
  uint64_t accepted_ = 0, pending_ = 0;
  bool between_frames_ = true, any_frame_ = false;
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
