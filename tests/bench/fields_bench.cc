// Fields per second of the JSON tokenizer, the extractor and the NDJSON writer,
// one core, on telemetry of at most 25 bytes a field. Prints one JSON object.
#include <ctime>

#include <cstdio>
#include <cstdlib>

#include "base/json_tokenizer.h"
#include "capture/fields/field_extractor.h"
#include "capture/fields/field_json.h"

namespace {

using namespace vitrine;
// CPU time of this thread: other work on the machine must not count.
struct Clock {
  static double now() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  }
};

double seconds_since(double start) { return Clock::now() - start; }

// One telemetry batch as analytics clients send it, about 22 bytes a field.
std::string telemetry(size_t events) {
  std::string body = R"({"device":{"model":"A-5","os":"14","lang":"en"},"events":[)";
  uint64_t t = 1690000000000;
  for (size_t i = 0; i < events; ++i) {
    if (i != 0) body += ',';
    t += 17 + i % 13;
    body += R"({"event_name":"click","client_ms":)" + std::to_string(t) + R"(,"session":"s)" +
            std::to_string(1000 + i % 7) + R"(","page_id":)" + std::to_string(i % 40) +
            R"(,"visible":true,"element":"btn-send","x":)" + std::to_string(i % 1920) +
            R"(,"referrer":"home","app_ver":"2.5.3"})";
  }
  return body + "]}";
}

std::string long_strings(size_t count) {
  std::string body = "[";
  for (size_t i = 0; i < count; ++i)
    body += (i == 0 ? "\"" : ",\"") + std::string(400, static_cast<char>('a' + i % 26)) + "\"";
  return body + "]";
}

struct Count : FieldSink {
  uint64_t fields = 0, bytes = 0;
  void field(const Field& f) override {
    ++fields;
    bytes += f.value.size();
  }
};

struct Write : FieldSink {
  FieldJsonWriter writer;
  std::string out;
  uint64_t fields = 0, bytes = 0;
  void field(const Field& f) override {
    ++fields;
    writer.append(out, f, "behaviour.ui-event");
    if (out.size() > 1 << 20) {
      bytes += out.size();
      out.clear();
    }
  }
};

double tokenizer_rate(const std::string& text, int rounds) {
  uint64_t tokens = 0;
  const auto start = Clock::now();
  for (int i = 0; i < rounds; ++i) {
    JsonTokenizer json(text);
    JsonToken token;
    while (json.next(token)) ++tokens;
  }
  const double seconds = seconds_since(start);
  if (tokens == 0) std::abort();
  return static_cast<double>(text.size()) * rounds / seconds / 1e6;
}

template <class Sink>
double extract_rate(const std::string& body, int exchanges, Sink& sink) {
  FieldExtractor extractor(sink);
  ConnectionInfo info;
  info.id = 1;
  info.client = {IpAddress::parse("192.0.2.1"), 40000};
  info.server = {IpAddress::parse("203.0.113.9"), 443};
  const auto start = Clock::now();
  for (int i = 0; i < exchanges; ++i) {
    Exchange exchange;
    exchange.id = {1, static_cast<uint32_t>(i + 1)};
    exchange.connection = &info;
    exchange.method = "POST";
    exchange.path = "/collect";
    exchange.host = "events.aster.test";
    exchange.message(Direction::client_to_server).content_type = "application/json";
    const StreamSpan span{0, body.size()};
    Part part;
    part.kind = Part::Kind::body;
    part.content = as_bytes(body);
    part.pieces = {&span, 1};
    part.wire_bytes = body.size();
    extractor.opened(exchange);
    extractor.part(exchange, part);
    extractor.closed(exchange, CloseReason::complete);
  }
  return seconds_since(start);
}

}  // namespace

int main() {
  const std::string body = telemetry(60);
  const int exchanges = 8000;
  Count count;
  const double extract = extract_rate(body, exchanges, count);
  Write write;
  const double written = extract_rate(body, exchanges, write);
  const double bytes = static_cast<double>(body.size()) * exchanges;
  std::printf(
      "{\"tokenizer_short_mb_s\":%.0f,\"tokenizer_long_mb_s\":%.0f,\"bytes_per_field\":%.1f,"
      "\"extract_fields_s\":%.0f,\"extract_mb_s\":%.0f,\"extract_and_write_fields_s\":%.0f,\"write_only_lines_s\":%.0f,"
      "\"line_bytes\":%.0f}\n",
      tokenizer_rate(body, 20000), tokenizer_rate(long_strings(1000), 1000), bytes / static_cast<double>(count.fields),
      static_cast<double>(count.fields) / extract, bytes / extract / 1e6, static_cast<double>(write.fields) / written,
      static_cast<double>(write.fields) / std::max(1e-9, written - extract),
      static_cast<double>(write.bytes) / static_cast<double>(write.fields));
}
