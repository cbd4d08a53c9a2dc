// Everything an ExchangeSink is told, as one string: two readings are the same
// when their stories are.
#pragma once

#include <string>

#include "base/digest.h"
#include "capture/exchange.h"

namespace vitrine::fuzz {

class Story final : public ExchangeSink {
 public:
  std::string text;
  int connections = 0, open = 0;
  size_t exchanges = 0, parts = 0, issues = 0;
  ByteCounts counted[2];

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) ++connections;
    if (event == ConnectionEvent::closed) --connections;
    say("connection " + std::to_string(info.id) + " " + std::to_string(static_cast<int>(event)) + " " +
        info.client.to_string() + " " + info.server.to_string() + " " + info.protocol + " " + info.process + " " +
        info.tls_info.sni + " " + std::to_string(static_cast<int>(info.content)));
  }
  void opened(const Exchange& e) override {
    ++open, ++exchanges;
    say("opened " + e.id.to_string() + " " + e.method + " " + e.url() + " " + e.host + " " + to_rfc3339(e.opened));
  }
  void part(const Exchange& e, const Part& p) override {
    ++parts;
    std::string line = "part " + e.id.to_string() + " " + std::to_string(static_cast<int>(p.kind)) +
                       std::to_string(static_cast<int>(p.direction)) + std::to_string(p.complete) +
                       std::to_string(static_cast<int>(p.cause)) + " " + std::to_string(p.wire_bytes) + " ";
    for (const StreamSpan& s : p.pieces) line += std::to_string(s.offset) + "+" + std::to_string(s.length) + ",";
    for (const HeaderField& f : p.headers) {
      line.append(f.name).append("=").append(f.value).append("@" + std::to_string(f.offset) + ";");
    }
    say(line.append(as_text(p.content)));
  }
  void closed(const Exchange& e, CloseReason reason) override {
    --open;
    std::string line = "closed " + e.id.to_string() + " " + std::string(to_string(reason)) + std::to_string(e.status);
    for (size_t d = 0; d < 2; ++d) {
      counted[d] += e.messages[d].bytes;
      line += " " + e.messages[d].sha256 + " " + std::to_string(e.messages[d].content_bytes);
      for (const uint64_t bytes : e.messages[d].bytes.by_cause) line += "," + std::to_string(bytes);
    }
    say(line);
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override {
    say("dns " + std::to_string(info.id) + " " + std::string(name.name) + " " + std::to_string(name.bytes));
  }
  void resolved(const IpAddress& ip, std::string_view name) override {
    say("resolved " + ip.to_string() + " " + std::string(name));
  }
  void issue(Issue issue) override {
    ++issues;
    say("issue " + issue.what + "@" + std::to_string(issue.packet));
  }

 private:
  void say(const std::string& line) { text += line + "\n"; }
};

}  // namespace vitrine::fuzz
