// Packets → exchange log → exchanges: the same fields, and every line as the
// schema says.
#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "capture/fields/field_extractor.h"
#include "capture/input/exchange_log.h"
#include "capture/input/har.h"
#include "tests/capture/pipeline/run_input.h"

namespace vitrine {
namespace {

const char* const kScenarios[] = {"baseline", "keystroke", "clean"};

// Every field as one line without the numbers that name packets or lines.
class FieldLines : public FieldSink {
 public:
  void field(const Field& field) override {
    std::string line = field.exchange->host + " " + field.exchange->method + " " + field.exchange->path + " " +
                       std::string(to_string(field.direction)) + " " + std::string(field.path) + " " +
                       std::string(to_string(field.value_type)) + (field.cut ? " cut " : " ") + to_rfc3339(field.time) +
                       " ";
    line += field.value;
    lines.push_back(std::move(line));
  }
  std::vector<std::string> lines;
};

class FieldConsumer : public ShardConsumer {
 public:
  FieldConsumer(FieldLines& fields, std::vector<std::string>& exchanges, IssueLog& issues)
      : extractor_(fields), exchanges_(exchanges), issues_(issues) {}
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    extractor_.connection(info, event);
    if (event != ConnectionEvent::closed) return;
    std::string line =
        info.client.to_string() + " " + info.server.to_string() + " " + info.protocol + " " + info.process;
    for (const ByteCounts& counts : info.overhead) {
      for (const uint64_t bytes : counts.by_cause) line += " " + std::to_string(bytes);
    }
    exchanges_.push_back(line);
  }
  void opened(const Exchange& exchange) override { extractor_.opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { extractor_.part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override {
    extractor_.closed(exchange, reason);
    std::string line = exchange.method + " " + exchange.url() + " " + exchange.host + " " +
                       std::to_string(exchange.status) + " " + std::string(to_string(reason)) + " " +
                       std::string(to_string(exchange.protocol)) + " " + to_rfc3339(exchange.opened) + " " +
                       to_rfc3339(exchange.closed) + " " + exchange.referer + " " + exchange.origin;
    for (const Message& m : exchange.messages) {
      line += m.seen ? " seen " : " unseen ";
      line += (m.complete ? "complete " : "cut ") + std::to_string(m.wire_bytes) + " " +
              std::to_string(m.content_bytes) + " " + m.sha256 + " " + m.content_type;
      for (const std::string& coding : m.content_codings) line += " " + coding;
      for (const uint64_t bytes : m.bytes.by_cause) line += " " + std::to_string(bytes);
    }
    exchanges_.push_back(line);
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override { extractor_.dns(info, name); }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

 private:
  FieldExtractor extractor_;
  std::vector<std::string>& exchanges_;
  IssueLog& issues_;
};

class LogConsumer : public ShardConsumer {
 public:
  explicit LogConsumer(std::string& out) : writer_(out) {}
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override { writer_.connection(info, event); }
  void opened(const Exchange& exchange) override { writer_.opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { writer_.part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override { writer_.closed(exchange, reason); }
  void dns(const ConnectionInfo& info, const DnsName& name) override { writer_.dns(info, name); }
  void resolved(const IpAddress& ip, std::string_view name) override { writer_.resolved(ip, name); }
  void issue(Issue issue) override { writer_.issue(std::move(issue)); }

 private:
  ExchangeLogWriter writer_;
};

template <class Make>
void run(const std::string& path, Make make) {
  IssueLog issues;
  Result<Input> input = Input::open(path, {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  const Status status = input->run(
      issues, [&](unsigned) { return make(); }, [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); });
  ASSERT_TRUE(status) << status.error().to_string();
}

std::string log_of(const std::string& path) {
  std::string log = exchange_log_head({.simulated = true, .comment = path.substr(path.rfind('/') + 1), .ends = true});
  run(path, [&] { return std::make_unique<LogConsumer>(log); });
  ExchangeLogWriter(log).end({});
  return log;
}

class WrittenFile {
 public:
  WrittenFile(const std::string& name, const std::string& content)
      : path_(testing::TempDir() + "vitrine-" + std::to_string(getpid()) + "-" + name) {
    EXPECT_TRUE(write_file(path_, content));
  }
  ~WrittenFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ExchangeLogOfPackets, GivesTheSameExchangesAndFields) {
  for (const char* scenario : kScenarios) {
    const std::string path = kAster + scenario + ".pcapng";
    const WrittenFile log(std::string(scenario) + ".ndjson", log_of(path));
    FieldLines fields[2];
    std::vector<std::string> exchanges[2];
    IssueLog issues[2];
    run(path, [&] { return std::make_unique<FieldConsumer>(fields[0], exchanges[0], issues[0]); });
    run(log.path(), [&] { return std::make_unique<FieldConsumer>(fields[1], exchanges[1], issues[1]); });
    EXPECT_GT(exchanges[0].size(), 20u);
    EXPECT_GT(fields[0].lines.size(), 500u);
    for (int i = 0; i < 2; ++i) {
      std::sort(fields[i].lines.begin(), fields[i].lines.end());
      std::sort(exchanges[i].begin(), exchanges[i].end());
    }
    EXPECT_EQ(exchanges[0], exchanges[1]) << scenario;
    EXPECT_EQ(fields[0].lines.size(), fields[1].lines.size());
    for (size_t i = 0; i < std::min(fields[0].lines.size(), fields[1].lines.size()); ++i) {
      ASSERT_EQ(fields[0].lines[i], fields[1].lines[i]) << scenario;
    }
    EXPECT_EQ(issues[0].total(), issues[1].total());
  }
}

TEST(ExchangeLogOfPackets, EveryLineIsValidAgainstTheSchema) {
  if (std::system("python3 -c 'import jsonschema' >/dev/null 2>&1") != 0) GTEST_SKIP() << "needs python3-jsonschema";
  std::string all;
  for (const char* scenario : kScenarios) all += log_of(kAster + scenario + ".pcapng");
  for (const char* name : {"chrome", "firefox", "safari", "charles", "insomnia", "playwright-chromium", "damaged"}) {
    all += log_of(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/har/" + name + ".har");
  }
  all += *read_file(std::string(VITRINE_SOURCE_DIR) + "/tests/golden/exchange_log/manual.ndjson");
  const WrittenFile log("all.ndjson", all);
  const WrittenFile script("check.py", R"(import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
# By its type: the error of the one line kind is readable, that of oneOf is not.
kinds = {}
for kind in schema["oneOf"]:
    kinds[kind["title"]] = jsonschema.Draft202012Validator({**kind, "$defs": schema["$defs"]})
seen = set()
for number, text in enumerate(open(sys.argv[2]), 1):
    line = json.loads(text)
    seen.add(line["type"])
    error = next(kinds[line["type"]].iter_errors(line), None)
    if error is not None:
        sys.exit(f"line {number}: {error.message}\n{text[:300]}")
missing = set(kinds) - seen
if missing:
    sys.exit(f"no line of {missing} was checked")
)");
  const std::string command = "python3 '" + script.path() + "' '" + VITRINE_SOURCE_DIR +
                              "/capture/input/exchange_log.schema.json' '" + log.path() + "'";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

}  // namespace
}  // namespace vitrine
