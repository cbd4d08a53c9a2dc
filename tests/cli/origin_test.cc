// Origins of the Aster recordings, replayed from the value down to the bytes of
// the file: what `vitrine origin` prints, asserted for every field.
#include <arpa/inet.h>
#include <gmock/gmock.h>

#include <map>
#include <set>
#include <sstream>

#include "capture/net/packet_reader.h"
#include "capture/pipeline/replay.h"
#include "cli/field_line.h"
#include "tests/cli/aster.h"
#include "tests/cli/program.h"

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

// The frames of a recording, read without the code that replays.
class Frames {
 public:
  explicit Frames(Bytes file) : file_(file) {
    IssueLog issues;
    auto reader = open_capture(file, issues);
    if (!reader) {
      ADD_FAILURE() << reader.error().to_string();
      return;
    }
    Packet packet;
    while ((*reader)->next(packet)) spans_[packet.number] = {packet.file_offset, packet.data.size()};
  }
  // The file's bytes at the places told, each of which lies in its packet.
  std::string at(const std::vector<PacketBytes>& places) const {
    std::string out;
    for (const PacketBytes& place : places) {
      const auto frame = spans_.find(place.packet);
      if (frame == spans_.end() || place.file_offset < frame->second.offset || place.length == 0 ||
          place.file_offset + place.length > frame->second.offset + frame->second.length) {
        ADD_FAILURE() << place.length << " bytes at " << place.file_offset << " are not in packet " << place.packet;
        return {};
      }
      out += as_text(file_.subspan(place.file_offset, place.length));
    }
    return out;
  }

 private:
  Bytes file_;
  std::map<uint64_t, StreamSpan> spans_;
};

// Lengths of the records that `bytes` are; empty when they are not records from end to end.
std::vector<size_t> tls_records(std::string_view bytes, uint8_t type) {
  std::vector<size_t> out;
  ByteReader reader(as_bytes(bytes));
  while (!reader.empty()) {
    const uint8_t have = reader.u8();
    const uint16_t version = reader.u16();
    const uint16_t length = reader.u16();
    reader.skip(length);
    if (reader.failed() || have != type || version != 0x0303) return {};
    out.push_back(length);
  }
  return out;
}

std::string big_endian(unsigned value) { return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)}; }

std::string encoded_name(const std::string& name) {  // RFC 1035, section 3.1
  std::string out;
  std::istringstream labels(name);
  for (std::string label; std::getline(labels, label, '.');) out += static_cast<char>(label.size()) + label;
  return out + '\0';
}

// What the bytes of a value that belongs to the connection itself must be.
void expect_connection_bytes(const Replay& replay, const std::string& bytes) {
  const std::string_view path = replay.path;
  if (path.ends_with("-ip")) {
    uint8_t binary[16];
    const int family = replay.value.find(':') == std::string::npos ? AF_INET : AF_INET6;
    ASSERT_EQ(inet_pton(family, replay.value.c_str(), binary), 1);
    EXPECT_EQ(bytes, std::string(reinterpret_cast<char*>(binary), family == AF_INET ? 4 : 16));
  } else if (path.ends_with("-port")) {
    EXPECT_EQ(bytes, big_endian(static_cast<unsigned>(std::stoul(replay.value))));
  } else if (path == "dns:name") {
    EXPECT_EQ(bytes, encoded_name(replay.value));
  } else if (path == "dns:type") {
    const std::map<std::string, unsigned> types = {{"A", 1}, {"AAAA", 28}, {"HTTPS", 65}};
    ASSERT_TRUE(types.count(replay.value)) << replay.value;
    EXPECT_EQ(bytes, big_endian(types.at(replay.value)));
  } else if (path == "tls:sni") {
    EXPECT_EQ(bytes.front(), '\1');  // client_hello
    EXPECT_NE(bytes.find(replay.value), std::string::npos);
  } else if (path == "tls:alpn-offered") {
    const std::string first = replay.value.substr(0, replay.value.find(','));
    EXPECT_NE(bytes.find(static_cast<char>(first.size()) + first), std::string::npos);
  } else if (path.starts_with("tls:ja") || path == "tls:ech") {
    EXPECT_EQ(bytes.front(), '\1');
  } else if (path == "tls:version" || path == "tls:cipher") {
    EXPECT_EQ(bytes.front(), '\2');  // server_hello
    const ConnectionInfo& info = replay.connection;
    EXPECT_NE(bytes.find(big_endian(path == "tls:version" ? info.tls_info.version : info.tls_info.cipher)),
              std::string::npos);
  } else {
    // Protected in TLS 1.3: what lies in the file is ciphertext. In clear in TLS 1.2.
    EXPECT_TRUE(path == "tls:alpn" || path == "tls:certificate-name") << path;
    EXPECT_EQ(bytes.find(replay.value) == std::string::npos, replay.connection.tls_info.version == 0x0304);
  }
}

class Origins : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    auto loaded = load_knowledge(VITRINE_SOURCE_DIR, {kFolder + "/policies"});
    ASSERT_TRUE(loaded) << loaded.error().to_string();
    knowledge_ = std::move(*loaded);
  }
  std::unique_ptr<Knowledge> knowledge_;
};

// Every field, both directions, of exchanges and of connections.
TEST_P(Origins, ReplayToTheBytesOfTheRecording) {
  IssueLog issues;
  Result<Input> input = Input::open(recording(GetParam()), {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  const std::vector<Seen> fields = list_fields(*input, *knowledge_);
  ASSERT_GT(fields.size(), 2'000u);
  const Frames frames(input->bytes());

  std::map<Location, size_t> locations;
  std::map<Direction, size_t> directions;
  std::map<std::string, size_t> not_replayed;  // by reason
  size_t summaries = 0;
  constexpr size_t kAtOnce = 1'000;
  for (size_t begin = 0; begin < fields.size(); begin += kAtOnce) {
    const size_t end = std::min(fields.size(), begin + kAtOnce);
    std::vector<OriginRef> origins;
    for (size_t i = begin; i < end; ++i) origins.push_back(fields[i].origin);
    const auto replays = replay_origins(*input, origins);
    ASSERT_TRUE(replays) << replays.error().to_string();
    ASSERT_EQ(replays->size(), origins.size());
    for (size_t i = begin; i < end; ++i) {
      const Seen& field = fields[i];
      SCOPED_TRACE(field.origin.to_string() + " " + field.path);
      ASSERT_TRUE((*replays)[i - begin]) << (*replays)[i - begin].error().to_string();
      const Replay& replay = *(*replays)[i - begin];
      ++locations[field.location];
      ++directions[replay.direction];
      if (field.summary) {
        ++summaries;
        EXPECT_TRUE(replay.path.starts_with(field.path + "/")) << replay.path;
      } else {
        EXPECT_EQ(replay.path, field.path);
        EXPECT_EQ(replay.value, field.value);
      }
      if (!replay.recorded_from.empty()) {
        ++not_replayed[replay.recorded_from];
        continue;
      }
      EXPECT_TRUE(replay.verified);
      EXPECT_TRUE(replay.packets_complete);
      for (const ReplayStep& step : replay.steps) EXPECT_EQ(step.error, "");
      ASSERT_FALSE(replay.packets.empty());
      const std::string bytes = frames.at(replay.packets);
      if (field.origin.exchange.ordinal == 0) {
        expect_connection_bytes(replay, bytes);
      } else if (!replay.connection.tls) {
        EXPECT_EQ(bytes, replay.stream_bytes);
      } else {
        const std::vector<size_t> records = tls_records(bytes, 23);  // application_data
        ASSERT_EQ(records.size(), replay.records.size());
        size_t protected_bytes = 0;
        for (size_t i = 0; i < records.size(); ++i) {
          EXPECT_EQ(records[i] + 5, replay.records[i].length);
          protected_bytes += records[i] - 16;  // at least the tag
        }
        EXPECT_GE(protected_bytes, replay.stream_bytes.size());
      }
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_EQ(locations.size(), 9u);
  EXPECT_EQ(directions.size(), 2u);
  EXPECT_EQ(summaries, GetParam() == "keystroke" ? 2u : 0u);
  EXPECT_THAT(not_replayed, testing::IsEmpty());
  RecordProperty("fields", static_cast<int>(fields.size()));
}

// One at a time as `vitrine origin` does it: the same.
TEST_P(Origins, OneReplayIsAsManyGiveIt) {
  IssueLog issues;
  Result<Input> input = Input::open(recording(GetParam()), {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  const std::vector<Seen> fields = list_fields(*input, *knowledge_);
  // The last of each kind: deep in its connection, where state has gathered.
  std::map<std::string, OriginRef> sample;
  for (const Seen& field : fields) sample[field.kind] = field.origin;
  std::vector<OriginRef> origins;
  for (const auto& [kind, origin] : sample) origins.push_back(origin);
  ASSERT_GT(origins.size(), 40u);
  const auto replays = replay_origins(*input, origins);
  ASSERT_TRUE(replays) << replays.error().to_string();
  for (size_t i = 0; i < origins.size(); i += 4) {
    SCOPED_TRACE(origins[i].to_string());
    const Result<Replay> one = replay_origin(*input, origins[i]);
    ASSERT_TRUE(one) << one.error().to_string();
    const Replay& many = *(*replays)[i];
    EXPECT_EQ(one->path, many.path);
    EXPECT_EQ(one->value, many.value);
    EXPECT_TRUE(one->verified);
    EXPECT_EQ(one->stream_bytes, many.stream_bytes);
    EXPECT_EQ(one->records, many.records);
    ASSERT_EQ(one->packets.size(), many.packets.size());
    for (size_t p = 0; p < many.packets.size(); ++p)
      EXPECT_EQ(one->packets[p].file_offset, many.packets[p].file_offset);
    ASSERT_EQ(one->steps.size(), many.steps.size());
    for (size_t s = 0; s < many.steps.size(); ++s) EXPECT_EQ(one->steps[s].output, many.steps[s].output);
  }
}

// The bytes told are the ones that count: another byte there, another value.
TEST(OriginsOfAnotherFile, ChangeWithTheByteTheyPointTo) {
  const std::string original = contents(recording("baseline"));
  const TempFolder folder;
  IssueLog issues;
  Result<Input> input = Input::open(recording("baseline"), {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  const auto knowledge = load_knowledge(VITRINE_SOURCE_DIR, {kFolder + "/policies"});
  ASSERT_TRUE(knowledge) << knowledge.error().to_string();
  size_t changed = 0;
  for (const Seen& field : list_fields(*input, **knowledge)) {
    const bool plain_header = field.location == Location::header && field.value.size() > 8 && changed == 0;
    const bool name = field.path == "dns:name" && changed == 1;
    if (!plain_header && !name) continue;
    const Result<Replay> replay = replay_origin(*input, field.origin);
    ASSERT_TRUE(replay) << replay.error().to_string();
    if (replay->connection.tls) continue;
    ASSERT_EQ(replay->packets.size(), 1u);
    // The value's own bytes: a span of the head, or the name behind its first length byte.
    const uint64_t at = replay->packets[0].file_offset + (name ? 1 : replay->steps.back().offset);
    ASSERT_EQ(original[at], field.value[0]);
    std::string other = original;
    other[at] = other[at] == 'X' ? 'Y' : 'X';
    Result<Input> changed_input = Input::open(folder.write("other.pcapng", other), {}, issues);
    ASSERT_TRUE(changed_input) << changed_input.error().to_string();
    const Result<Replay> again = replay_origin(*changed_input, field.origin);
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_TRUE(again->verified);
    EXPECT_EQ(again->value, other[at] + field.value.substr(1));
    ++changed;
  }
  EXPECT_EQ(changed, 2u);
}

INSTANTIATE_TEST_SUITE_P(Aster, Origins, testing::ValuesIn(kScenarios), [](const auto& each) { return each.param; });

}  // namespace
}  // namespace vitrine::cli::aster
