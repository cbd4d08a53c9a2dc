// Bounded streaming decompression (RFC 1950-1952, 7932, 8878) for content
// codings, compressed values and permessage-deflate.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "capture/origin.h"

namespace vitrine {

class Decompressor {
 public:
  enum class State : uint8_t { more, done, malformed, bound };
  // kind: gzip, zlib, deflate (raw), br, zstd. `gzip` accepts several members;
  // `zlib` is what HTTP calls "deflate" and also accepts raw deflate, as
  // browsers do. Stops with `bound` when output would pass max_output.
  static std::unique_ptr<Decompressor> create(Decoder kind, uint64_t max_output);
  virtual ~Decompressor() = default;
  // Appends output to `out`; `consumed` = input bytes used (all, unless done/malformed/bound).
  virtual State feed(Bytes input, std::string& out, size_t& consumed) = 0;
  // After `bound`: allows more output, so that a caller can drain a large
  // expansion piece by piece; feed() then goes on where it stopped.
  virtual void raise_bound(uint64_t max_output) = 0;
  // Input bytes whose output was delivered for certain: where decoding failed,
  // independent of how the input was cut into feeds.
  virtual uint64_t accepted() const = 0;
};

// Maps an HTTP content-coding token ("gzip", "x-gzip", "deflate", "br",
// "zstd") to its decoder; false for identity-unknown tokens.
bool content_coding(std::string_view token, Decoder& out);

// One-shot: decodes as far as it goes. complete=false when cut or malformed.
struct Inflated {
  std::string bytes;
  bool complete = false;
  Decompressor::State state = Decompressor::State::more;
};
Inflated decompress(Decoder kind, Bytes input, uint64_t max_output);

// The quick way for gzip and zlib ("deflate") content that is whole: one member,
// all of `input`, at most max_output bytes, checksum right. False in every other
// case, and `out` is then undefined: a Decompressor tells what is wrong, or goes
// on where there is more. What a Decompressor decodes to its end, this gives too,
// the same; code tables that are against RFC 1951 but decode it may let pass.
bool inflate_whole(Decoder kind, Bytes input, uint64_t max_output, std::string& out);

}  // namespace vitrine
