#include "capture/tls/record_cipher.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace vitrine::tls {

struct RecordCipher::State {
  EVP_CIPHER_CTX* context = nullptr;
  EVP_CIPHER* cipher = nullptr;
  BulkShape sizes{};
  std::array<uint8_t, 12> iv{};
  std::vector<uint8_t> mac_key;
  Hash mac = Hash::none;
  bool tls13 = false;
  bool encrypt_then_mac = false;
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    EVP_CIPHER_CTX_free(context);
    EVP_CIPHER_free(cipher);
  }
};

RecordCipher::RecordCipher(std::unique_ptr<State> state) : state_(std::move(state)) {}
RecordCipher::~RecordCipher() = default;

std::unique_ptr<RecordCipher> RecordCipher::make(const CipherSuite& suite, const TrafficKey& key, bool tls13,
                                                 bool encrypt_then_mac) {
  auto state = std::make_unique<State>();
  State& s = *state;
  s.sizes = shape(suite.bulk);
  s.mac = suite.mac;
  s.mac_key = key.mac_key;
  s.tls13 = tls13;
  s.encrypt_then_mac = encrypt_then_mac;
  if (s.sizes.mode == Mode::none) return nullptr;
  if (s.sizes.mode != Mode::null) {
    if (key.key.size() != s.sizes.key || key.iv.size() > s.iv.size()) return nullptr;
    std::copy(key.iv.begin(), key.iv.end(), s.iv.begin());
    s.cipher = EVP_CIPHER_fetch(nullptr, s.sizes.evp_name, nullptr);
    s.context = EVP_CIPHER_CTX_new();
    if (s.cipher == nullptr || s.context == nullptr) return nullptr;
    if (EVP_DecryptInit_ex(s.context, s.cipher, nullptr, nullptr, nullptr) != 1) return nullptr;
    if (s.sizes.mode != Mode::cbc && EVP_CIPHER_CTX_ctrl(s.context, EVP_CTRL_AEAD_SET_IVLEN, 12, nullptr) != 1)
      return nullptr;
    // CCM needs its tag length before the key.
    if (s.sizes.mode == Mode::ccm && EVP_CIPHER_CTX_ctrl(s.context, EVP_CTRL_AEAD_SET_TAG, s.sizes.tag, nullptr) != 1)
      return nullptr;
    if (EVP_DecryptInit_ex(s.context, nullptr, nullptr, key.key.data(), nullptr) != 1) return nullptr;
    if (s.sizes.mode == Mode::cbc) EVP_CIPHER_CTX_set_padding(s.context, 0);
  }
  return std::unique_ptr<RecordCipher>(new RecordCipher(std::move(state)));
}

bool RecordCipher::open(Bytes record, uint64_t sequence, std::vector<uint8_t>& buffer, Opened& out) {
  if (record.size() < kHeaderSize || record.size() > kHeaderSize + kMaxCiphertext12) return false;
  if (buffer.size() < kMaxCiphertext12 + 64) buffer.resize(kMaxCiphertext12 + 64);
  switch (state_->sizes.mode) {
    case Mode::aead:
    case Mode::ccm: return open_aead(record, sequence, buffer, out);
    case Mode::cbc: return open_cbc(record, sequence, buffer, out);
    case Mode::null: {
      const Bytes fragment = record.subspan(kHeaderSize);
      const size_t mac = hash_size(state_->mac);
      if (fragment.size() < mac) return false;
      const Bytes content = fragment.first(fragment.size() - mac);
      if (!mac_matches(record, sequence, content, fragment.last(mac))) return false;
      std::copy(content.begin(), content.end(), buffer.begin());
      out = {record[0], Bytes(buffer).first(content.size())};
      return true;
    }
    case Mode::none: break;
  }
  return false;
}

bool RecordCipher::open_aead(Bytes record, uint64_t sequence, std::vector<uint8_t>& buffer, Opened& out) {
  State& s = *state_;
  const Bytes fragment = record.subspan(kHeaderSize);
  const size_t explicit_nonce = s.tls13 ? 0 : s.sizes.explicit_nonce;
  if (fragment.size() < explicit_nonce + s.sizes.tag + (s.tls13 ? 1u : 0u)) return false;
  const Bytes sealed = fragment.subspan(explicit_nonce, fragment.size() - explicit_nonce - s.sizes.tag);
  const Bytes tag = fragment.last(s.sizes.tag);

  std::array<uint8_t, 12> nonce = s.iv;
  if (explicit_nonce != 0) {
    std::copy(fragment.begin(), fragment.begin() + 8, nonce.begin() + 4);
  } else {
    for (size_t i = 0; i < 8; ++i) nonce[4 + i] ^= static_cast<uint8_t>(sequence >> (56 - 8 * i));
  }
  // TLS 1.3 authenticates the header as sent, TLS 1.2 sequence, type, version
  // and the length of the plaintext.
  std::array<uint8_t, 13> aad{};
  Bytes additional = record.first(kHeaderSize);
  if (!s.tls13) {
    for (size_t i = 0; i < 8; ++i) aad[i] = static_cast<uint8_t>(sequence >> (56 - 8 * i));
    std::copy(record.begin(), record.begin() + 3, aad.begin() + 8);
    aad[11] = static_cast<uint8_t>(sealed.size() >> 8);
    aad[12] = static_cast<uint8_t>(sealed.size());
    additional = aad;
  }

  int written = 0;
  uint8_t empty = 0;
  const uint8_t* input = sealed.empty() ? &empty : sealed.data();
  const int length = static_cast<int>(sealed.size());
  if (EVP_DecryptInit_ex(s.context, nullptr, nullptr, nullptr, nonce.data()) != 1) return false;
  if (EVP_CIPHER_CTX_ctrl(s.context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()),
                          const_cast<uint8_t*>(tag.data())) != 1)
    return false;
  if (s.sizes.mode == Mode::ccm && EVP_DecryptUpdate(s.context, nullptr, &written, nullptr, length) != 1) return false;
  if (EVP_DecryptUpdate(s.context, nullptr, &written, additional.data(), static_cast<int>(additional.size())) != 1)
    return false;
  if (EVP_DecryptUpdate(s.context, buffer.data(), &written, input, length) != 1) return false;
  if (s.sizes.mode == Mode::aead) {
    int final_written = 0;
    if (EVP_DecryptFinal_ex(s.context, buffer.data() + written, &final_written) != 1) return false;
  }

  Bytes content = Bytes(buffer).first(sealed.size());
  if (!s.tls13) {
    if (content.size() > kMaxPlaintext) return false;
    out = {record[0], content};
    return true;
  }
  // TLSInnerPlaintext: content, type, zeros (RFC 8446, 5.4).
  size_t end = content.size();
  while (end > 0 && content[end - 1] == 0) --end;
  if (end == 0 || end - 1 > kMaxPlaintext) return false;
  out = {content[end - 1], content.first(end - 1)};
  return true;
}

bool RecordCipher::mac_matches(Bytes record, uint64_t sequence, Bytes content, Bytes mac) const {
  std::vector<uint8_t> message;
  message.reserve(13 + content.size());
  for (int shift = 56; shift >= 0; shift -= 8) message.push_back(static_cast<uint8_t>(sequence >> shift));
  message.insert(message.end(), record.begin(), record.begin() + 3);
  message.push_back(static_cast<uint8_t>(content.size() >> 8));
  message.push_back(static_cast<uint8_t>(content.size()));
  message.insert(message.end(), content.begin(), content.end());
  const std::vector<uint8_t> expected = hmac(state_->mac, state_->mac_key, message);
  return expected.size() == mac.size() && std::equal(expected.begin(), expected.end(), mac.begin());
}

bool RecordCipher::open_cbc(Bytes record, uint64_t sequence, std::vector<uint8_t>& buffer, Opened& out) {
  State& s = *state_;
  constexpr size_t kBlock = 16;
  const size_t mac_size = hash_size(s.mac);
  Bytes fragment = record.subspan(kHeaderSize);
  if (s.encrypt_then_mac) {  // RFC 7366: the MAC covers IV and ciphertext
    if (fragment.size() < mac_size) return false;
    const Bytes sealed = fragment.first(fragment.size() - mac_size);
    if (!mac_matches(record, sequence, sealed, fragment.last(mac_size))) return false;
    fragment = sealed;
  }
  if (fragment.size() < 2 * kBlock || fragment.size() % kBlock != 0) return false;
  const Bytes sealed = fragment.subspan(kBlock);
  int written = 0;
  if (EVP_DecryptInit_ex(s.context, nullptr, nullptr, nullptr, fragment.data()) != 1) return false;
  if (EVP_DecryptUpdate(s.context, buffer.data(), &written, sealed.data(), static_cast<int>(sealed.size())) != 1)
    return false;
  const size_t size = static_cast<size_t>(written);
  if (size != sealed.size()) return false;
  const size_t padding = size_t{buffer[size - 1]} + 1;
  const size_t trailer = padding + (s.encrypt_then_mac ? 0 : mac_size);
  if (trailer > size) return false;
  for (size_t i = size - padding; i < size; ++i)
    if (buffer[i] != padding - 1) return false;
  const Bytes content = Bytes(buffer).first(size - trailer);
  if (content.size() > kMaxPlaintext) return false;
  if (!s.encrypt_then_mac && !mac_matches(record, sequence, content, Bytes(buffer).subspan(content.size(), mac_size)))
    return false;
  out = {record[0], content};
  return true;
}

}  // namespace vitrine::tls
