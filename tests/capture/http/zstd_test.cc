// Zstandard frames (RFC 8878): their units, and one answer whatever the cuts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "capture/http/content_coding.h"
#include "capture/http/zstd_frame.h"

namespace vitrine::testing {
namespace {

using State = Decompressor::State;
using Unit = ZstdFrame::Unit;

struct Settings {
  bool checksum = false, content_size = true;
};

class Encoder {
 public:
  explicit Encoder(Settings settings) : context_(ZSTD_createCCtx()) {
    ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, settings.checksum);
    ZSTD_CCtx_setParameter(context_, ZSTD_c_contentSizeFlag, settings.content_size);
  }
  ~Encoder() { ZSTD_freeCCtx(context_); }

  std::string whole(std::string_view text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress2(context_, out.data(), out.size(), text.data(), text.size()));
    return out;
  }
  std::string flushed(std::string_view text) {
    std::string out(ZSTD_compressBound(text.size()) + 64, '\0');
    ZSTD_inBuffer in{text.data(), text.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    EXPECT_EQ(ZSTD_compressStream2(context_, &to, &in, ZSTD_e_flush), 0u);
    out.resize(to.pos);
    return out;
  }

 private:
  ZSTD_CCtx* context_;
};

std::string noise(size_t size) {
  std::mt19937 random(7);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}
std::string words(size_t size) {
  std::string out;
  for (int i = 0; out.size() < size; ++i) out += "word " + std::to_string(i * 7919 % 1000) + ", ";
  return out.substr(0, size);
}

std::string block_header(uint32_t type, uint32_t size, bool last) {
  const uint32_t header = size << 3 | type << 1 | (last ? 1 : 0);
  return {static_cast<char>(header), static_cast<char>(header >> 8), static_cast<char>(header >> 16)};
}
std::string raw_block(std::string_view content, bool last = false) {
  return block_header(0, static_cast<uint32_t>(content.size()), last).append(content);
}
std::string rle_block(char byte, uint32_t times, bool last = false) {
  return block_header(1, times, last).append(1, byte);
}
// A single segment that declares 256 <= content <= 65791 bytes.
std::string frame_of(size_t content) {
  const size_t field = content - 256;
  return std::string("\x28\xb5\x2f\xfd\x60", 5) + static_cast<char>(field) + static_cast<char>(field >> 8);
}

struct Fed {
  std::string out;
  State state = State::more;
  uint64_t accepted = 0;
  bool operator==(const Fed&) const = default;
};
Fed feed(std::string_view input, size_t step) {
  Fed fed;
  auto d = Decompressor::create(Decoder::zstd, 1 << 24);
  for (size_t at = 0; at < input.size();) {
    size_t used = 0;
    const std::string_view piece = input.substr(at, step);
    fed.state = d->feed(as_bytes(piece), fed.out, used);
    at += used;
    if (used < piece.size() || fed.state == State::malformed || fed.state == State::bound) break;
  }
  fed.accepted = d->accepted();
  return fed;
}

// The units of one frame; the frame must end where `bytes` do.
std::vector<Unit> units_of(std::string_view bytes, ZstdFrame& frame) {
  std::vector<Unit> units;
  for (frame.begin(); frame.unit() != Unit::end;) {
    EXPECT_LE(frame.size(), bytes.size());
    if (frame.size() > bytes.size()) break;
    units.push_back(frame.unit());
    const size_t size = static_cast<size_t>(frame.size());
    frame.advance(as_bytes(bytes.substr(0, size)));
    bytes.remove_prefix(size);
  }
  EXPECT_EQ(bytes.size(), 0u);
  return units;
}

TEST(ZstdFrame, EndsWhereTheEncodersFrameEnds) {
  for (const bool checksum : {false, true}) {
    for (const bool content_size : {false, true}) {
      for (const size_t size : {0, 1, 255, 256, 257, 65791, 65792, 300'000}) {
        for (const std::string& text : {words(size), noise(size), std::string(size, 'a')}) {
          SCOPED_TRACE(::testing::Message() << size << " checksum " << checksum << " content size " << content_size);
          const std::string packed = Encoder({checksum, content_size}).whole(text);
          ZstdFrame frame;
          const std::vector<Unit> units = units_of(packed, frame);
          EXPECT_EQ(std::count(units.begin(), units.end(), Unit::checksum), checksum ? 1 : 0);
          EXPECT_EQ(frame.declares_content(), content_size);
          if (content_size) {
            EXPECT_EQ(frame.content_size(), size);
          }
        }
      }
    }
  }
}

TEST(ZstdFrame, NamesEveryUnit) {
  ZstdFrame frame;
  const std::string blocks = raw_block("abc") + rle_block('x', 253, true);
  EXPECT_THAT(units_of(frame_of(256) + blocks, frame),
              ::testing::ElementsAre(Unit::magic, Unit::descriptor, Unit::header, Unit::block_header, Unit::raw_block,
                                     Unit::block_header, Unit::block));
  EXPECT_THAT(units_of(std::string("\x5f\x2a\x4d\x18\x03\0\0\0abc", 11), frame),
              ::testing::ElementsAre(Unit::magic, Unit::skip_size, Unit::skipped));
  EXPECT_THAT(units_of(std::string("\x50\x2a\x4d\x18\0\0\0\0", 8), frame),
              ::testing::ElementsAre(Unit::magic, Unit::skip_size));
  // A dictionary id of 4 bytes, 8 bytes of content size, no block but an empty one.
  const std::string long_header("\x28\xb5\x2f\xfd\xc3\x58\1\2\3\4\0\0\0\0\1\0\0\0\1\0\0", 21);
  EXPECT_THAT(units_of(long_header, frame),
              ::testing::ElementsAre(Unit::magic, Unit::descriptor, Unit::header, Unit::block_header));
  EXPECT_EQ(frame.content_size(), uint64_t{1} << 32);
}

TEST(Zstd, ABlockBeyondTheDeclaredContentGivesOneAnswer) {
  const std::string first(160, 'a'), second(200, 'b');
  for (const bool last : {false, true}) {
    const std::string input = frame_of(256) + raw_block(first) + raw_block(second, last);
    const Fed whole = feed(input, input.size());
    EXPECT_EQ(whole.state, State::malformed);
    EXPECT_EQ(whole.out, first);
    EXPECT_EQ(whole.accepted, frame_of(256).size() + raw_block(first).size() + 3);
    for (size_t step = 1; step < input.size(); ++step) EXPECT_EQ(feed(input, step), whole) << step;
  }
}

// The decoder drops output that still waits inside it when the next piece is an error.
TEST(Zstd, OutputBeforeAnErrorIsGivenWhole) {
  const std::string input = frame_of(60'000) + rle_block('x', 20'000) + raw_block("y").substr(0, 2) + "\x7f";
  for (size_t step = 1; step <= input.size(); ++step) {
    const Fed fed = feed(input, step);
    EXPECT_EQ(fed.state, State::malformed);
    EXPECT_EQ(fed.out.size(), 20'000u) << step;
  }
}

TEST(Zstd, EveryDamagedByteGivesOneAnswer) {
  const std::string empty_frame = Encoder({}).whole("");
  const std::string skippable("\x51\x2a\x4d\x18\x05\0\0\0?????", 13);
  const std::string frames[] = {
      frame_of(256) + raw_block(noise(40)) + rle_block('x', 216, true),
      frame_of(300) + rle_block('x', 100) + raw_block(noise(200), true),
      frame_of(5000) + rle_block('x', 2500) + rle_block('y', 2460) + raw_block(noise(40), true),
      Encoder({true, true}).whole(words(400)) + skippable + Encoder({false, false}).whole(words(100)) + empty_frame,
      skippable + Encoder({true, true}).whole(noise(100)),
  };
  for (const std::string& good : frames) {
    ASSERT_EQ(feed(good, 1).state, State::done);
    for (size_t at = 0; at < good.size(); ++at) {
      for (const int flip : {0x01, 0x04, 0x80, 0xff}) {
        std::string damaged = good;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        const Fed whole = feed(damaged, damaged.size());
        for (const size_t step : {1, 7, 50}) {
          ASSERT_EQ(feed(damaged, step), whole) << "byte " << at << " of " << good.size() << " ^ " << flip << " step "
                                                << step << ": " << whole.out.size() << " bytes whole";
        }
      }
    }
  }
}

// An event stream flushes after each event: what a flush wrote is read with its
// last byte, not only when the next block begins.
TEST(Zstd, WhatWasFlushedIsReadAtOnce) {
  Encoder encoder({});
  auto d = Decompressor::create(Decoder::zstd, 1 << 24);
  std::string out, sent;
  for (const std::string& event : {std::string("data: one\n\n"), words(5000), noise(200), std::string(3000, '-')}) {
    sent += event;
    for (const char byte : encoder.flushed(event)) {
      size_t used = 0;
      ASSERT_EQ(d->feed(as_bytes({&byte, 1}), out, used), State::more);
      ASSERT_EQ(used, 1u);
    }
    EXPECT_EQ(out, sent);
  }
}

TEST(Zstd, TheBeginningOfACutRawBlockIsRead) {
  const std::string content = noise(1000);
  const std::string input = frame_of(1000) + raw_block(content, true);
  for (const size_t step : {input.size(), size_t{1}, size_t{13}}) {
    const Fed fed = feed(input.substr(0, input.size() - 400), step);
    EXPECT_EQ(fed.state, State::more);
    EXPECT_EQ(fed.out, content.substr(0, 600)) << step;
  }
}

// The caller of a bounded decoder may drain it without new input.
TEST(Zstd, GoesOnWhereTheBoundStoppedIt) {
  const std::string text = words(100'000);
  const std::string packed = Encoder({true, true}).whole(text);
  for (const size_t step : {packed.size(), size_t{100}, size_t{1}}) {
    auto d = Decompressor::create(Decoder::zstd, 1);
    std::string out;
    State state = State::more;
    uint64_t bound = 1;
    for (size_t at = 0; at < packed.size();) {
      size_t used = 0;
      state = d->feed(as_bytes(std::string_view(packed).substr(at, step)), out, used);
      at += used;
      while (state == State::bound && bound < 2 * text.size()) {
        EXPECT_EQ(out.size(), bound);
        d->raise_bound(bound += 777);
        state = d->feed({}, out, used);
        EXPECT_EQ(used, 0u);
      }
      ASSERT_NE(state, State::malformed);
    }
    EXPECT_EQ(state, State::done);
    EXPECT_TRUE(out == text) << step;
    EXPECT_EQ(d->accepted(), packed.size());
  }
}

TEST(Zstd, GarbageIsSaidWithItsFirstByte) {
  EXPECT_EQ(feed("{", 1).state, State::malformed);
  EXPECT_EQ(feed("\x28\xb5\x2f\xfc", 4).state, State::malformed);
  EXPECT_EQ(feed("\x27\xb5\x2f\xfd", 4).state, State::malformed) << "the format before 0.8";
}

}  // namespace
}  // namespace vitrine::testing
