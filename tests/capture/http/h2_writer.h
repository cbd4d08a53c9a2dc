// Writes HTTP/2 frames for tests; header blocks by nghttp2's encoder, so that
// the table state is a real peer's.
#pragma once

#include <nghttp2/nghttp2.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capture/http/http2_frame.h"

namespace vitrine::testing {

using Fields = std::vector<std::pair<std::string, std::string>>;

class H2Writer {  // one direction
 public:
  H2Writer() { nghttp2_hd_deflate_new(&deflater_, 4096); }
  ~H2Writer() { nghttp2_hd_deflate_del(deflater_); }
  H2Writer(const H2Writer&) = delete;
  H2Writer& operator=(const H2Writer&) = delete;

  static std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
    std::string out;
    for (int shift : {16, 8, 0}) out.push_back(static_cast<char>(payload.size() >> shift));
    out.push_back(static_cast<char>(type));
    out.push_back(static_cast<char>(flags));
    for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(stream >> shift));
    return out.append(payload);
  }
  static std::string setting(uint16_t id, uint32_t value) {
    std::string out;
    for (int shift : {8, 0}) out.push_back(static_cast<char>(id >> shift));
    for (int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(value >> shift));
    return out;
  }
  static std::string preface(std::string_view settings = {}) {
    return std::string(kHttp2Preface) + frame(kSettings, 0, 0, settings);
  }
  static std::string data(uint32_t stream, std::string_view body, bool end = false) {
    return frame(kData, end ? kEndStream : 0, stream, body);
  }
  std::string block(const Fields& fields) {
    std::vector<nghttp2_nv> list;
    for (const auto& [name, value] : fields) {
      list.push_back({reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
                      reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    }
    std::string out(nghttp2_hd_deflate_bound(deflater_, list.data(), list.size()), '\0');
    const auto n =
        nghttp2_hd_deflate_hd(deflater_, reinterpret_cast<uint8_t*>(out.data()), out.size(), list.data(), list.size());
    out.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return out;
  }
  std::string headers(uint32_t stream, const Fields& fields, bool end = false) {
    return frame(kHeaders, static_cast<uint8_t>(kEndHeaders | (end ? kEndStream : 0)), stream, block(fields));
  }
  std::string get(uint32_t stream, const std::string& path, const Fields& more = {}) {
    Fields fields = {{":method", "GET"}, {":scheme", "https"}, {":authority", "Aster.test"}, {":path", path}};
    fields.insert(fields.end(), more.begin(), more.end());
    return headers(stream, fields, true);
  }
  nghttp2_hd_deflater* deflater() { return deflater_; }

 private:
  nghttp2_hd_deflater* deflater_ = nullptr;
};

}  // namespace vitrine::testing
