// What a tap costs a server: a chat of 200 streamed tokens, request and answer,
// by how much of the content the log keeps. Bytes are those of the plaintext.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "capture/tap/tap.h"

namespace {

using namespace vitrine;

struct Chat {
  std::string request;
  std::vector<std::string> answer;
  int64_t bytes = 0;
};

Chat make_chat() {
  Chat chat;
  std::string body = R"({"model":"smollm2","stream":true,"temperature":0.7,"messages":[)";
  for (int i = 0; i < 10; ++i) {
    if (i != 0) body += ",";
    body += R"({"role":"user","content":")" + std::string(180, static_cast<char>('a' + i)) + "\"}";
  }
  body += "]}";
  chat.request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: OpenAI/Python 1.40.0\r\n"
      "Authorization: Bearer sk-local\r\nX-Stainless-OS: Linux\r\nX-Stainless-Lang: python\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  chat.answer.push_back("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string event =
      R"(data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795500000,"model":"smollm2","choices":[{"index":0,"delta":{"content":" word"},"finish_reason":null}]})"
      "\n\n";
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", event.size());
  for (int i = 0; i < 200; ++i) chat.answer.push_back(size + event + "\r\n");
  chat.answer.push_back("0\r\n\r\n");
  chat.bytes = static_cast<int64_t>(chat.request.size());
  for (const std::string& piece : chat.answer) chat.bytes += static_cast<int64_t>(piece.size());
  return chat;
}

void tap_chat(benchmark::State& state, bool log, TapContent content) {
  const std::string path = (std::filesystem::temp_directory_path() / "vitrine-tap-bench.ndjson").string();
  std::filesystem::remove(path);
  TapOptions options;
  if (log) options.path = path;
  options.content = content;
  auto tap = Tap::open(std::move(options));
  if (!tap) return state.SkipWithError(tap.error().to_string().c_str());
  const Chat chat = make_chat();
  const auto connection = (*tap)->connection({}, {1});
  int64_t time = 1;
  for (auto _ : state) {
    connection->bytes(Direction::client_to_server, as_bytes(chat.request), {++time});
    for (const std::string& piece : chat.answer)
      connection->bytes(Direction::server_to_client, as_bytes(piece), {++time});
  }
  state.SetBytesProcessed(state.iterations() * chat.bytes);
  state.SetItemsProcessed(state.iterations() * 200);  // tokens
  if ((*tap)->failing()) state.SkipWithError("the log failed");
  (void)(*tap)->close({});
  std::filesystem::remove(path);
}

}  // namespace

BENCHMARK_CAPTURE(tap_chat, without_log, false, TapContent::full);
BENCHMARK_CAPTURE(tap_chat, full, true, TapContent::full);
BENCHMARK_CAPTURE(tap_chat, hash, true, TapContent::hash);
BENCHMARK_CAPTURE(tap_chat, none, true, TapContent::none);
BENCHMARK_MAIN();
