// The one view model: an AuditResult in words, numbers and shapes for people.
// Terminal and page print it and compute nothing of their own. Every string is
// printable (reports/plain_text.h), in one language, not yet escaped for markup.
//
// Lists are cut at the bounds below; what was left out is counted, and stands
// in report.json.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "audit/finding.h"
#include "reports/locale.h"

namespace vitrine {

inline constexpr size_t kMaxFindingRows = 500;
inline constexpr size_t kMaxFlowRows = 200;  // unattributed
inline constexpr size_t kMaxEvidenceRows = 2000;
inline constexpr size_t kMaxCookieRows = 300;
inline constexpr size_t kMaxHitRows = 20;   // per rule
inline constexpr size_t kMaxHostRows = 60;  // coverage
inline constexpr size_t kMaxRecipientRows = 80;
inline constexpr size_t kMaxLanes = 16;  // timeline
inline constexpr size_t kMaxIssueRows = 100;

struct Fact {
  std::string name, value;
};

struct Tile {       // one figure of the executive part
  std::string key;  // Verdict as a word: class name and locale id
  std::string symbol, label, meaning, count;
  bool none = false;  // the count is zero
};

struct EvidenceLink {
  std::string anchor;  // empty: the evidence is beyond kMaxEvidenceRows
  std::string label;   // "packet 4,211"
  std::string origin;
};

struct QuoteView {
  std::string says;                    // "says it is shared", "rules it out" …
  std::string document;                // "Aster Chat Privacy Notice, 2025-02-10"
  std::string section;                 // may be empty
  std::string quote, data, recipient;  // data, recipient: as the statement has them
  bool denial = false;
  std::string note;  // "broader wording" …; may be empty
};

struct FindingView {
  std::string anchor, number, id;
  std::string group;                     // heading, on the first row of each verdict
  std::string key;                       // verdict word
  std::string symbol, verdict, printed;  // "Omitted", "not found in the texts examined"
  std::string kind, type, type_id, definition_note;
  std::string recipient, recipient_note, countries;  // note: role or "as the text has it"
  std::string hosts;
  std::string observation, observation_key, inference, proof;  // proof: empty unless it may be called so
  std::string lead;                                            // empty unless the observation is unconfirmed
  std::string attribution;                                     // "tied to the subject by: …"; of flows
  std::string explanation;
  std::vector<std::string> reasons;
  std::vector<QuoteView> quotes;
  std::string coverage;
  std::string volume;             // "90 values, 90 different, 10:00:03 to 10:00:41"
  std::string sample, transport;  // may be empty
  std::vector<EvidenceLink> evidence;
};

struct EvidenceView {
  std::string anchor, origin, packet, time, host, request, path, chain, sample, command;
  std::string data;  // what it is evidence of: type labels
};

struct CountryView {
  std::string of, country, source;  // "company", "China (CN)", "entity list, 2026-11-01"
};

struct RecipientView {
  std::string name, key, role, categories, hosts, note, source;
  std::string types;  // number of kinds of data
  std::vector<CountryView> countries;
};

struct FlowView {
  std::string type, type_id, recipient, hosts, volume, sample, observation, why;
  std::vector<EvidenceLink> evidence;
};

struct DeclaredView {  // out of reach of traffic
  std::string data, recipient, why;
  QuoteView quote;
};

struct CookieView {
  std::string name, domain, recipient, direction, lifetime, attributes, first, table, quote;
  std::vector<std::string> issues;
  bool attributed = true, as_declared = false;
  std::vector<EvidenceLink> evidence;
};

struct HitView {
  std::string message, note;
  std::vector<EvidenceLink> evidence;
  std::string finding_anchor;  // may be empty
};

struct RuleView {
  std::string id, reference, reference_date, key, symbol, status, inference, sentence, why, count, more;
  std::vector<HitView> hits;
  std::vector<std::string> questions;
};

struct RuleFileView {
  std::string title, disclaimer, summary;
  std::vector<RuleView> rules;
};

struct PolicyView {
  std::string title, kind, version, status, status_sentence, source, file, sha256, url, complete;
  std::vector<std::string> missing;
};

struct InputView {
  std::string name, format, size, packets, time, sha256;
  bool simulated = false;
};

struct StepView {
  std::string number, step, time, note;
};

// ---- pictures: shapes in user units, written as SVG by the page -------------

struct BarSegment {
  std::string cause, title;  // cause: class name
  int x = 0, width = 0;
};
struct CoverageRow {
  std::string host, short_host, direction, total, readable;  // readable: "98.7 %"
  std::vector<Fact> causes;                                  // those with bytes; name = label
  std::vector<BarSegment> segments;
  int y = 0;
  bool attributed = false;
};
struct CoverageSection {
  std::string summary;       // one sentence for the first screen
  std::vector<Fact> totals;  // per direction
  std::vector<CoverageRow> rows;
  std::vector<Fact> legend;  // name = cause word (class), value = label
  int height = 0;
  std::string more;
  std::vector<Fact> issues;  // name = what, value = where and how often
  std::string more_issues;
};

struct CountryMark {
  std::string shape;  // "ip" | "network-owner" | "entity": class name
  std::string title;
  int x = 0, y = 0;
};
struct CountryColumn {
  std::string code, name;
  int x = 0;
};
struct CountryRow {
  std::string name, title;
  int y = 0;
  std::vector<CountryMark> marks;
};
struct CountryPicture {
  int width = 0, height = 0;
  std::vector<CountryColumn> columns;
  std::vector<CountryRow> rows;
};

struct TimelineBar {
  std::string title;
  int x = 0, y = 0, width = 0, height = 0;
};
struct TimelineLane {
  std::string name, total;
  int y = 0;
  bool attributed = true;
  std::vector<TimelineBar> bars;
};
struct TimelineTick {
  std::string label;
  int x = 0;
};
struct TimelineMark {
  std::string number, title;
  int x = 0, y = 0;
};
struct TimelinePicture {
  int width = 0, height = 0;
  int base = 0, bottom = 0;  // of tick labels; of step lines
  std::string note;          // what a bar stands for
  std::vector<TimelineLane> lanes;
  std::vector<TimelineTick> ticks;
  std::vector<TimelineMark> marks;
  std::vector<StepView> steps;  // numbered like the marks
  std::vector<StepView> first_flows;
};

struct ReportView {
  std::string language;  // of the page: "en", "ko"
  bool simulated = false;
  std::string simulated_mark, simulated_text;
  std::string title, subtitle;
  std::vector<std::string> summary;  // sentences of the first screen
  std::string leads;                 // how many findings are leads, counted in no tile; may be empty
  std::vector<Tile> tiles;
  std::vector<size_t> worst;  // indices in `findings`
  std::vector<std::string> worst_cookies;
  std::vector<Fact> confidence;  // certain / probable / unconfirmed
  std::vector<std::string> limits;

  std::vector<Fact> context;
  std::vector<std::string> assumed;
  std::string text_status;
  std::vector<PolicyView> policies;
  std::vector<InputView> inputs;
  std::vector<Fact> method;

  std::vector<FindingView> findings;  // flows, by verdict
  std::vector<FindingView> declared;  // declared-not-observed and not-testable statements
  std::vector<FindingView> cookie_findings;
  std::string cookie_note;  // how many results stand under cookies
  std::string more_findings;
  std::vector<DeclaredView> out_of_reach;
  std::vector<RecipientView> recipients;  // that received something of the subject
  std::vector<RecipientView> other_recipients;
  CountryPicture country_picture;
  TimelinePicture timeline;
  std::vector<CookieView> cookies;
  std::string more_cookies;
  std::vector<RuleFileView> rules;
  CoverageSection coverage;
  std::vector<FlowView> unattributed;
  std::string more_unattributed;
  std::vector<EvidenceView> evidence;
  std::string more_evidence;
  std::vector<Fact> glossary;
  std::vector<std::string> next_steps;  // commands
};

ReportView make_view(const AuditResult& result, const Locale& locale);

}  // namespace vitrine
