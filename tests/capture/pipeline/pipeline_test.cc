// The whole capture line over the recordings of the example.
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>

#include "capture/net/ip.h"
#include "capture/net/tcp.h"
#include "capture/record/flow_comment.h"
#include "capture/record/pcapng_writer.h"
#include "tests/capture/pipeline/run_input.h"

namespace vitrine {
namespace {

InputOptions with(unsigned threads, bool ignore_embedded_secrets = false) {
  InputOptions options;
  options.threads = threads;
  options.ignore_embedded_secrets = ignore_embedded_secrets;
  return options;
}

const char* const kScenarios[] = {"baseline", "keystroke", "clean"};

class TemporaryFile {
 public:
  explicit TemporaryFile(std::string_view content) {
    path_ = testing::TempDir() + "vitrine-pipeline-XXXXXX";
    const int descriptor = mkstemp(path_.data());
    EXPECT_GE(descriptor, 0);
    close(descriptor);
    EXPECT_TRUE(write_file(path_, content));
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(Pipeline, OutputIsTheSameAtAnyNumberOfThreads) {
  for (const char* scenario : kScenarios) {
    const RunResult one = run_input(kAster + scenario + ".pcapng", with(1));
    EXPECT_GT(one.text.size(), 20'000u);
    for (const unsigned threads : {2u, 3u, 7u}) {
      const RunResult more = run_input(kAster + scenario + ".pcapng", with(threads));
      EXPECT_TRUE(one.text == more.text) << scenario << " differs with " << threads << " threads";
      EXPECT_EQ(one.connections, more.connections);
      ASSERT_EQ(one.issues.size(), more.issues.size());
      for (size_t i = 0; i < one.issues.size(); ++i) {
        EXPECT_EQ(one.issues[i].count, more.issues[i].count);
        EXPECT_EQ(one.issues[i].first.what, more.issues[i].first.what);
        EXPECT_EQ(one.issues[i].first.packet, more.issues[i].first.packet);
      }
    }
  }
}

// Stream lengths from sequence numbers alone, without the reassembly under
// test: per connection and direction, SYN + 1 to the highest byte.
struct StreamLength {
  bool started = false;
  uint32_t base = 0;
  uint64_t length = 0;
};
struct Flow {
  Endpoint client, server;
  bool udp = false;
  uint64_t packet = 0;
  StreamLength streams[2];
  uint64_t datagrams[2] = {0, 0};
};

std::map<uint64_t, Flow> lengths_of(const std::string& path) {
  std::map<uint64_t, Flow> flows;  // by first packet
  std::map<std::tuple<Endpoint, Endpoint, bool>, uint64_t> open;
  Result<MappedFile> file = MappedFile::open(path);
  IssueLog issues;
  auto reader = open_capture(file->bytes(), issues);
  EXPECT_TRUE(reader);
  IpReassembler ip(issues);
  Packet packet;
  Datagram datagram;
  while ((*reader)->next(packet)) {
    if (!ip.decode(packet, datagram)) continue;
    const bool udp = datagram.protocol == kProtocolUdp;
    if (!udp && datagram.protocol != kProtocolTcp) continue;
    TcpHeader tcp;
    std::string_view why;
    const Bytes b = datagram.payload;
    if (!udp && !parse_tcp(datagram, tcp, why)) continue;
    const Endpoint source{datagram.source, static_cast<uint16_t>(b[0] << 8 | b[1])};
    const Endpoint destination{datagram.destination, static_cast<uint16_t>(b[2] << 8 | b[3])};
    auto key = std::tuple(std::min(source, destination), std::max(source, destination), udp);
    // A SYN that opens the ports anew.
    auto found = open.find(key);
    if (found != open.end() && !udp && tcp.syn && !tcp.ack) {
      Flow& old = flows[found->second];
      if (old.streams[0].started && old.streams[0].base != tcp.sequence + 1) found = open.end();
    }
    if (found == open.end()) {
      open[key] = packet.number;
      found = open.find(key);
      flows[packet.number] = {source, destination, udp, packet.number, {}, {}};
    }
    Flow& flow = flows[found->second];
    const size_t d = source == flow.client ? 0 : 1;
    if (udp) {
      flow.datagrams[d] += b.size() - 8;
      continue;
    }
    StreamLength& stream = flow.streams[d];
    const uint32_t first = tcp.syn ? tcp.sequence + 1 : tcp.sequence;
    if (!stream.started) {
      stream.started = true;
      stream.base = first;
    }
    if (tcp.payload.empty()) continue;  // behind a FIN, numbers are one ahead
    const uint32_t end = first + static_cast<uint32_t>(tcp.payload.size() + tcp.missing) - stream.base;
    if (end < 0x80000000u && end > stream.length) stream.length = end;
  }
  return flows;
}

TEST(Pipeline, EveryStreamByteIsAccountedOnce) {
  for (const char* scenario : kScenarios) {
    for (const bool without_keys : {false, true}) {
      const std::string path = kAster + scenario + ".pcapng";
      const RunResult run = run_input(path, with(2, without_keys));
      const auto flows = lengths_of(path);
      size_t compared = 0;
      uint64_t total = 0;
      for (const auto& [id, bytes] : run.connections) {
        if (bytes.transport == Transport::other_ip) continue;
        const auto flow = flows.find(id);
        ASSERT_NE(flow, flows.end()) << scenario << " connection " << id;
        const uint64_t up = flow->second.udp ? flow->second.datagrams[0] : flow->second.streams[0].length;
        const uint64_t down = flow->second.udp ? flow->second.datagrams[1] : flow->second.streams[1].length;
        EXPECT_EQ(bytes.counts[0].total(), up) << scenario << " connection " << id << " " << bytes.sni;
        EXPECT_EQ(bytes.counts[1].total(), down) << scenario << " connection " << id << " " << bytes.sni;
        ++compared;
        total += up + down;
      }
      EXPECT_EQ(compared, flows.size());
      EXPECT_GT(total, 50'000u);
    }
  }
}

std::string embedded_key_log(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  std::string out;
  for (const Bytes& log : scan_capture(file->bytes()).tls_key_logs) out += as_text(log);
  return out;
}

// Without one connection's secrets exactly its own bytes are no longer decoded.
TEST(Pipeline, RemovingOneKeyMovesExactlyItsBytes) {
  const std::string path = kAster + "baseline.pcapng";
  const RunResult whole = run_input(path);
  const std::string log = embedded_key_log(path);
  std::set<std::string> randoms;
  for (size_t at = 0; at < log.size();) {
    const size_t end = std::min(log.find('\n', at), log.size());
    const std::string line = log.substr(at, end - at);
    at = end + 1;
    const size_t space = line.find(' ');
    if (!line.starts_with("#") && space != std::string::npos) randoms.insert(line.substr(space + 1, 64));
  }
  ASSERT_GT(randoms.size(), 3u);
  size_t moved = 0;
  for (const std::string& random : randoms) {
    std::string without;
    for (size_t at = 0; at < log.size();) {
      const size_t end = std::min(log.find('\n', at), log.size());
      if (log.substr(at, end - at).find(random) == std::string::npos) without += log.substr(at, end - at) + "\n";
      at = end + 1;
    }
    TemporaryFile keys(without);
    InputOptions options = with(1, true);
    options.key_logs = {keys.path()};
    const RunResult run = run_input(path, options);
    ASSERT_EQ(run.connections.size(), whole.connections.size());
    size_t changed = 0;
    for (const auto& [id, before] : whole.connections) {
      const ConnectionBytes& after = run.connections.at(id);
      if (after == before && run.exchanges.at(id) == whole.exchanges.at(id)) continue;
      ++changed;
      for (size_t d = 0; d < 2; ++d) {
        EXPECT_EQ(after.counts[d].total(), before.counts[d].total()) << id;
        EXPECT_EQ(before.counts[d][Cause::no_key], 0u) << id;
        EXPECT_GT(after.counts[d][Cause::no_key], 0u) << id;
      }
      EXPECT_EQ(run.exchanges.at(id).find("open "), std::string::npos) << "an exchange without its key";
    }
    EXPECT_LE(changed, 1u);  // a secret of a connection that is not in the file changes nothing
    moved += changed;
  }
  EXPECT_GT(moved, 3u);
}

TEST(Pipeline, CapturesCutAnywhereAreReadAsFarAsTheyGo) {
  const std::string file = *read_file(kAster + "clean.pcapng");
  const RunResult whole = run_input(kAster + "clean.pcapng");
  for (size_t step = 1; step < 40; ++step) {
    const size_t cut = file.size() * step / 40 + step;
    if (cut >= file.size()) break;
    TemporaryFile part(std::string_view(file).substr(0, cut));
    const RunResult run = run_input(part.path(), with(2));
    EXPECT_LE(run.summary.packets, whole.summary.packets);
    EXPECT_LE(run.connections.size(), whole.connections.size());
    EXPECT_FALSE(run.issues.empty()) << "cut at " << cut;
  }
}

TEST(Pipeline, DamagedBlocksCostThemselves) {
  const std::string file = *read_file(kAster + "clean.pcapng");
  const RunResult whole = run_input(kAster + "clean.pcapng");
  for (size_t at = 70'001; at + 64 < file.size(); at += 9'973) {
    std::string damaged = file;
    for (size_t i = 0; i < 48; ++i) damaged[at + i] = static_cast<char>(damaged[at + i] ^ 0x5a);
    TemporaryFile part(damaged);
    const RunResult run = run_input(part.path());
    EXPECT_GT(run.summary.packets + 40, whole.summary.packets) << "damage at " << at;
    EXPECT_GT(run.connections.size() + 6, whole.connections.size());
  }
}

TEST(FlowComment, ReadsWhatItWroteAndNothingElse) {
  FlowComment flow, read;
  flow.protocol = "tcp";
  flow.client = {IpAddress::parse("2001:db8::9"), 51312};
  flow.server = {IpAddress::parse("198.51.100.4"), 443};
  flow.process = "a program > process=odd";
  ASSERT_TRUE(read_flow_comment(to_string(flow), read));
  EXPECT_EQ(read.client, flow.client);
  EXPECT_EQ(read.server, flow.server);
  EXPECT_EQ(read.process, flow.process);
  for (const char* bad :
       {"", "vitrine-flow: ", "vitrine-flow: tcp a > b process=c",
        "vitrine-flow: tcp 1.2.3.4:1 > 1.2.3.4:99999 process=c", "vitrine-flow: tcp process=x > 1.2.3.4:1"}) {
    EXPECT_FALSE(read_flow_comment(bad, read)) << bad;
  }
}

// What the writer writes, our reader and tshark read.
TEST(PcapngWriter, RoundTrip) {
  std::string file;
  const std::string comments[] = {"SIMULATED: round trip", "second"};
  append_section_header(file, "vitrine test", comments);
  append_interface(file, 101, 262144, "lab0");
  append_tls_secrets(file, "CLIENT_RANDOM " + std::string(64, 'a') + " " + std::string(96, 'b') + "\n");
  std::string packet(33, '\0');  // IPv4 UDP, one odd byte of payload and padding behind it
  packet[0] = 0x45;
  packet[3] = 33;
  packet[8] = 64;
  packet[9] = 17;
  const char ends[] = {char(192), 0, 2, 1, char(192), 0, 2, 2, 0x30, 0x39, 0x30, 0x3a, 0, 13};
  packet.replace(12, sizeof ends, ends, sizeof ends);
  append_packet(file, 0, Timestamp{1'795'000'000'123'456'789}, as_bytes(packet), 33);
  append_packet(file, 0, Timestamp{1'795'000'001'000'000'001}, as_bytes(packet).first(30), 33);
  const std::string flow[] = {"vitrine-flow: udp 192.0.2.1:12345 > 192.0.2.2:12346 process=sender"};
  append_statistics(file, 0, Timestamp{1'795'000'002'000'000'000}, 5, 3, flow);
  TemporaryFile written(file);
  const RunResult run = run_input(written.path());
  for (const CountedIssue& issue : run.issues) EXPECT_EQ(issue.first.cause, Cause::truncated) << issue.first.what;
  EXPECT_EQ(run.summary.packets, 2u);
  EXPECT_EQ(run.summary.dropped, 3u);
  EXPECT_EQ(run.summary.secrets, 1u);
  EXPECT_EQ(run.summary.first.ns, 1'795'000'000'123'456'789);
  EXPECT_EQ(run.summary.comments, (std::vector<std::string>{"SIMULATED: round trip", "second"}));
  EXPECT_TRUE(run.summary.simulated());
  ASSERT_EQ(run.connections.size(), 1u);
  const ConnectionBytes& bytes = run.connections.begin()->second;
  EXPECT_EQ(bytes.process, "sender");
  EXPECT_EQ(bytes.counts[0].total(), 10u);
  EXPECT_EQ(bytes.counts[0][Cause::truncated], 3u);
  if (std::system("command -v tshark >/dev/null 2>&1") != 0)
    GTEST_SKIP() << "tshark is not installed: only our reader was asked";
  const std::string command =
      "tshark -r '" + written.path() +
      "' -T fields -e frame.number -e frame.time_epoch -e frame.len -e frame.cap_len -e udp.dstport 2>/dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string seen;
  char buffer[256];
  while (std::fgets(buffer, sizeof buffer, pipe) != nullptr) seen += buffer;
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_EQ(seen, "1\t1795000000.123456789\t33\t33\t12346\n2\t1795000001.000000001\t33\t30\t12346\n");
}

}  // namespace
}  // namespace vitrine
