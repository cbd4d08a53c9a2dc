// The requests of the Aster recordings against tshark's view of the same files
// (examples/aster/*.requests.tsv): what `vitrine exchanges --json` prints, and
// the sizes on the wire of the exchanges behind it.
#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/cli/aster.h"
#include "tests/cli/program.h"

namespace vitrine::cli::aster {
namespace {

constexpr const char* kEmptySha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// Columns of the reference, header line removed, codings left out (they are not
// in the exchange's line). Bodies of 101 answers are messages, not bodies.
std::vector<std::string> reference(const std::string& scenario, bool wire_sizes) {
  std::vector<std::string> out;
  for (const std::string& line : lines_of(contents(kFolder + "/aster-" + scenario + ".requests.tsv"))) {
    if (line.starts_with('#') || line.starts_with("method\t")) continue;
    std::vector<std::string> cells;
    std::istringstream in(line);
    for (std::string cell; std::getline(in, cell, '\t');) cells.push_back(cell);
    if (cells.size() != 11) {
      ADD_FAILURE() << line;
      continue;
    }
    std::string row = cells[0] + " " + cells[1] + "://" + cells[2] + cells[3] + " " + cells[4];
    if (wire_sizes) row += " " + cells[6] + " " + cells[9];
    else if (cells[4] != "101") row += " " + cells[7] + " " + cells[10];
    out.push_back(row);
  }
  std::sort(out.begin(), out.end());
  return out;
}

class Sizes : public ShardConsumer {
 public:
  explicit Sizes(std::vector<std::string>& out) : out_(out) {}
  void position(OutputPosition) override {}
  std::unique_ptr<ShardOutput> take() override { return std::make_unique<ShardOutput>(); }
  void closed(const Exchange& exchange, CloseReason reason) override {
    EXPECT_TRUE(reason == CloseReason::complete || exchange.protocol == Protocol::websocket || exchange.status == 101)
        << exchange.url() << " " << to_string(reason);
    const bool upgraded = exchange.status == 101;
    const auto size = [&](Direction direction) {
      return std::to_string(upgraded ? 0 : exchange.message(direction).wire_bytes);
    };
    out_.push_back(exchange.method + " " + exchange.url() + " " + std::to_string(exchange.status) + " " +
                   size(Direction::client_to_server) + " " + size(Direction::server_to_client));
  }

 private:
  std::vector<std::string>& out_;
};

class Requests : public testing::TestWithParam<std::string> {};

TEST_P(Requests, AreThoseThatTsharkSees) {
  const Outcome outcome = vitrine({"exchanges", recording(GetParam()), "--json"});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  std::vector<std::string> rows;
  for (const std::string& line : lines_of(outcome.out)) {
    const nlohmann::json json = nlohmann::json::parse(line);
    const auto digest = [&](const char* key) {
      const std::string value = json.value(key, kEmptySha256);
      return value == kEmptySha256 ? "-" : value;
    };
    const int status = json.value("status", 0);
    std::string row = json.value("method", "") + " " + json.value("url", "") + " " + std::to_string(status);
    if (status != 101) row += " " + digest("request_sha256") + " " + digest("response_sha256");
    rows.push_back(row);
  }
  std::sort(rows.begin(), rows.end());
  EXPECT_GT(rows.size(), 50u);
  EXPECT_EQ(rows, reference(GetParam(), false));
}

TEST_P(Requests, HaveTheSizesOnTheWireThatTsharkSees) {
  IssueLog issues;
  Result<Input> input = Input::open(recording(GetParam()), {}, issues);
  ASSERT_TRUE(input) << input.error().to_string();
  std::vector<std::string> rows;
  const Status status = input->run(
      issues, [&](unsigned) { return std::make_unique<Sizes>(rows); },
      [](std::span<std::unique_ptr<ShardOutput>>) { return Status(); });
  ASSERT_TRUE(status) << status.error().to_string();
  std::sort(rows.begin(), rows.end());
  EXPECT_EQ(rows, reference(GetParam(), true));
}

INSTANTIATE_TEST_SUITE_P(Aster, Requests, testing::ValuesIn(kScenarios), [](const auto& each) { return each.param; });

}  // namespace
}  // namespace vitrine::cli::aster
