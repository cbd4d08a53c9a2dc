// Opens protected records of one direction under one key.
#pragma once

#include <memory>
#include <vector>

#include "base/bytes.h"
#include "capture/tls/cipher_suites.h"
#include "capture/tls/key_schedule.h"

namespace vitrine::tls {

// RFC 5246, 6.2.1.
enum ContentType : uint8_t {
  change_cipher_spec = 20,
  alert = 21,
  handshake = 22,
  application_data = 23,
  heartbeat = 24
};

inline constexpr size_t kHeaderSize = 5;
inline constexpr size_t kMaxPlaintext = 1 << 14;
inline constexpr size_t kMaxCiphertext13 = kMaxPlaintext + 256;   // RFC 8446, 5.2
inline constexpr size_t kMaxCiphertext12 = kMaxPlaintext + 2048;  // RFC 5246, 6.2.3

struct Opened {
  uint8_t type = 0;  // of the content (TLS 1.3: the inner type)
  Bytes content;     // in the buffer given to open()
};

// One AEAD, CBC or NULL cipher with its key. The OpenSSL contexts live as long
// as the object and are only re-initialised with a nonce per record.
class RecordCipher {
 public:
  // Null when this OpenSSL does not have the algorithm.
  static std::unique_ptr<RecordCipher> make(const CipherSuite& suite, const TrafficKey& key, bool tls13,
                                            bool encrypt_then_mac);
  ~RecordCipher();

  // `record` is the whole record with its 5-byte header. Writes the plaintext
  // into `buffer` (grown once to the largest record). False: does not open.
  bool open(Bytes record, uint64_t sequence, std::vector<uint8_t>& buffer, Opened& out);

 private:
  struct State;
  explicit RecordCipher(std::unique_ptr<State> state);
  bool open_aead(Bytes record, uint64_t sequence, std::vector<uint8_t>& buffer, Opened& out);
  bool open_cbc(Bytes record, uint64_t sequence, std::vector<uint8_t>& buffer, Opened& out);
  bool mac_matches(Bytes record, uint64_t sequence, Bytes content, Bytes mac) const;
  std::unique_ptr<State> state_;
};

}  // namespace vitrine::tls
