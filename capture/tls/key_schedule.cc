#include "capture/tls/key_schedule.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <iterator>

namespace vitrine::tls {
namespace {

const EVP_MD* digest(Hash hash) {
  switch (hash) {
    case Hash::md5: return EVP_md5();
    case Hash::sha1: return EVP_sha1();
    case Hash::sha256: return EVP_sha256();
    case Hash::sha384: return EVP_sha384();
    case Hash::none: break;
  }
  return nullptr;
}

// Not insert(): GCC 12 warns of an overlap that cannot be.
void append(std::vector<uint8_t>& out, Bytes bytes) { std::copy(bytes.begin(), bytes.end(), std::back_inserter(out)); }

std::vector<uint8_t> cut(const std::vector<uint8_t>& from, size_t offset, size_t length) {
  return {from.begin() + static_cast<std::ptrdiff_t>(offset),
          from.begin() + static_cast<std::ptrdiff_t>(offset + length)};
}

}  // namespace

size_t hash_size(Hash hash) {
  const EVP_MD* md = digest(hash);
  return md == nullptr ? 0 : static_cast<size_t>(EVP_MD_get_size(md));
}

std::vector<uint8_t> hmac(Hash hash, Bytes key, Bytes message) {
  std::vector<uint8_t> out(EVP_MAX_MD_SIZE);
  unsigned length = 0;
  HMAC(digest(hash), key.data(), static_cast<int>(key.size()), message.data(), message.size(), out.data(), &length);
  out.resize(length);
  return out;
}

std::vector<uint8_t> expand_label(Hash hash, Bytes secret, std::string_view label, size_t length) {
  static constexpr std::string_view kPrefix = "tls13 ";
  std::vector<uint8_t> info;
  info.push_back(static_cast<uint8_t>(length >> 8));
  info.push_back(static_cast<uint8_t>(length));
  info.push_back(static_cast<uint8_t>(kPrefix.size() + label.size()));
  append(info, as_bytes(kPrefix));
  append(info, as_bytes(label));
  info.push_back(0);  // no context

  // HKDF-Expand (RFC 5869, 2.3): T(i) = HMAC(secret, T(i-1) | info | i).
  std::vector<uint8_t> out, block;
  for (uint8_t i = 1; out.size() < length; ++i) {
    std::vector<uint8_t> message = block;
    append(message, info);
    message.push_back(i);
    block = hmac(hash, secret, message);
    if (block.empty()) return std::vector<uint8_t>(length);
    append(out, block);
  }
  out.resize(length);
  return out;
}

std::vector<uint8_t> prf(Hash hash, Bytes secret, std::string_view label, Bytes seed, size_t length) {
  std::vector<uint8_t> label_and_seed;
  append(label_and_seed, as_bytes(label));
  append(label_and_seed, seed);
  std::vector<uint8_t> out, a = label_and_seed;
  while (out.size() < length) {
    a = hmac(hash, secret, a);
    if (a.empty()) return std::vector<uint8_t>(length);
    std::vector<uint8_t> message = a;
    append(message, label_and_seed);
    append(out, hmac(hash, secret, message));
  }
  out.resize(length);
  return out;
}

TrafficKey tls13_traffic_key(const CipherSuite& suite, Bytes secret) {
  return {expand_label(suite.prf, secret, "key", shape(suite.bulk).key), expand_label(suite.prf, secret, "iv", 12), {}};
}

std::vector<uint8_t> next_traffic_secret(const CipherSuite& suite, Bytes secret) {
  return expand_label(suite.prf, secret, "traffic upd", hash_size(suite.prf));
}

TrafficKey tls12_traffic_key(const CipherSuite& suite, Bytes master, Bytes client_random, Bytes server_random,
                             bool of_client) {
  const BulkShape& sizes = shape(suite.bulk);
  const size_t mac = hash_size(suite.mac), key = sizes.key, iv = sizes.fixed_iv;
  std::vector<uint8_t> seed;
  append(seed, server_random);
  append(seed, client_random);
  const std::vector<uint8_t> block = prf(suite.prf, master, "key expansion", seed, 2 * (mac + key + iv));
  const size_t side = of_client ? 0 : 1;
  return {cut(block, 2 * mac + side * key, key), cut(block, 2 * (mac + key) + side * iv, iv),
          cut(block, side * mac, mac)};
}

}  // namespace vitrine::tls
