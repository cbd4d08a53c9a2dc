// Origins of the Aster recordings, replayed from the value down to the bytes of
// the file: what `vitrine origin` prints, asserted for a sample that holds
// every location, every chain of decoders and every typed path.
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "capture/pipeline/replay.h"
#include "cli/field_line.h"
#include "tests/cli/aster.h"

namespace vitrine::cli::aster {
namespace {

struct Seen {
  OriginRef origin;
  std::string path, value, kind;
  Location location = Location::header;
  bool summary = false;  // what a detector says of many values, under the origin of the first
};

// Every field of a recording, in order, as `vitrine fields` prints them.
class Lister : public ShardConsumer, private FieldSink {
 public:
  Lister(const Knowledge& knowledge, std::vector<Seen>& out)
      : knowledge_(knowledge), out_(out), line_(knowledge, *this) {}
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    line_.extractor().connection(info, event);
  }
  void opened(const Exchange& exchange) override { line_.extractor().opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override {
    part_ = &part;
    line_.extractor().part(exchange, part);
  }
  void closed(const Exchange& exchange, CloseReason reason) override { line_.extractor().closed(exchange, reason); }
  void dns(const ConnectionInfo& info, const DnsName& name) override { line_.extractor().dns(info, name); }

 private:
  void field(const Field& field) override {
    Seen seen;
    seen.origin = {field.exchange->id, field.origin};
    seen.path = field.path;
    seen.value = field.value;
    seen.location = field.location;
    seen.summary = !origins_.insert({seen.origin.exchange, seen.origin.node}).second;
    seen.kind = kind_of(field);
    out_.push_back(std::move(seen));
  }

  // What a sample should hold once or more: location, protocol, direction,
  // content decoders and the chain of decoders of the path; typed paths apart.
  std::string kind_of(const Field& field) const {
    std::string kind(to_string(field.location));
    kind.append(" ").append(to_string(field.direction)).append(" ").append(to_string(field.exchange->protocol));
    if (part_ != nullptr && field.exchange->id.ordinal != 0 && field.location != Location::header) {
      for (const Decoder decoder : part_->decoders) kind.append(" ").append(to_string(decoder));
    }
    std::string_view path = field.path;
    for (size_t bar = path.find('|'); bar != std::string_view::npos; bar = path.find('|', bar + 1)) {
      kind.append(path.substr(bar, path.find_first_of("/|", bar + 1) - bar));
    }
    if (field.exchange->id.ordinal == 0) kind.append(" ").append(field.name);
    if (field.type != 0) {
      std::string pattern = line_.extractor().patterns().text(field.pattern);
      kind.append(" ").append(field.pattern != 0 ? pattern : std::string(field.path));
    }
    return kind;
  }

  const Knowledge& knowledge_;
  std::vector<Seen>& out_;
  mutable FieldLine line_;
  std::set<std::pair<ExchangeId, OriginId>> origins_;
  const Part* part_ = nullptr;
};

std::vector<Seen> list_fields(Input& input, const Knowledge& knowledge) {
  std::vector<Seen> out;
  IssueLog issues;
  const Status status = input.run(
      issues, [&](unsigned) { return std::make_unique<Lister>(knowledge, out); },
      [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); });
  EXPECT_TRUE(status) << status.error().to_string();
  return out;
}

class Origins : public testing::TestWithParam<std::string> {};

TEST_P(Origins, ReplayToTheBytesOfTheRecording) {
  const auto knowledge = load_knowledge(VITRINE_SOURCE_DIR, {kFolder + "/policies"});
  ASSERT_TRUE(knowledge) << knowledge.error().to_string();
  IssueLog issues;
  Result<Input> input = Input::open(recording(GetParam()), {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  const std::vector<Seen> fields = list_fields(*input, **knowledge);
  ASSERT_GT(fields.size(), 2'000u);

  // The last of each kind: deep in its connection, where state has gathered.
  std::map<std::string, const Seen*> sample;
  for (const Seen& field : fields) sample[field.kind] = &field;
  std::vector<const Seen*> chosen;
  for (const auto& [kind, field] : sample) chosen.push_back(field);
  // And every hundredth of all, whatever it is.
  for (size_t i = 0; i < fields.size(); i += 100) chosen.push_back(&fields[i]);

  std::set<Location> locations;
  size_t connection_values = 0, summaries = 0;
  for (const Seen* field : chosen) {
    SCOPED_TRACE(field->origin.to_string() + " " + field->path);
    locations.insert(field->location);
    const Result<Replay> replay = replay_origin(*input, field->origin);
    ASSERT_TRUE(replay) << replay.error().to_string();
    if (field->summary) {
      ++summaries;
      EXPECT_TRUE(replay->path.starts_with(field->path + "/")) << replay->path;
    } else {
      EXPECT_EQ(replay->path, field->path);
      EXPECT_EQ(replay->value, field->value);
    }
    if (!replay->recorded_from.empty()) {  // no bytes of its own: said, not claimed
      ++connection_values;
      EXPECT_EQ(field->origin.exchange.ordinal, 0u);
      EXPECT_FALSE(replay->verified);
      continue;
    }
    EXPECT_TRUE(replay->verified);
    EXPECT_TRUE(replay->packets_complete);
    ASSERT_FALSE(replay->packets.empty());
    for (const PacketBytes& bytes : replay->packets) {
      EXPECT_GT(bytes.packet, 0u);
      EXPECT_LE(bytes.file_offset + bytes.length, input->bytes().size());
    }
    for (const ReplayStep& step : replay->steps) EXPECT_EQ(step.error, "");
  }
  EXPECT_EQ(locations.size(), 9u);
  EXPECT_GT(chosen.size(), 150u);
  EXPECT_EQ(summaries, GetParam() == "keystroke" ? 2u : 0u);
  EXPECT_LT(connection_values, chosen.size() / 5);
  RecordProperty("fields", static_cast<int>(fields.size()));
  RecordProperty("replayed", static_cast<int>(chosen.size()));
}

INSTANTIATE_TEST_SUITE_P(Aster, Origins, testing::ValuesIn(kScenarios), [](const auto& each) { return each.param; });

}  // namespace
}  // namespace vitrine::cli::aster
