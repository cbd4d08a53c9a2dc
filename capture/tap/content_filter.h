// Leaves out of exchanges what a log of `--tap-content hash` or `none` does not
// keep, and books its bytes as withheld. What stands for a value: capture/withheld.h.
//
// Left out in both modes: the values of a query (names stay), in the target and
// in headers that hold URLs; user information of an authority; the values of
// headers that authenticate (is_credential_header); plain digests of bodies.
// Headers else, cookies and paths stay.
// none: every body and message is one value. hash: a JSON text keeps its
// structure, its names, true, false and null; a form keeps its names; each other
// value, and any other content, is one value.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "capture/exchange.h"
#include "capture/withheld.h"

namespace vitrine {

// Case does not matter: authorization, cookies excepted; docs/exchange-log.md lists them.
bool is_credential_header(std::string_view name);

// Makes what stands for values. The key is random, lives in this object only
// and is never written: nobody can try values against a log's digests later.
class WithheldValues {
 public:
  static Result<WithheldValues> with_random_key();
  explicit WithheldValues(const std::array<uint8_t, 32>& key) : key_(key) {}
  void append(std::string& out, WithheldKind kind, std::string_view value) const;
  // Text or binary, by what it is.
  void append_content(std::string& out, Bytes content) const;
  // name=value&…: the names, with what stands for each value; one value for all
  // that follows the 4,095th. Gives the bytes left out.
  uint64_t append_pairs(std::string& out, std::string_view pairs) const;
  // A JSON text or several. False, and `out` as it was, when it is not one from
  // its first byte to its last, or has more than 65,536 values.
  bool append_json(std::string& out, std::string_view text) const;
  // A URL or a request target. Gives the bytes left out.
  uint64_t append_url(std::string& out, std::string_view url) const;

 private:
  std::array<uint8_t, 32> key_;
};

class ContentFilter : public ExchangeSink {
 public:
  ContentFilter(ExchangeSink& next, RecordedContent mode, WithheldValues values)
      : next_(next), mode_(mode), values_(values) {}
  void connection(const ConnectionInfo& info, ConnectionEvent event) override { next_.connection(info, event); }
  void opened(const Exchange&) override;
  void part(const Exchange&, const Part&) override;
  void closed(const Exchange&, CloseReason) override;
  void issue(Issue issue) override { next_.issue(std::move(issue)); }

 private:
  struct Open {
    Exchange exchange;                 // as the log is told of it
    uint64_t headers[2] = {0, 0};      // bytes left out of heads
    bool content[2] = {false, false};  // something was left out of the body
  };
  void copy(Open& open, const Exchange& exchange);
  void headers(Open& open, const Exchange& exchange, const Part& part);
  void content(Open& open, const Part& part);

  ExchangeSink& next_;
  const RecordedContent mode_;
  const WithheldValues values_;
  std::map<ExchangeId, Open> open_;
  std::vector<HeaderField> fields_;
  std::deque<std::string> texts_;
  std::string text_;
};

}  // namespace vitrine
