#include <openssl/rand.h>

#include "base/digest.h"
#include "base/json_tokenizer.h"
#include "base/json_writer.h"
#include "capture/tap/content_filter.h"

namespace vitrine {
namespace {

using Kind = JsonToken::Kind;

// Each value costs a microsecond and forty bytes: a text of millions of them is
// one value, so that no client can keep a server busy with its log.
constexpr size_t kJsonValues = 65'536;
constexpr size_t kPairs = 4096;

}  // namespace

Result<WithheldValues> WithheldValues::with_random_key() {
  std::array<uint8_t, 32> key;
  if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1)
    return fail(ErrorCode::internal, "no random numbers for the key of the log's digests");
  return WithheldValues(key);
}

void WithheldValues::append(std::string& out, WithheldKind kind, std::string_view value) const {
  const Sha256 digest = hmac_sha256(key_, as_bytes(value));
  append_withheld(out, {kind, value.size(), ByteReader(digest).u64()});
}

void WithheldValues::append_content(std::string& out, Bytes content) const {
  append(out, is_valid_utf8(as_text(content)) ? WithheldKind::string : WithheldKind::binary, as_text(content));
}

uint64_t WithheldValues::append_pairs(std::string& out, std::string_view pairs) const {
  uint64_t left_out = 0;
  for (size_t count = 1;; ++count) {
    const size_t end = count < kPairs ? pairs.find('&') : pairs.npos;
    const std::string_view pair = pairs.substr(0, end);
    const size_t equals = count < kPairs ? pair.find('=') : pair.npos;
    // A bare word is a value without a name.
    const std::string_view value = equals == pair.npos ? pair : pair.substr(equals + 1);
    out.append(pair.substr(0, pair.size() - value.size()));
    if (!value.empty()) append(out, WithheldKind::string, value);
    left_out += value.size();
    if (end == pairs.npos) return left_out;
    out.push_back('&');
    pairs.remove_prefix(end + 1);
  }
}

bool WithheldValues::append_json(std::string& out, std::string_view text) const {
  const size_t before = out.size();
  size_t values = 0;
  std::string scratch;
  uint64_t at = 0;    // of the document
  size_t copied = 0;  // of `text`
  for (;;) {
    JsonTokenizer json(text, 512, at);
    JsonToken token;
    bool first = true;
    while (json.next(token)) {
      if (std::exchange(first, false) && token.kind != Kind::begin_object && token.kind != Kind::begin_array) break;
      if (token.kind != Kind::string && token.kind != Kind::number) continue;
      if (token.cut || ++values > kJsonValues) break;
      const bool string = token.kind == Kind::string;
      out.append(text.substr(copied, token.offset - copied)).push_back('"');
      append(out, string ? WithheldKind::string : WithheldKind::number, string ? unescaped(token, scratch) : token.raw);
      out.push_back('"');
      copied = token.offset + token.length;
    }
    if (token.kind != Kind::end) {
      out.resize(before);
      return false;
    }
    at = token.offset;
    if (at >= text.size()) break;
  }
  out.append(text.substr(copied));
  return true;
}

uint64_t WithheldValues::append_url(std::string& out, std::string_view url) const {
  uint64_t left_out = 0;
  if (const size_t scheme = url.find("://"); scheme < url.find_first_of("/?#")) {
    out.append(url.substr(0, scheme + 3));
    url.remove_prefix(scheme + 3);
    const std::string_view authority = url.substr(0, url.find_first_of("/?#"));
    if (const size_t user = authority.rfind('@'); user != authority.npos) {
      append(out, WithheldKind::string, authority.substr(0, user));
      left_out += user;
      url.remove_prefix(user);
    }
  }
  const size_t fragment = std::min(url.find('#'), url.size());
  const size_t query = std::min(url.find('?'), fragment);
  out.append(url.substr(0, query));
  if (query < fragment) {
    out.push_back('?');
    left_out += append_pairs(out, url.substr(query + 1, fragment - query - 1));
  }
  if (fragment < url.size()) {
    out.push_back('#');
    const std::string_view value = url.substr(fragment + 1);
    if (!value.empty()) append(out, WithheldKind::string, value);
    left_out += value.size();
  }
  return left_out;
}

}  // namespace vitrine
