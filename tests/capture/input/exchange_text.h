// Exchanges as readable lines, and the proof that every part's content follows
// from the bytes of the input file that its pieces name.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/digest.h"
#include "base/file.h"
#include "base/json_writer.h"
#include "capture/exchange.h"
#include "capture/fields/replay.h"
#include "capture/origin.h"

namespace vitrine {

class ExchangeText : public ExchangeSink {
 public:
  // `file` empty: contents are not replayed.
  explicit ExchangeText(Bytes file) : file_(file) {}

  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) ++connections_open;
    if (event == ConnectionEvent::hello) {
      say("connection " + std::to_string(info.id) + " " + info.server.to_string() + " " + info.protocol +
          (info.tls ? " tls" : ""));
    }
    if (event == ConnectionEvent::closed) --connections_open;
  }
  void opened(const Exchange& exchange) override {
    ++exchanges_open;
    say("open " + exchange.id.to_string() + " " + to_rfc3339(exchange.opened) + " " +
        std::string(to_string(exchange.protocol)) + " " + exchange.method + " " + exchange.url() +
        " host=" + exchange.host + (exchange.initiator.empty() ? "" : " initiator=" + exchange.initiator));
  }
  void part(const Exchange& exchange, const Part& part) override {
    static constexpr const char* kKinds[] = {"headers", "body", "message", "trailers"};
    std::string line = "  ";
    line += part.direction == Direction::client_to_server ? "> " : "< ";
    line += kKinds[static_cast<size_t>(part.kind)];
    if (part.kind == Part::Kind::headers && part.direction == Direction::server_to_client)
      line += " " + std::to_string(exchange.status);
    for (const Decoder decoder : part.decoders) line += " " + std::string(to_string(decoder));
    if (!part.complete) line += " cut:" + std::string(to_string(part.cause));
    if (part.kind == Part::Kind::message) line += (part.text ? " text " : " binary ") + to_rfc3339(part.time);
    say(line);
    if (part.kind == Part::Kind::headers || part.kind == Part::Kind::trailers) {
      for (const HeaderField& field : part.headers)
        say("    " + std::string(field.name) + ": " + std::string(field.value));
      replay_headers(part);
    } else {
      std::string content;
      if (is_valid_utf8(as_text(part.content))) append_json_string(content, as_text(part.content));
      else content = "hex " + to_hex(part.content);
      say("    " + content);
      replay_content(part);
    }
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    --exchanges_open;
    std::string line = "close " + exchange.id.to_string() + " " + std::string(to_string(reason));
    for (const Direction d : {Direction::client_to_server, Direction::server_to_client}) {
      const Message& m = exchange.message(d);
      line += d == Direction::client_to_server ? " >" : " <";
      line += m.complete ? "complete " : m.seen ? "incomplete " : "unseen ";
      line += std::to_string(m.content_bytes) + " " + m.sha256.substr(0, 8);
      for (size_t i = 0; i < kCauses; ++i) {
        if (m.bytes.by_cause[i])
          line += " " + std::string(to_string(static_cast<Cause>(i))) + "=" + std::to_string(m.bytes.by_cause[i]);
      }
      if (!m.content_type.empty()) line += " (" + m.content_type + ")";
    }
    say(line);
  }
  void dns(const ConnectionInfo&, const DnsName& name) override {
    say("dns " + std::string(name.name) + " " + std::string(name.type));
  }
  void resolved(const IpAddress& ip, std::string_view name) override {
    say("resolved " + ip.to_string() + " " + std::string(name));
  }
  void issue(Issue issue) override {
    issues.push_back(issue);
    say("issue " + std::string(to_string(issue.cause)) + " @" + std::to_string(issue.packet) + " " + issue.what);
  }

  std::string text;
  std::vector<Issue> issues;
  int connections_open = 0, exchanges_open = 0;
  size_t replayed = 0;

 private:
  void say(const std::string& line) { text += line + "\n"; }

  std::string pieces_of(const Part& part) {
    std::string out;
    for (const StreamSpan& piece : part.pieces) {
      const auto bytes = slice(file_, piece.offset, piece.length);
      EXPECT_TRUE(bytes) << "a piece lies outside the file";
      if (bytes) out += as_text(*bytes);
    }
    return out;
  }

  void replay_content(const Part& part) {
    if (file_.empty() || part.cause == Cause::unsupported) return;
    // A body put together from parameters has no bytes of its own to replay.
    std::string current = pieces_of(part);
    if (!current.starts_with('"')) return;
    for (const Decoder decoder : part.decoders) {
      const bool event = decoder == Decoder::sse;
      auto out = replay_step(decoder, as_bytes(current), event ? part.within.offset : 0,
                             event ? part.within.length : current.size());
      ASSERT_TRUE(out) << out.error().message;
      current = std::move(*out);
    }
    EXPECT_EQ(current, as_text(part.content));
    ++replayed;
  }

  void replay_headers(const Part& part) {
    if (file_.empty()) return;
    const std::string block = pieces_of(part);
    for (const HeaderField& field : part.headers) {
      const std::string_view lexeme =
          std::string_view(block).substr(std::min<size_t>(field.offset, block.size()), field.length);
      if (lexeme.starts_with("[")) continue;  // cookies without a header
      const auto out = replay_step(part.decoders[0], as_bytes(block), field.offset, field.length);
      ASSERT_TRUE(out) << out.error().message;
      EXPECT_EQ(*out, field.value);
      ++replayed;
    }
  }

  Bytes file_;
};

// Compares with a golden file; VITRINE_UPDATE_GOLDEN=1 writes it instead.
inline void expect_golden(const std::string& path, const std::string& text) {
  if (std::getenv("VITRINE_UPDATE_GOLDEN") != nullptr) {
    ASSERT_TRUE(write_file(path, text));
    return;
  }
  const Result<std::string> expected = read_file(path);
  ASSERT_TRUE(expected) << expected.error().to_string();
  EXPECT_EQ(*expected, text) << "differs from " << path;
}

}  // namespace vitrine
