// Nanoseconds per field of classification and of keystroke detection, one core,
// on telemetry of about 22 bytes a field, with the shipped taxonomy and rules.
// Extraction is done before the clock starts. Run in the repository's root (or
// give its path). Prints one JSON object.
#include <chrono>
#include <cstdio>
#include <deque>
#include <string>

#include "audit/classifier.h"
#include "audit/keystroke_detector.h"
#include "capture/fields/field_extractor.h"

namespace {

using namespace vitrine;
using Clock = std::chrono::steady_clock;

std::string telemetry(size_t events) {
  std::string body =
      R"({"user":{"user_unique_id":"7412345678901234567","web_id":"7412345678901234568"},"header":{"device_model":"SM-G991N","os":"android","os_version":"14","language":"ko-KR","timezone":"Asia/Seoul","resolution":"1080x2340","carrier":"SKTelecom","access":"wifi"},"events":[)";
  uint64_t t = 1763899200000;
  for (size_t i = 0; i < events; ++i) {
    if (i != 0) body += ',';
    t += 17 + i % 13;
    body += R"({"event_name":"click","client_ms":)" + std::to_string(t) + R"(,"session":"s)" +
            std::to_string(1000 + i % 7) + R"(","page_id":)" + std::to_string(i % 40) +
            R"(,"visible":true,"element":"btn-send","x":)" + std::to_string(i % 1920) +
            R"(,"referrer":"home","app_ver":"2.5.3","request":"3f2b8c1e-6a4d-4e0f-9b77-0c5d2a1f)" +
            std::to_string(1000 + i % 9000) + "\"}";
  }
  return body + "]}";
}

struct Keep : FieldSink {
  std::deque<std::string> strings;
  std::vector<Field> fields;
  std::string_view keep(std::string_view s) { return strings.emplace_back(s); }
  void field(const Field& f) override {
    fields.push_back(f);
    fields.back().path = keep(f.path);
    fields.back().name = keep(f.name);
    fields.back().value = keep(f.value);
  }
};

struct Count : FieldSink {
  uint64_t fields = 0, typed = 0;
  void field(const Field& f) override {
    ++fields;
    typed += f.type != 0;
  }
};

// Best of `rounds`, in nanoseconds per field.
template <class Sink>
double measure(Sink& sink, const Exchange& exchange, const Part& part, const std::vector<Field>& fields, int rounds) {
  double best = 1e9;
  for (int round = 0; round < rounds; ++round) {
    const auto start = Clock::now();
    sink.begin_part(exchange, part);
    for (const Field& field : fields) sink.field(field);
    sink.end_part(exchange, part);
    const double ns =
        std::chrono::duration<double, std::nano>(Clock::now() - start).count() / static_cast<double>(fields.size());
    best = std::min(best, ns);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string root = argc > 1 ? argv[1] : ".";
  auto taxonomy = Taxonomy::load(root + "/policies/taxonomy.yaml");
  if (!taxonomy) return std::fprintf(stderr, "%s\n", taxonomy.error().to_string().c_str()), 2;
  auto rules = ClientRules::load({root + "/policies/clients"}, *taxonomy);
  if (!rules) return std::fprintf(stderr, "%s\n", rules.error().to_string().c_str()), 2;

  const std::string body = telemetry(2000);
  ConnectionInfo connection;
  Exchange exchange;
  exchange.id = {1, 1};
  exchange.connection = &connection;
  exchange.method = "POST";
  exchange.host = "gator.volces.com";
  exchange.path = "/service/2/app_log";
  exchange.messages[0].content_type = "application/json";
  StreamSpan piece{0, body.size()};
  Part part;
  part.kind = Part::Kind::body;
  part.content = as_bytes(body);
  part.wire_bytes = body.size();
  part.pieces = {&piece, 1};
  Keep kept;
  FieldExtractor extractor(kept);
  extractor.opened(exchange);
  extractor.part(exchange, part);
  extractor.closed(exchange, CloseReason::complete);

  Count count;
  Classifier classifier(*taxonomy, *rules, count);
  const double classify = measure(classifier, exchange, part, kept.fields, 30);
  const uint64_t typed = count.typed / 30;
  Count count2;
  KeystrokeDetector detector(*taxonomy, count2);
  const double detection = measure(detector, exchange, part, kept.fields, 30);
  Count count3;
  KeystrokeDetector last(*taxonomy, count3);
  Classifier chain(*taxonomy, *rules, last);
  const double both = measure(chain, exchange, part, kept.fields, 30);
  std::vector<Field> uncached = kept.fields;
  for (Field& field : uncached) field.pattern = 0;
  Count count4;
  Classifier cold(*taxonomy, *rules, count4);
  const double without = measure(cold, exchange, part, uncached, 3);
  std::printf(
      "{\"fields\":%zu,\"typed\":%llu,\"classify_ns_per_field\":%.1f,\"keystroke_ns_per_field\":%.1f,"
      "\"classify_and_keystroke_ns_per_field\":%.1f,\"classify_without_pattern_cache_ns_per_field\":%.1f}\n",
      kept.fields.size(), static_cast<unsigned long long>(typed), classify, detection, both, without);
  return 0;
}
