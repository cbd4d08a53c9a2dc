// The circle of the tap with the real program: what a server hands over, read
// back by `vitrine fields`, `fields --live` and `vitrine audit`.
#include <gmock/gmock.h>
#include <signal.h>

#include <chrono>
#include <map>
#include <thread>

#include "base/file.h"
#include "tests/capture/net/wire.h"
#include "tests/capture/tap/tap_replay.h"
#include "tests/cli/aster.h"
#include "tests/cli/program.h"

namespace vitrine::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const Direction kUp = Direction::client_to_server, kDown = Direction::server_to_client;
const std::string kRoot = VITRINE_SOURCE_DIR;
constexpr int64_t kBegin = 1'795'500'000;  // seconds

struct Saying {
  Direction direction;
  std::string text;
};

std::string request(const std::string& head, const std::string& body) {
  return head + "Host: localhost:8080\r\nUser-Agent: OpenAI/Python 1.40.0\r\nX-Stainless-OS: Linux\r\n" +
         "X-Stainless-Arch: x64\r\nX-Stainless-Runtime-Version: 3.11.2\r\nAuthorization: Bearer "
         "sk-local-1234567890\r\n" +
         "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

const std::vector<Saying> kConversation = {
    {kUp, request("POST /v1/chat/completions HTTP/1.1\r\n",
                  R"({"model":"smollm2","stream":true,"messages":[{"role":"user","content":"Where is Seoul?"}],)"
                  R"("user":"8f14e45f-ceea-467f-9575-1d2c3b4a5968"})")},
    {kDown, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"},
    {kDown, "2e\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"In\"}}]}"},
    {kDown, "\r\n4\r\n\n\n\r\n\r\n10\r\ndata: [DONE]\n\n\r\n\r\n0\r\n\r\n"},
    {kUp, request("GET /v1/models?client=cli&locale=ko-KR HTTP/1.1\r\n", "")},
    {kDown, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"data\":[]}"},
};

Timestamp time_of(size_t packet) { return {(kBegin * 1'000'000 + static_cast<int64_t>(packet) * 1000) * 1000}; }

// The conversation on the loopback interface, as tcpdump would have written it.
std::string packets_of(const std::vector<Saying>& conversation) {
  std::string out = wire::pcap_header();
  size_t packet = 0;
  uint32_t next[2] = {1000, 9000};
  const std::string local("\x7f\0\0\1", 4);
  const auto send = [&](Direction direction, uint8_t flags, std::string_view payload) {
    const bool up = direction == kUp;
    const auto d = static_cast<size_t>(direction);
    const std::string tcp = wire::tcp(next[d], next[1 - d], flags, payload, up ? 50001 : 8080, up ? 8080 : 50001);
    wire::V4 ip;
    ip.source = ip.destination = local;
    out +=
        wire::pcap_record(wire::ethernet(0x0800, wire::ipv4(tcp, ip)), kBegin, static_cast<uint32_t>(++packet * 1000));
    next[d] += static_cast<uint32_t>(payload.size()) + ((flags & (wire::kSyn | wire::kFin)) != 0 ? 1 : 0);
  };
  send(kUp, wire::kSyn, "");
  send(kDown, wire::kSyn | wire::kAck, "");
  for (const Saying& one : conversation) send(one.direction, wire::kAck, one.text);
  send(kUp, wire::kFin | wire::kAck, "");
  send(kDown, wire::kFin | wire::kAck, "");
  return out;
}

TapPeer loopback() {
  TapPeer peer;
  peer.client = {IpAddress::parse("127.0.0.1"), 50001};
  peer.server = {IpAddress::parse("127.0.0.1"), 8080};
  return peer;
}

std::unique_ptr<Tap> open_tap(TapOptions options) {
  Result<std::unique_ptr<Tap>> tap = Tap::open(std::move(options));
  EXPECT_TRUE(tap) << tap.error().to_string();
  return std::move(*tap);
}

void tap_conversation(const std::vector<Saying>& conversation, TapOptions options) {
  const auto tap = open_tap(std::move(options));
  size_t packet = 0;
  const auto connection = tap->connection(loopback(), time_of(++packet));
  ++packet;
  for (const Saying& one : conversation) connection->bytes(one.direction, as_bytes(one.text), time_of(++packet));
  connection->close(kUp, time_of(++packet));
  connection->close(kDown, time_of(++packet));
  const Status closed = tap->close({});
  EXPECT_TRUE(closed) << closed.error().to_string();
}

// Field lines without the ids that name packets or lines; sorted.
std::vector<std::string> neutral(const std::string& ndjson, bool exchanges_only) {
  std::vector<std::string> out;
  for (std::string line : lines_of(ndjson)) {
    const size_t at = line.find(",\"origin\":\"");
    const size_t end = line.find('"', at + 11);
    const std::string origin = line.substr(at + 11, end - at - 11);
    if (exchanges_only && origin.find(".0:") != origin.npos) continue;
    out.push_back(line.erase(at, end + 1 - at));
  }
  std::sort(out.begin(), out.end());
  return out;
}

AuditResult audit_of(const std::string& path) {
  PolicyFlags flags;
  flags.data = kRoot;
  flags.folders = {aster::kFolder + "/policies"};
  flags.mmdb = aster::kFolder + "/aster-test.mmdb";
  Result<std::unique_ptr<LoadedPolicies>> loaded = load_policies_for(flags);
  EXPECT_TRUE(loaded) << loaded.error().to_string();
  Result<Context> context = load_context(aster::kFolder + "/aster-clean.audit.yaml");
  EXPECT_TRUE(context);
  (*loaded)->inputs.context = std::move(*context);
  EXPECT_TRUE(choose_texts({"aster/2024-12", "aster/cookies"}, (*loaded)->inputs));
  AuditRun run(**loaded);
  IssueLog issues;
  const Status read = run.read(path, {}, issues);
  EXPECT_TRUE(read) << read.error().to_string();
  return run.evaluate();
}

std::vector<std::string> findings_of(const AuditResult& result) {
  std::vector<std::string> out;
  for (const Finding& finding : result.findings) {
    out.push_back(aster::verdict_of(&finding) + " " + std::string(to_string(finding.kind)) + " " + finding.type + " " +
                  finding.recipient + " " + std::string(to_string(finding.observation)) + " " +
                  std::to_string(finding.coverage.undecoded_bytes()));
  }
  return out;
}

TEST(TapAudit, ALoopbackConversationIsTheSameInPacketsAndInTheTap) {
  const TempFolder folder;
  const std::string capture = folder.write("lo.pcap", packets_of(kConversation)), log = folder.path("tap.ndjson");
  tap_conversation(kConversation, {.path = log});
  const Outcome packets = vitrine({"fields", capture, "--data", kRoot});
  const Outcome tapped = vitrine({"fields", log, "--data", kRoot});
  EXPECT_EQ(packets.exit_code, 0) << packets.err;
  EXPECT_EQ(tapped.exit_code, 0) << tapped.err;
  EXPECT_EQ(tapped.err, "");
  EXPECT_EQ(neutral(packets.out, false), neutral(tapped.out, false));
  EXPECT_GT(lines_of(tapped.out).size(), 40u);
  EXPECT_THAT(tapped.out, HasSubstr("\"type\":\"content.prompt\""));
  EXPECT_THAT(tapped.out, HasSubstr("header:x-stainless-os"));
  const AuditResult of_packets = audit_of(capture), of_tap = audit_of(log);
  EXPECT_EQ(findings_of(of_packets), findings_of(of_tap));
  EXPECT_FALSE(findings_of(of_tap).empty());
  for (int d = 0; d < 2; ++d) EXPECT_EQ(of_packets.ledger_totals[d].by_cause, of_tap.ledger_totals[d].by_cause);
}

TEST(TapAudit, TheAsterRecordingsGiveTheSameTypedFields) {
  const TempFolder folder;
  for (const std::string& scenario : aster::kScenarios) {
    const std::string log = folder.path(scenario + ".ndjson");
    tap_capture(aster::recording(scenario), {.path = log, .simulated = true});
    const std::vector<std::string> more = {"--data", kRoot, "--policies", aster::kFolder + "/policies", "--typed"};
    std::vector<std::string> arguments = {"fields", aster::recording(scenario)};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto packets = neutral(vitrine(arguments).out, true);
    arguments[1] = log;
    EXPECT_EQ(packets, neutral(vitrine(arguments).out, true)) << scenario;
    EXPECT_GT(packets.size(), 100u);
  }
}

// ---- what is left out is no all-clear -------------------------------------------

size_t count(const AuditResult& result, Verdict verdict) {
  size_t found = 0;
  for (const Finding& finding : result.findings) found += finding.verdict == verdict;
  return found;
}

TEST(TapAudit, AWithheldValueIsNeverSaidNotToHaveBeenSent) {
  const TempFolder folder;
  std::map<TapContent, AuditResult> results;
  for (const TapContent content : {TapContent::full, TapContent::hash, TapContent::none}) {
    const std::string log = folder.path(std::string(to_string(content)) + ".ndjson");
    tap_capture(aster::recording("clean"), {.path = log, .content = content, .simulated = true});
    results.emplace(content, audit_of(log));
  }
  EXPECT_GT(count(results.at(TapContent::full), Verdict::declared_not_observed), 0u);
  for (const TapContent content : {TapContent::hash, TapContent::none}) {
    const AuditResult& result = results.at(content);
    EXPECT_EQ(count(result, Verdict::declared_not_observed), 0u) << to_string(content);
    EXPECT_GT(result.ledger_totals[0][Cause::withheld], 1000u);
    size_t reasons = 0;
    for (const Finding& finding : result.findings) {
      if (finding.verdict != Verdict::not_testable) continue;
      for (const Sentence& reason : finding.reasons)
        for (const auto& [name, value] : reason.arguments) reasons += name == "cause" && value == "withheld";
      // Nobody has looked at a withheld value: none is certain to be what its name says.
    }
    EXPECT_GT(reasons, 0u) << to_string(content);
  }
  // Hashed, the names still tell: the prompt is found, and surely not by its form.
  const auto prompt = [](const AuditResult& result) {
    std::string out;
    for (const Finding& finding : result.findings)
      if (finding.type == "content.prompt" && finding.kind != FindingKind::declared)
        out += to_string(finding.observation);
    return out;
  };
  EXPECT_NE(prompt(results.at(TapContent::full)), "");
  EXPECT_NE(prompt(results.at(TapContent::hash)), "");
  EXPECT_THAT(prompt(results.at(TapContent::hash)), Not(HasSubstr("certain")));
}

TEST(TapAudit, TheReportNamesWhatTheRecorderLeftOut) {
  const TempFolder folder;
  const std::string log = folder.path("none.ndjson");
  tap_conversation(kConversation, {.path = log, .content = TapContent::none});
  const Outcome audit = vitrine({"audit", log, "--data", kRoot, "--fail-on", "incomplete"});
  EXPECT_EQ(audit.exit_code, 1) << audit.err;
  EXPECT_THAT(audit.out, HasSubstr("were left out by the recorder on purpose"));
  EXPECT_THAT(audit.out, Not(HasSubstr("Seoul")));
  const Outcome fields = vitrine({"fields", log, "--data", kRoot, "--sent"});
  EXPECT_THAT(fields.out, HasSubstr("\"path\":\"body|text\",\"value\":\"withheld.string."));
  EXPECT_THAT(fields.out, HasSubstr("\"withheld\":true"));
  EXPECT_THAT(fields.out, HasSubstr("OpenAI/Python"));
}

// ---- fields --live ---------------------------------------------------------------

class Live {
 public:
  Live(const TempFolder& folder, std::vector<std::string> arguments)
      : out_(folder.path("live.out")), err_(folder.path("live.err")) {
    std::string command = "exec " + quoted(VITRINE_PROGRAM) + " fields --live --data " + cli::quoted(kRoot);
    for (const std::string& argument : arguments) command += " " + cli::quoted(argument);
    command += " >" + cli::quoted(out_) + " 2>" + cli::quoted(err_) + " </dev/null";
    child_ = fork();
    if (child_ == 0) {
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
  }
  ~Live() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
  }
  std::string out() const { return contents(out_); }
  std::string err() const { return contents(err_); }
  bool says(const std::string& text) const {
    return wait_for([&] { return out().find(text) != std::string::npos; });
  }
  bool warns(const std::string& text) const {
    return wait_for([&] { return err().find(text) != std::string::npos; });
  }
  void interrupt() const { kill(child_, SIGINT); }
  // -1: it runs on after ten seconds, or ended by a signal.
  int end() {
    int status = 0;
    if (!wait_for([&] { return waitpid(child_, &status, WNOHANG) == child_; })) return -1;
    child_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  template <class Condition>
  static bool wait_for(Condition condition) {
    for (int i = 0; i < 3000; ++i) {  // a minute: sanitizers, busy machines
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  std::string out_, err_;
  pid_t child_ = -1;
};

void say(TapConnection& connection, size_t from, size_t to) {
  for (size_t i = from; i < to; ++i)
    connection.bytes(kConversation[i].direction, as_bytes(kConversation[i].text), time_of(i + 3));
}

TEST(FieldsLive, LinesComeAsPartsAreTransmittedAndAreThoseOfTheWholeLog) {
  const TempFolder folder;
  const std::string log = folder.path("tap.ndjson");
  Live live(folder, {log, "--until-closed"});
  ASSERT_TRUE(live.warns("waiting for " + log));
  const auto tap = open_tap({.path = log});
  const auto connection = tap->connection(loopback(), time_of(1));
  say(*connection, 0, 1);
  ASSERT_TRUE(live.says("\"value\":\"Where is Seoul?\""));  // while the request is open
  EXPECT_THAT(live.out(), Not(HasSubstr("[DONE]")));
  say(*connection, 1, 4);
  ASSERT_TRUE(live.says("[DONE]"));
  say(*connection, 4, 6);
  connection->close(time_of(20));
  ASSERT_TRUE(tap->close(time_of(21)));
  EXPECT_EQ(live.end(), 0);
  const Outcome whole = vitrine({"fields", log, "--data", kRoot});
  EXPECT_EQ(live.out(), whole.out);
  EXPECT_GT(lines_of(whole.out).size(), 40u);
}

TEST(FieldsLive, FiltersAndEndsAtAnInterrupt) {
  const TempFolder folder;
  const std::string log = folder.path("tap.ndjson");
  tap_conversation(kConversation, {.path = log});
  Live live(folder, {log, "--sent", "--typed"});
  ASSERT_TRUE(live.says("content.prompt"));
  live.interrupt();
  EXPECT_EQ(live.end(), 0);
  EXPECT_EQ(live.out(), vitrine({"fields", log, "--data", kRoot, "--sent", "--typed"}).out);
  EXPECT_THAT(live.out(), Not(HasSubstr("server_to_client")));
}

TEST(FieldsLive, APipeEndsWithItsWriter) {
  const TempFolder folder;
  const std::string log = folder.path("tap.ndjson");
  tap_conversation(kConversation, {.path = log});
  const Outcome piped = run_command("sh", {"-c", "cat " + cli::quoted(log) + " | " + cli::quoted(VITRINE_PROGRAM) +
                                                     " fields --live - --data " + cli::quoted(kRoot)});
  EXPECT_EQ(piped.exit_code, 0) << piped.err;
  EXPECT_EQ(piped.out, vitrine({"fields", log, "--data", kRoot}).out);
}

TEST(FieldsLive, SurvivesTruncationAndRotation) {
  const TempFolder folder;
  const std::string log = folder.path("tap.ndjson");
  tap_conversation(kConversation, {.path = log});
  Live live(folder, {log});
  ASSERT_TRUE(live.says("Where is Seoul?"));
  ASSERT_EQ(truncate(log.c_str(), 0), 0);
  ASSERT_TRUE(live.warns("it was cut"));
  std::vector<Saying> other = {{kUp, "GET /after-truncation HTTP/1.1\r\nHost: a.test\r\n\r\n"}};
  const std::string second = folder.path("second.ndjson"), third = folder.path("third.ndjson");
  tap_conversation(other, {.path = second});
  std::ofstream(log, std::ios::app) << contents(second);
  ASSERT_TRUE(live.says("after-truncation"));
  other[0].text = "GET /after-rotation HTTP/1.1\r\nHost: a.test\r\n\r\n";
  tap_conversation(other, {.path = third});
  std::filesystem::rename(log, folder.path("old.ndjson"));
  std::filesystem::rename(third, log);
  ASSERT_TRUE(live.warns("another file has its name"));
  ASSERT_TRUE(live.says("after-rotation"));
  live.interrupt();
  EXPECT_EQ(live.end(), 0);
}

TEST(FieldsLive, RefusesWhatItCannotFollow) {
  const TempFolder folder;
  const std::string text = folder.write("note.txt", "not a log\n");
  EXPECT_EQ(vitrine({"fields", "--live", text, "--data", kRoot}).exit_code, 3);
  EXPECT_EQ(vitrine({"fields", "--live", text, text, "--data", kRoot}).exit_code, 2);
  EXPECT_EQ(vitrine({"fields", "--live", text, "-o", folder.path("x.zst"), "--data", kRoot}).exit_code, 2);
  EXPECT_EQ(vitrine({"fields", "--until-closed", text, "--data", kRoot}).exit_code, 2);
  EXPECT_EQ(vitrine({"fields", "--live", "-", "--data", kRoot}).exit_code, 3);  // nothing came
}

}  // namespace
}  // namespace vitrine::cli
