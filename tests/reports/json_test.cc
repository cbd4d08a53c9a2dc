#include "reports/json.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "golden.h"
#include "sample_results.h"

namespace vitrine {
namespace {

using namespace testing_reports;
using nlohmann::json;

// Python's jsonschema is the judge: python3-jsonschema.
std::string schema_problems(const std::vector<AuditResult>& results) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("vitrine-report-schema-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::string command = "python3 " VITRINE_SOURCE_DIR "/tests/reports/validate_report.py " VITRINE_SOURCE_DIR
                        "/reports/report.schema.json";
  for (size_t i = 0; i < results.size(); ++i) {
    const std::string path = (folder / (std::to_string(i) + ".json")).string();
    if (!write_file(path, render_json(results[i]))) return "cannot write " + path;
    command += " '" + path + "'";
  }
  const std::string log = (folder / "log").string();
  const int status = std::system((command + " > '" + log + "' 2>&1").c_str());
  const std::string said = read_file(log).value_or("");
  std::filesystem::remove_all(folder);
  return status == 0 ? said : "status " + std::to_string(status) + ": " + said;
}

TEST(ReportJson, FitsItsSchema) {
  std::vector<AuditResult> results = {sample_result(), AuditResult{}, large_result(300)};
  for (const std::string& poison : poisons()) results.push_back(hostile_result(poison));
  results.back().ledger.clear();
  EXPECT_EQ(schema_problems(results), "");
}

TEST(ReportJson, TheSchemaIsClosed) {
  // A statement with an action the schema does not know must be refused.
  AuditResult result = sample_result();
  result.findings[0].denials[0].action = "sell";
  EXPECT_NE(schema_problems({result}).find("sell"), std::string::npos);
}

TEST(ReportJson, SaysWhatTheResultSays) {
  const AuditResult result = sample_result();
  const json report = json::parse(render_json(result));
  EXPECT_EQ(report["report"], kReportVersion);
  EXPECT_EQ(report["simulated"], true);
  EXPECT_EQ(report["marking"], "SIMULATED");
  ASSERT_EQ(report["findings"].size(), result.findings.size());
  for (size_t i = 0; i < result.findings.size(); ++i) {
    EXPECT_EQ(report["findings"][i]["verdict"], to_string(result.findings[i].verdict));
    EXPECT_EQ(report["findings"][i]["proof"], result.findings[i].is_proof());
  }
  EXPECT_EQ(report["summary"]["verdicts"]["omitted"], result.verdict_counts[static_cast<size_t>(Verdict::omitted)]);
  EXPECT_EQ(report["summary"]["leads"]["not-testable"], 1);
  EXPECT_EQ(report["flows"][5]["weaker"][0]["observation"], "probable");
  EXPECT_EQ(report["flows"][4]["in_url_use"]["evidence"].size(), 1u);
  EXPECT_EQ(report["flows"][4]["cleartext_use"], nullptr);
  EXPECT_EQ(report["findings"][0]["denials"][0]["quote"], result.findings[0].denials[0].quote);
  EXPECT_EQ(report["flows"][0]["evidence"][0]["origin"], "12.7:3");
  EXPECT_EQ(report["recipients"][3]["countries"][0]["country"], nullptr);
  EXPECT_EQ(report["coverage"]["totals"]["client_to_server"]["by_cause"]["opaque"], 882);
  EXPECT_EQ(report["coverage"]["totals"]["client_to_server"]["total"], result.ledger_totals[0].total());
  EXPECT_EQ(json::parse(render_json(AuditResult{}))["marking"], nullptr);
}

TEST(ReportJson, SameInputSameBytes) {
  EXPECT_EQ(render_json(sample_result()), render_json(sample_result()));
  expect_golden("sample.json", render_json(sample_result()));
}

TEST(ReportJson, ForeignBytesStayValues) {
  for (const std::string& poison : poisons()) {
    const std::string text = render_json(hostile_result(poison));
    const json report = json::parse(text);
    EXPECT_EQ(report["findings"].size(), sample_result().findings.size());
    EXPECT_EQ(text.find('\x1b'), std::string::npos);
  }
}

}  // namespace
}  // namespace vitrine
