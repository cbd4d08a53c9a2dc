// AuditResult: everything a report says, as data. Reports render it and add
// nothing; tests assert on it. All vectors are sorted by the keys named beside
// them, so that equal input gives an equal object whatever the number of threads.
//
// Texts for people are Sentences (an id and named arguments); the sentences in
// English and Korean stand in audit/sentences.h. Values of fields appear masked
// only (audit/masking.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "capture/exchange.h"
#include "capture/field.h"
#include "capture/origin.h"
#include "capture/types.h"

namespace vitrine {

// A sentence: catalogue id and arguments by name, in the order given.
struct Sentence {
  std::string id;  // "finding.omitted"; empty = no message
  std::vector<std::pair<std::string, std::string>> arguments;
  bool operator==(const Sentence&) const = default;
};

// ---- the words of a verdict -------------------------------------------------

// Ordered by how much they ask of a reader: the worst first.
enum class Verdict : uint8_t {
  contradicted,
  ambiguous,
  omitted,
  vague,
  declared_not_observed,
  not_testable,
  clear,
};
inline constexpr size_t kVerdicts = 7;
std::string_view to_string(Verdict verdict);  // "contradicted", "declared-not-observed" …

enum class Inference : uint8_t { textual, indicator, document };  // audit model, section 6
std::string_view to_string(Inference inference);

enum class FindingKind : uint8_t {
  flow,      // a type that was sent, against the texts
  declared,  // an automatic statement without a flow
  cookie,    // an observed cookie, against the cookie table
};
std::string_view to_string(FindingKind kind);

enum class Vagueness : uint8_t { none, data, recipient, both };
std::string_view to_string(Vagueness vagueness);

// ---- what was read ----------------------------------------------------------

struct InputFile {
  std::string name;    // as given on the command line, without folders
  std::string sha256;  // of the whole file, hex
  std::string format;  // "pcapng", "pcap", "har", "exchange-log"
  uint64_t bytes = 0, packets = 0;
  bool simulated = false;
  std::optional<Timestamp> first, last;  // times of the first and last packet or entry
};

struct StepMarker {
  std::string step;  // "launch", "typing-start" … (audit/context.h)
  Timestamp time;
  std::string note;
  bool in_capture = true;  // false: outside the captured times, so it exercises nothing
};

// audit.yaml as it was understood. `assumed` names what the file did not say.
struct ContextView {
  bool given = false;  // an audit.yaml was read
  bool simulated = false;
  std::string service, client, client_version, platform;  // platform: web | app | api
  std::string country;                                    // ISO 3166-1 alpha-2, or empty = not known
  std::string account;                                    // consumer | business | none
  std::string language;
  std::string operator_name, authorisation, environment;
  std::vector<StepMarker> steps;  // by time
  std::vector<Sentence> assumed;  // "context.assumed.account" …
};

// ---- the texts --------------------------------------------------------------

enum class PolicyStatus : uint8_t { in_force, latest_known, chosen, no_text };
std::string_view to_string(PolicyStatus status);

struct MissingDocument {
  std::string document;
  std::vector<std::string> regions, data;
};

struct PolicyUse {
  size_t policy = 0;  // StatementRef::policy: index in AuditResult::policies
  std::string publisher, publisher_name;
  std::string kind, title, language, url;
  std::string version_date;  // effective, else updated, else first seen
  std::string recorded;      // last day on which the record holds this text
  std::string source;        // whose record
  std::string file;          // file name of the policy, "deepseek/2024-12-05.yaml"
  std::string text_sha256;
  PolicyStatus status = PolicyStatus::no_text;
  Sentence status_sentence;  // "policy.in-force" | "policy.latest-known" | "policy.chosen"
  bool complete = false;
  std::vector<MissingDocument> missing;
};

// One statement as quoted in a finding.
struct StatementRef {
  size_t policy = 0;  // index in AuditResult::policies
  std::string id, action, recipient, channel, trigger, section, quote, purpose;
  std::string data;  // the taxonomy id of the statement that covers the type
  bool exact_data = false, exact_recipient = false;
  bool excepted = false;  // set aside by a narrower statement of the other kind
};

// ---- recipients -------------------------------------------------------------

enum class RecipientRole : uint8_t {
  first_party,
  processor,
  third_party /* independent, or known only by name */,
  infrastructure,
  local /* private address without a name */,
};
std::string_view to_string(RecipientRole role);

enum class CountryOf : uint8_t { ip, network_owner, entity };
std::string_view to_string(CountryOf what);

// One of the three countries. An empty country is "not known", and `source`
// then says why when there is a reason.
struct CountryInfo {
  CountryOf what = CountryOf::ip;
  std::string country;  // ISO 3166-1 alpha-2
  std::string source;   // database type or entity list
  std::string date;     // build or list date
  std::string detail;   // address (masked never needed: a server's), AS name, entity name
  bool operator==(const CountryInfo&) const = default;
  auto operator<=>(const CountryInfo&) const = default;
};

struct RecipientInfo {
  std::string key;                  // entity id, else registrable domain, else address: the join key
  std::string entity, name;         // entity id and name; empty when no list knows the host
  std::string parent;               // entity id of the group's parent
  std::string source, source_date;  // of the entity row
  std::string note;
  std::string domain;  // registrable domain of the first host; empty for addresses
  RecipientRole role = RecipientRole::third_party;
  std::vector<std::string> categories;        // as in the entity row
  std::vector<std::string> hosts, addresses;  // sorted
  std::vector<CountryInfo> countries;         // sorted; several of kind ip when addresses differ
};

// ---- flows ------------------------------------------------------------------

enum class Leg : uint8_t {
  direct,        // client to a host of the recipient
  through_edge,  // the host's canonical name or network belongs to infrastructure (CDN, WAF) that ends TLS
};
std::string_view to_string(Leg leg);

enum class Attribution : uint8_t {
  unattributed,
  client_process,   // of a program that is the subject's, as all it asked shows
  same_connection,  // as the subject's own requests, and nobody else's
  client_rule_host,
  first_party_host,
  context_host,
  page /* initiator, referrer or origin */,
  process,
};
std::string_view to_string(Attribution attribution);

// Where one value lies. Enough for `vitrine origin` and for a person.
struct Evidence {
  OriginRef origin;
  uint64_t packet = 0;  // 1-based, as tshark counts
  Timestamp time;
  std::string host, method, url_path;  // url_path without its query
  std::string path;                    // field path: its own decoders follow those of `chain`
  std::string chain;                   // what lies below the path: "tls 1.3 > HTTP/2 > gzip"
};
bool operator<(const Evidence& left, const Evidence& right);  // by packet, exchange, node
bool operator==(const Evidence& left, const Evidence& right);

// Values of a flow that travelled in one way.
struct TransportUse {
  uint64_t count = 0;
  Observation observation = Observation::none;  // of the surest of them
  std::vector<Evidence> evidence;               // of those: at most 5
};

struct TransportView {
  bool cleartext = false;   // at least one value went without TLS
  bool in_url = false;      // at least one value stood in a path or query
  uint16_t lowest_tls = 0;  // 0x0301 … 0x0304; 0 = no TLS seen
  TransportUse cleartext_use, in_url_use, lowest_tls_use;
};

// Those values of a flow that were observed less surely than its surest ones.
struct WeakerValues {
  Observation observation = Observation::none;
  uint64_t count = 0;
  Timestamp first, last;
  std::vector<Evidence> evidence;         // at most 5, smallest packet numbers first
  std::optional<Evidence> last_evidence;  // largest packet number, when it is none of those
};

// One per (type, recipient, leg); see section 4 of the model.
struct Flow {
  std::string id;         // stable: hash of type, recipient key and leg
  std::string type;       // taxonomy id
  std::string recipient;  // RecipientInfo::key
  Leg leg = Leg::direct;
  RecipientRole role = RecipientRole::third_party;
  std::vector<Attribution> attributed_by;  // sorted; only `unattributed` in unattributed flows
  std::vector<std::string> hosts;          // sorted
  uint64_t count = 0;
  std::array<uint64_t, 4> count_by_observation{};  // indexed by Observation
  Timestamp first, last;
  uint64_t distinct_values = 0;
  bool distinct_at_least = false;  // the count stopped at its bound: print "≥"
  // What follows is of the surest values: evidence belongs to the observation it is shown for.
  std::string sample;                           // masked value of the first evidence
  std::string sample_digest;                    // HMAC-SHA-256 under the case key, first 16 hex digits
  Observation observation = Observation::none;  // the strongest
  Timestamp surest_first, surest_last;          // of the values with that observation
  std::vector<Evidence> evidence;               // at most 5, smallest packet numbers first
  std::optional<Evidence> last_evidence;        // largest packet number, when it is none of those
  std::vector<WeakerValues> weaker;             // stronger first
  std::vector<std::string> decided_by;          // of all values; sorted; at most 8, then "…"
  TransportView transport;                      // of all values
};

// ---- findings ---------------------------------------------------------------

// How much of what was sent to the recipient's hosts could be read: what a
// verdict stands on. Client → server bytes.
struct CoverageView {
  uint64_t decoded = 0;
  std::vector<std::pair<Cause, uint64_t>> undecoded;  // causes with bytes, in enum order
  std::vector<std::string> hosts;                     // sorted
  bool all_read() const { return undecoded.empty(); }
  uint64_t undecoded_bytes() const {
    uint64_t sum = 0;
    for (const auto& [cause, bytes] : undecoded) sum += bytes;
    return sum;
  }
};

struct Finding {
  std::string id;  // stable: hash of kind, rule or statement key, type and recipient
  FindingKind kind = FindingKind::flow;
  Verdict verdict = Verdict::not_testable;
  Vagueness vagueness = Vagueness::none;         // with Verdict::vague
  std::string type;                              // taxonomy id
  std::string recipient;                         // RecipientInfo::key; kind declared: recipient as the text has it
  std::vector<StatementRef> positives, denials;  // in the order of policies and files
  Observation observation = Observation::none;   // none for kind declared
  Inference inference = Inference::textual;
  CoverageView coverage;
  std::vector<std::string> flows;    // Flow::id, sorted
  std::vector<Evidence> evidence;    // of those flows, at most 5
  std::vector<std::string> missing;  // texts missing, when that is why it is not testable
  Sentence explanation;
  std::vector<Sentence> reasons;  // why not testable, one each
  bool is_lead() const { return observation == Observation::unconfirmed; }
  // Only certain + textual may be called proof.
  bool is_proof() const {
    return observation == Observation::certain && inference == Inference::textual && kind == FindingKind::flow &&
           verdict != Verdict::not_testable;
  }
};

// Statements that traffic cannot confirm or refute.
struct OutOfReach {
  StatementRef statement;
  Sentence why;  // "reach.user-provided" | "reach.server-side" | "reach.from-third-parties" | "reach.scope"
};

// ---- cookies ----------------------------------------------------------------

enum class CookieIssue : uint8_t { undeclared, other_party, longer_lifetime, before_consent, no_table };
std::string_view to_string(CookieIssue issue);

struct CookieRow {
  std::string name, domain;        // domain: Domain attribute (leading dot), else the host
  std::string recipient;           // RecipientInfo::key of the host that set or received it
  std::vector<std::string> hosts;  // sorted
  bool attributed = true;
  bool set = false, sent = false;  // Set-Cookie seen; Cookie seen
  std::optional<int64_t> max_age;  // longest lifetime set, seconds; none = session or only sent
  bool secure = false, http_only = false;
  std::string same_site;             // lower case, empty when absent
  bool third_party_context = false;  // host is not of the first party
  Timestamp first, last;
  std::optional<size_t> table_policy;  // index in AuditResult::policies, when a row matches
  std::string table_name, table_lifetime, table_party, table_provider, table_category, quote;
  std::optional<int64_t> table_max_age;
  std::vector<CookieIssue> issues;  // sorted
  std::vector<Evidence> evidence;
};

// ---- rules ------------------------------------------------------------------

enum class RuleStatus : uint8_t { evidence, nothing_seen, not_testable, not_applicable, document };
std::string_view to_string(RuleStatus status);  // "relevant-evidence", "nothing-seen" …

struct RuleHit {
  std::string type, recipient, host, country, quote, marker;  // any may be empty
  CountryOf country_of = CountryOf::ip;                       // with `country`
  std::string note;                                           // words that limit an adequacy decision
  std::string finding;                                        // Finding::id, when the hit is a finding
  uint64_t count = 0;
  Observation observation = Observation::none;
  std::string message_en, message_ko;  // the rule's message, filled in
  std::vector<Evidence> evidence;      // at most 5
};

struct RuleResult {
  std::string file, file_title, disclaimer;  // rules file id and its title
  std::string id, reference, reference_date, evidence_sentence;
  Inference inference = Inference::indicator;
  RuleStatus status = RuleStatus::nothing_seen;
  Sentence why;               // not testable, not applicable, document
  std::vector<RuleHit> hits;  // sorted; at most kMaxRuleHits
  uint64_t hits_total = 0;
  uint64_t leads = 0;  // what would be a hit, but rests on unconfirmed observations only
  std::vector<std::string> open_questions;
  std::string message_en, message_ko;  // as in the file, unfilled
};
inline constexpr size_t kMaxRuleHits = 200;

// ---- coverage, timeline -----------------------------------------------------

struct LedgerRow {
  std::string host;       // name, else address
  std::string recipient;  // RecipientInfo::key
  Direction direction = Direction::client_to_server;
  ByteCounts bytes;
  bool attributed = false;  // some traffic with the host belongs to the subject
};

struct IssueCount {
  Issue first;  // where it was met first
  uint64_t count = 0;
};

struct TimelineBin {
  Timestamp start;
  std::string recipient;
  bool attributed = true;
  uint64_t requests = 0, values = 0;  // typed client → server values
};
struct TimelineEvent {
  Timestamp time;
  std::string kind;       // "step" | "first-flow"
  std::string label;      // step name, or taxonomy id
  std::string recipient;  // for first-flow
};

// ---- the whole --------------------------------------------------------------

struct AuditResult {
  bool simulated = false;  // any input or the context says so: print SIMULATED
  std::vector<InputFile> inputs;
  ContextView context;
  std::string publisher, publisher_name;  // of the subject's service; empty when not known
  Sentence text_status;                   // "policy.held" | "policy.none-held" | "policy.no-subject"
  std::vector<PolicyUse> policies;

  std::vector<RecipientInfo> recipients;  // by key
  std::vector<Flow> flows;                // by (recipient role, recipient, type, leg)
  std::vector<Flow> unattributed;         // same order
  std::vector<Finding> findings;          // by (verdict, kind, type, recipient)
  std::vector<OutOfReach> out_of_reach;
  std::vector<CookieRow> cookies;  // by (attributed first, domain, name)
  std::vector<RuleResult> rules;   // in the order of the rule files

  std::vector<LedgerRow> ledger;  // by (host, direction)
  std::array<ByteCounts, 2> ledger_totals;
  std::vector<IssueCount> issues;  // by (cause, what)
  int64_t timeline_bin_seconds = 0;
  std::vector<TimelineBin> timeline;  // by (start, recipient, attributed)
  std::vector<TimelineEvent> events;  // by time
  std::vector<Sentence> limits;       // "limits.undecoded" … what this result cannot say

  // Findings, indexed by Verdict. Leads (Finding::is_lead) are counted apart: an
  // unconfirmed observation is nothing that was found or not found in a text.
  std::array<uint64_t, kVerdicts> verdict_counts{}, lead_counts{};

  const RecipientInfo* recipient(std::string_view key) const;  // nullptr when unknown
  const Flow* flow(std::string_view id) const;                 // in flows or unattributed
  const Finding* finding(FindingKind kind, std::string_view type, std::string_view recipient) const;
  const RuleResult* rule(std::string_view id) const;
};

}  // namespace vitrine
