// Arbitrary frames behind an Upgrade: records as in http_script.h; flag bit 3
// negotiates permessage-deflate, bit 4 without context takeover.
#include "http_script.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace vitrine;
  fuzz::Script script = fuzz::read_script({data, size});
  std::string answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n";
  if (script.flags & 8) answer += "Sec-WebSocket-Extensions: permessage-deflate";
  if ((script.flags & 24) == 24) answer += "; client_no_context_takeover; server_no_context_takeover";
  if (script.flags & 8) answer += "\r\n";
  answer += "\r\n";
  const std::string ask = "GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\r\n";
  script.flags = 4;
  const fuzz::Record opening[] = {
      {StreamChunk::Kind::data, Direction::client_to_server, ask.size(), as_bytes(ask)},
      {StreamChunk::Kind::data, Direction::server_to_client, answer.size(), as_bytes(answer)}};
  script.records.insert(script.records.begin(), std::begin(opening), std::end(opening));
  fuzz::check_script(script);
  return 0;
}
