#include "reports/view.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "sample_results.h"

namespace vitrine {
namespace {

using namespace testing_reports;

ReportView view_of(const AuditResult& result) { return make_view(result, Locale::of("en")); }

TEST(View, WorstAreOrderedByVerdictThenByWhatTheyTell) {
  const ReportView view = view_of(sample_result());
  std::vector<std::string> worst;
  for (size_t index : view.worst) worst.push_back(view.findings[index].type_id + " " + view.findings[index].key);
  EXPECT_EQ(worst, (std::vector<std::string>{"content.chat-url contradicted", "device.timezone ambiguous",
                                             "behaviour.keystroke-dynamics omitted",
                                             "behaviour.keystroke-dynamics omitted", "device.locale vague"}));
  // The third party stands before the service itself.
  EXPECT_EQ(view.findings[view.worst[2]].recipient, "Metrica Pte. Ltd. (SIMULATED)");
}

TEST(View, ClearAndUntestableAreNeverAmongTheWorst) {
  AuditResult result = sample_result();
  std::erase_if(result.findings, [](const Finding& each) { return each.verdict <= Verdict::vague; });
  EXPECT_TRUE(view_of(result).worst.empty());
}

TEST(View, LeadsAreCountedApartAndNeverAmongTheWorst) {
  AuditResult result = sample_result();
  const size_t before = view_of(result).worst.size();
  Finding lead = result.findings.front();
  lead.id = "lead";
  lead.observation = Observation::unconfirmed;
  ASSERT_EQ(lead.verdict, Verdict::contradicted);
  result.findings.insert(result.findings.begin(), lead);
  ++result.lead_counts[static_cast<size_t>(lead.verdict)];
  const ReportView view = view_of(result);
  EXPECT_EQ(view.worst.size(), before);
  for (size_t index : view.worst) EXPECT_TRUE(view.findings[index].lead.empty());
  EXPECT_FALSE(view.findings[1].lead.empty()) << "behind the others of its verdict";
  EXPECT_EQ(view.tiles.front().count, "1") << "the lead is not counted as a contradiction";
  EXPECT_EQ(view.leads, "Counted apart, as leads with an unconfirmed observation: 2.");
  EXPECT_EQ(view.summary.back(), view.leads);
}

TEST(View, SaysWhatTiesAFlowToTheSubject) {
  AuditResult result = sample_result();
  for (Flow& flow : result.flows) flow.attributed_by = {Attribution::client_process, Attribution::page};
  const ReportView view = view_of(result);
  EXPECT_EQ(
      view.findings.front().attribution,
      "Tied to the subject by: the program's process, which serves this subject alone, the subject's page that asked");
  EXPECT_TRUE(view.declared.front().attribution.empty());
}

TEST(View, TheSampleIsOfTheObservationShown) {
  AuditResult result = sample_result();
  Finding& finding = result.findings.front();
  Flow weaker = *result.flow(finding.flows.front());
  weaker.id = "weaker";
  weaker.observation = Observation::probable;
  weaker.sample = "weaker sample";
  result.flows.push_back(weaker);
  finding.flows.insert(finding.flows.begin(), "weaker");
  ASSERT_EQ(finding.observation, Observation::certain);
  EXPECT_NE(view_of(result).findings.front().sample, "weaker sample");
}

TEST(View, KindsStandApart) {
  const ReportView view = view_of(sample_result());
  EXPECT_EQ(view.findings.size(), 7u);
  EXPECT_EQ(view.declared.size(), 2u);
  EXPECT_EQ(view.cookie_findings.size(), 1u);
}

TEST(View, ProofIsOnlyCertainAndTextual) {
  const ReportView view = view_of(sample_result());
  for (const FindingView& finding : view.findings) {
    EXPECT_EQ(!finding.proof.empty(), finding.observation_key == "certain" && finding.key != "not-testable")
        << finding.type;
  }
}

TEST(View, PrintsVerdictsAsTheModelSays) {
  const ReportView view = view_of(sample_result());
  std::map<std::string, std::string> printed;
  for (const FindingView& finding : view.findings) printed[finding.key] = finding.printed;
  EXPECT_EQ(printed["contradicted"], "contradicts the text");
  EXPECT_EQ(printed["ambiguous"], "the texts say both");
  EXPECT_EQ(printed["omitted"], "not found in the texts examined");
  EXPECT_EQ(printed["vague"], "covered only by broader wording (data and recipient)");
  EXPECT_EQ(printed["not-testable"], "texts missing: List of embedded kits");
  EXPECT_EQ(printed["clear"], "found in the text");
}

TEST(View, CoverageCountsTheSubjectsHostsOnly) {
  const ReportView view = view_of(sample_result());
  EXPECT_EQ(
      view.coverage.summary,
      "81.8 % of what the client sent to these recipients could be read. Not read: 12.0 kB (no key), 882 B (opaque).");
  for (const CoverageRow& row : view.coverage.rows) {
    int width = 0;
    for (const BarSegment& segment : row.segments) width += segment.width;
    EXPECT_EQ(width, 600) << row.host;
  }
}

TEST(View, PicturesStayInTheirFrames) {
  const ReportView view = view_of(sample_result());
  const TimelinePicture& timeline = view.timeline;
  ASSERT_EQ(timeline.lanes.size(), 4u);
  for (const TimelineLane& lane : timeline.lanes) {
    for (const TimelineBar& bar : lane.bars) {
      EXPECT_GE(bar.x, 0);
      EXPECT_LE(bar.x + bar.width, timeline.width);
      EXPECT_GE(bar.y, 0);
      EXPECT_LE(bar.y + bar.height, timeline.height);
    }
  }
  EXPECT_EQ(timeline.marks.size(), 5u);  // the sixth step lies outside
  EXPECT_EQ(timeline.steps.size(), 6u);
  for (const CountryRow& row : view.country_picture.rows) {
    for (const CountryMark& mark : row.marks) EXPECT_LT(mark.x, view.country_picture.width);
  }
}

TEST(View, EvidenceIsListedOnce) {
  const ReportView view = view_of(sample_result());
  std::set<std::string> origins;
  for (const EvidenceView& evidence : view.evidence) {
    EXPECT_TRUE(origins.insert(evidence.origin + evidence.path).second) << evidence.origin;
  }
  EXPECT_FALSE(view.evidence.front().sample.empty());
}

TEST(View, BoundsAreKept) {
  const ReportView view = view_of(large_result(10'000));
  EXPECT_EQ(view.findings.size(), kMaxFindingRows);
  EXPECT_LE(view.evidence.size(), kMaxEvidenceRows);
  EXPECT_LE(view.recipients.size(), kMaxRecipientRows);
  EXPECT_FALSE(view.more_findings.empty());
}

}  // namespace
}  // namespace vitrine
