// Every finding of each Aster scenario × policy version, in full, against
// tests/golden/aster/. VITRINE_REGENERATE=1 writes the files anew: then read
// the difference as closely as a change of code.
#include <cstdlib>
#include <fstream>
#include <map>

#include "base/file.h"
#include "tests/cli/aster.h"

namespace vitrine::cli::aster {

const AuditResult& cached(const std::string& scenario, const std::string& version) {
  static std::map<std::pair<std::string, std::string>, AuditResult> results;
  const auto [at, added] = results.try_emplace({scenario, version});
  if (added) at->second = audit(scenario, version);
  return at->second;
}

namespace {

class Golden : public testing::TestWithParam<std::tuple<std::string, std::string>> {};

std::string table_of(const AuditResult& result) {
  std::string out = "# SIMULATED\nverdict\tkind\ttype\trecipient\tobservation\tinference\tstatements\n";
  for (const Finding& finding : result.findings) {
    std::string statements;
    for (const auto* list : {&finding.positives, &finding.denials}) {
      for (const StatementRef& ref : *list) {
        if (!statements.empty()) statements += ' ';
        statements += (list == &finding.denials ? "!" : "") + ref.id + (ref.excepted ? "(excepted)" : "");
      }
    }
    for (const std::string& cell :
         {verdict_of(&finding), std::string(to_string(finding.kind)), finding.type, finding.recipient,
          std::string(to_string(finding.observation)), std::string(to_string(finding.inference))}) {
      out += cell + "\t";
    }
    out += (statements.empty() ? "-" : statements) + "\n";
  }
  return out;
}

TEST_P(Golden, FindingsAreThoseRecorded) {
  const auto& [scenario, version] = GetParam();
  const std::string path =
      std::string(VITRINE_SOURCE_DIR) + "/tests/golden/aster/" + scenario + "." + version + ".findings.tsv";
  const std::string table = table_of(cached(scenario, version));
  if (std::getenv("VITRINE_REGENERATE") != nullptr) {
    std::ofstream(path, std::ios::binary) << table;
    GTEST_SKIP() << "written: " << path;
  }
  const Result<std::string> golden = read_file(path);
  ASSERT_TRUE(golden) << golden.error().to_string();
  EXPECT_EQ(table, *golden);
}

INSTANTIATE_TEST_SUITE_P(Aster, Golden, testing::Combine(testing::ValuesIn(kScenarios), testing::ValuesIn(kVersions)),
                         [](const auto& each) {
                           std::string name = std::get<0>(each.param) + "_" + std::get<1>(each.param);
                           for (char& c : name) c = c == '-' ? '_' : c;
                           return name;
                         });

}  // namespace
}  // namespace vitrine::cli::aster
