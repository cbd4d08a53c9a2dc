// The keystroke corpus and the classifier behind the real extractor: paths,
// names and decoders as a capture gives them.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "audit/classifier.h"
#include "audit/keystroke_detector.h"
#include "capture/fields/field_extractor.h"

namespace vitrine {
namespace {

struct Found : FieldSink {
  void field(const Field& f) override {
    if (f.decided_by == "detector:keystroke") {
      paths.emplace_back(f.path);
      observations.emplace_back(to_string(f.observation));
      types.push_back(f.type);
    } else if (f.type != 0) {
      typed.emplace_back(std::string(f.path) + " " + std::string(f.decided_by));
    }
  }
  std::vector<std::string> paths, observations, typed;
  std::vector<TypeId> types;
};

const Taxonomy& taxonomy() {
  static const Taxonomy loaded = *Taxonomy::load(VITRINE_SOURCE_DIR "/policies/taxonomy.yaml");
  return loaded;
}
const ClientRules& rules() {
  static const ClientRules loaded = *ClientRules::load({VITRINE_SOURCE_DIR "/policies/clients"}, taxonomy());
  return loaded;
}

Found extract(const std::string& body, const std::string& content_type) {
  Found found;
  KeystrokeDetector detector(taxonomy(), found);
  Classifier classifier(taxonomy(), rules(), detector);
  FieldExtractor extractor(classifier);
  ConnectionInfo connection;
  connection.id = 1;
  connection.client.ip = IpAddress::parse("203.0.113.7");
  Exchange exchange;
  exchange.id = {1, 1};
  exchange.connection = &connection;
  exchange.method = "POST";
  exchange.scheme = "https";
  exchange.host = exchange.authority = "telemetry.example";
  exchange.path = "/collect";
  exchange.messages[0].seen = true;
  exchange.messages[0].content_type = content_type;
  const StreamSpan piece{0, body.size()};
  Part part;
  part.kind = Part::Kind::body;
  part.content = as_bytes(body);
  part.wire_bytes = body.size();
  part.pieces = {&piece, 1};
  extractor.connection(connection, ExchangeSink::ConnectionEvent::opened);
  extractor.opened(exchange);
  extractor.part(exchange, part);
  extractor.closed(exchange, CloseReason::complete);
  return found;
}

TEST(KeystrokeExtraction, CorpusThroughTheExtractor) {
  std::ifstream manifest(VITRINE_SOURCE_DIR "/tests/golden/keystroke/manifest.tsv");
  size_t files = 0;
  for (std::string line; std::getline(manifest, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t a = line.find('\t'), b = line.find('\t', a + 1);
    const std::string file = line.substr(0, a), expected = line.substr(a + 1, b - a - 1);
    SCOPED_TRACE(line);
    std::ifstream in(VITRINE_SOURCE_DIR "/tests/golden/keystroke/" + file, std::ios::binary);
    std::stringstream text;
    text << in.rdbuf();
    const Found found = extract(text.str(), "application/json");
    ++files;
    if (expected == "none") {
      EXPECT_TRUE(found.paths.empty()) << found.paths[0];
      continue;
    }
    ASSERT_EQ(found.paths.size(), 1u);
    EXPECT_EQ(found.observations[0], expected == "activity" ? "unconfirmed" : expected) << found.paths[0];
  }
  EXPECT_GE(files, 60u);
}

TEST(KeystrokeExtraction, FormFieldWithBase64Json) {
  std::ifstream in(VITRINE_SOURCE_DIR "/tests/golden/keystroke/typing/arkose-bio.json", std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  std::string bio = text.str();
  bio = bio.substr(8, bio.find('"', 8) - 8);
  std::string form = "render_type=canvas&bio=";
  for (char c : bio) form += c == '+' ? "%2B" : c == '/' ? "%2F" : c == '=' ? "%3D" : std::string(1, c);
  const Found found = extract(form, "application/x-www-form-urlencoded");
  ASSERT_EQ(found.paths.size(), 1u);
  EXPECT_EQ(found.paths[0], "body|form/bio|base64|json/kbio");
  EXPECT_EQ(found.observations[0], "certain");
  EXPECT_EQ(taxonomy().id(found.types[0]), "behaviour.keystroke-dynamics");
}

TEST(KeystrokeExtraction, ConnectionAddressIsCertain) {
  const Found found = extract("{}", "application/json");
  EXPECT_NE(std::find(found.typed.begin(), found.typed.end(), "connection:client-ip check:ipv4_public"),
            found.typed.end());
}

}  // namespace
}  // namespace vitrine
