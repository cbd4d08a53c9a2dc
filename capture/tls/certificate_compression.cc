#include <brotli/decode.h>
#include <zlib.h>
#include <zstd.h>

#include "capture/tls/handshake.h"

namespace vitrine::tls {

bool decompress_certificate(Bytes body, std::vector<uint8_t>& out) {
  enum Algorithm : uint16_t { zlib = 1, brotli = 2, zstd = 3 };
  ByteReader reader(body);
  const uint16_t algorithm = reader.u16();
  const size_t length = reader.u24();
  const Bytes compressed = reader.take(reader.u24());
  if (reader.failed() || length == 0 || length > kMaxHandshakeMessage) return false;
  out.resize(length);
  switch (algorithm) {
    case zlib: {
      uLongf written = length;
      return uncompress(out.data(), &written, compressed.data(), compressed.size()) == Z_OK && written == length;
    }
    case brotli: {
      size_t written = length;
      return BrotliDecoderDecompress(compressed.size(), compressed.data(), &written, out.data()) ==
                 BROTLI_DECODER_RESULT_SUCCESS &&
             written == length;
    }
    case zstd: return ZSTD_decompress(out.data(), length, compressed.data(), compressed.size()) == length;
    default: return false;
  }
}

}  // namespace vitrine::tls
