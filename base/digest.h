// Digests and text encodings of bytes, over OpenSSL.
#pragma once

#include <array>
#include <memory>
#include <string>

#include "base/bytes.h"

namespace vitrine {

using Sha256 = std::array<uint8_t, 32>;

Sha256 sha256(Bytes bytes);
Sha256 hmac_sha256(Bytes key, Bytes message);
std::array<uint8_t, 16> md5(Bytes bytes);  // JA3 asks for it; never used as a security measure

// SHA-256 of bytes that come in pieces. Movable, not copyable.
class Sha256Stream {
 public:
  Sha256Stream();
  ~Sha256Stream();
  Sha256Stream(Sha256Stream&&) noexcept;
  Sha256Stream& operator=(Sha256Stream&&) noexcept;
  void update(Bytes bytes);
  Sha256 digest() const;  // of everything so far; update() may follow

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string to_hex(Bytes bytes);
std::string to_base64(Bytes bytes);

}  // namespace vitrine
