#include "audit/keystroke_detector.h"

#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <sstream>

#include "tests/audit/json_fields.h"

namespace vitrine {
namespace {

struct Found : FieldSink {
  void field(const Field& f) override {
    if (f.decided_by != "detector:keystroke") return;
    paths.emplace_back(f.path);
    sentences.emplace_back(f.value);
    names.emplace_back(f.name);
    fields.push_back(f);
  }
  std::vector<Field> fields;
  std::vector<std::string> paths, sentences, names;
};

const Taxonomy& taxonomy() {
  static const Taxonomy loaded = *Taxonomy::load(VITRINE_SOURCE_DIR "/policies/taxonomy.yaml");
  return loaded;
}

Found detect_in(const std::string& json, Direction direction = Direction::client_to_server) {
  Found found;
  KeystrokeDetector detector(taxonomy(), found);
  Exchange exchange;
  Part part;
  part.direction = direction;
  detector.begin_part(exchange, part);
  json_fields(json, exchange, direction, detector);
  detector.end_part(exchange, part);
  return found;
}

std::string read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Row {
  std::string file, expected, what;
};
std::vector<Row> manifest() {
  std::ifstream in(VITRINE_SOURCE_DIR "/tests/golden/keystroke/manifest.tsv");
  std::vector<Row> rows;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const size_t a = line.find('\t'), b = line.find('\t', a + 1);
    rows.push_back({line.substr(0, a), line.substr(a + 1, b - a - 1), line.substr(b + 1)});
  }
  return rows;
}

TEST(KeystrokeDetector, GoldenShapes) {
  std::map<std::string, int> kinds;
  for (const Row& row : manifest()) {
    SCOPED_TRACE(row.file + " (" + row.what + ")");
    const std::string text = read(VITRINE_SOURCE_DIR "/tests/golden/keystroke/" + row.file);
    ASSERT_FALSE(text.empty());
    const Found found = detect_in(text);
    ++kinds[row.file.substr(0, row.file.find('/'))];
    if (row.expected == "none") {
      EXPECT_TRUE(found.fields.empty()) << found.paths[0] << ": " << found.sentences[0];
      continue;
    }
    ASSERT_EQ(found.fields.size(), 1u);
    const bool activity = row.expected == "activity";
    EXPECT_EQ(taxonomy().id(found.fields[0].type),
              activity ? "behaviour.activity-timing" : "behaviour.keystroke-dynamics");
    EXPECT_EQ(to_string(found.fields[0].observation), activity ? "unconfirmed" : row.expected) << found.sentences[0];
    EXPECT_EQ(found.fields[0].value_type, ValueType::container);
    EXPECT_FALSE(found.sentences[0].empty());
    // What the server sends is never what a client measured.
    EXPECT_TRUE(detect_in(text, Direction::server_to_client).fields.empty());
  }
  EXPECT_GE(kinds["innocent"], 40);
  EXPECT_GE(kinds["typing"], 20);
}

TEST(KeystrokeDetector, ReportsTheContainerOfTheRows) {
  const Found found = detect_in(read(VITRINE_SOURCE_DIR "/tests/golden/keystroke/typing/aster-kd.json"));
  ASSERT_EQ(found.paths.size(), 1u);
  EXPECT_EQ(found.paths[0], "body|json/events/0/params/kd");
  EXPECT_EQ(found.names[0], "kd");
  EXPECT_NE(found.sentences[0].find("54 key events (27 presses)"), std::string::npos) << found.sentences[0];
  EXPECT_NE(found.sentences[0].find("median dwell"), std::string::npos);
}

// A list cut anywhere (a truncated body) must not crash, and the findings must
// begin only once enough events are there.
TEST(KeystrokeDetector, FewEventsAreNotEnough) {
  std::string rows;
  int first = -1;
  for (int i = 0; i < 20; ++i) {
    const int dwell = 70 + (i * 37) % 41, t = 1000 + i * 190 + (i * 53) % 90;
    rows += (i ? "," : "") + std::string("{\"t\":") + std::to_string(t) + ",\"type\":\"keydown\",\"key\":\"" +
            char('a' + i * 7 % 26) + "\"},{\"t\":" + std::to_string(t + dwell) + ",\"type\":\"keyup\",\"key\":\"" +
            char('a' + i * 7 % 26) + "\"}";
    if (!detect_in("{\"e\":[" + rows + "]}").fields.empty() && first < 0) first = i + 1;
  }
  EXPECT_GE(first, 3);
  EXPECT_LE(first, 5);
}

TEST(KeystrokeDetector, PartsDoNotMix) {
  Found found;
  KeystrokeDetector detector(taxonomy(), found);
  Exchange exchange;
  Part part;
  for (int i = 0; i < 10; ++i) {
    detector.begin_part(exchange, part);
    json_fields("{\"kd\":[{\"t\":" + std::to_string(1000 + i * 120 + i * i) + ",\"type\":\"keydown\",\"k\":\"a\"}]}",
                exchange, Direction::client_to_server, detector);
    detector.end_part(exchange, part);
  }
  EXPECT_TRUE(found.fields.empty());
}

TEST(KeystrokeDetector, BoundsHoldAndAreCounted) {
  Found found;
  KeystrokeDetector detector(taxonomy(), found);
  Exchange exchange;
  Part part;
  detector.begin_part(exchange, part);
  std::string path;
  Field field;
  field.exchange = &exchange;
  field.location = Location::body;
  field.value_type = ValueType::number;
  field.value = "1";
  for (int c = 0; c < 5000; ++c) {
    path = "body|json/c" + std::to_string(c) + "/0/x";
    field.path = path;
    detector.field(field);
  }
  EXPECT_EQ(detector.overflow(), 5000u - 4096u);
  for (int r = 0; r < 100000; ++r) {
    path = "body|json/c0/" + std::to_string(r % 4000) + "/y";
    field.path = path;
    detector.field(field);
  }
  EXPECT_GT(detector.overflow(), 20000u);
  detector.end_part(exchange, part);
}

}  // namespace
}  // namespace vitrine
