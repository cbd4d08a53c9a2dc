// Compressed bytes of every coding: bounded, and the same output, end and
// failing point whatever the cuts. First byte: the coding.
#include <algorithm>
#include <cstdlib>

#include "capture/http/content_coding.h"

namespace {
using namespace vitrine;
struct Outcome {
  std::string out;
  Decompressor::State state = Decompressor::State::more;
  uint64_t accepted = 0;
  bool operator==(const Outcome&) const = default;
};
constexpr uint64_t kBound = 256 << 10;

Outcome decode(Decoder kind, Bytes input, size_t step) {
  Outcome o;
  auto decompressor = Decompressor::create(kind, kBound);
  for (size_t at = 0; at < input.size();) {
    const Bytes piece = input.subspan(at, std::min(step, input.size() - at));
    size_t used = 0;
    o.state = decompressor->feed(piece, o.out, used);
    if (used > piece.size() || o.out.size() > kBound) std::abort();
    at += used;
    if (o.state == Decompressor::State::malformed || o.state == Decompressor::State::bound || used < piece.size())
      break;
  }
  o.accepted = decompressor->accepted();
  if (o.accepted > input.size()) std::abort();
  if (o.state == Decompressor::State::bound) o.accepted = 0;  // read ahead of the output: depends on the cut
  return o;
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  static constexpr Decoder kKinds[] = {Decoder::gzip, Decoder::zlib, Decoder::deflate, Decoder::br, Decoder::zstd};
  const Decoder kind = kKinds[data[0] % 5];
  const Bytes input{data + 1, size - 1};
  const Outcome whole = decode(kind, input, std::max<size_t>(input.size(), 1));
  for (size_t step : {1, 7}) {
    if (!(decode(kind, input, step) == whole)) std::abort();
  }
  std::string quick;
  const bool quickly = inflate_whole(kind, input, kBound, quick);
  if (quickly && quick.size() > kBound) std::abort();
  if (quickly && whole.state == Decompressor::State::done && quick != whole.out) std::abort();
  return 0;
}
