#include "cli/audit_run.h"

#include <filesystem>

#include "base/file.h"
#include "cli/draft_stage.h"

namespace vitrine::cli {
namespace {

// One shard: fields become flows.
class AuditConsumer : public ShardConsumer, private FieldSink {
 public:
  AuditConsumer(const LoadedPolicies& policies, IssueLog& issues)
      : issues_(issues), collector_(policies.inputs), line_(*policies.knowledge, *this) {
    line_.extractor().set_issues(&issues);
  }

  void position(OutputPosition position) override { position_ = position; }
  std::unique_ptr<ShardOutput> take() override { return std::exchange(output_, std::make_unique<DraftOutput>()); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    line_.extractor().connection(info, event);
    if (event == ConnectionEvent::closed) collector_.connection_closed(info);
  }
  void opened(const Exchange& exchange) override { line_.extractor().opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { line_.extractor().part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override {
    line_.extractor().closed(exchange, reason);
    collector_.exchange_closed(exchange, reason,
                               {line_.extractor().opaque_bytes(exchange, Direction::client_to_server),
                                line_.extractor().opaque_bytes(exchange, Direction::server_to_client)});
  }
  void dns(const ConnectionInfo& info, const DnsName& name) override { line_.extractor().dns(info, name); }
  void resolved(const IpAddress& ip, std::string_view name) override { collector_.resolved(ip, name); }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

  FlowCollector& collector() { return collector_; }
  // What the detectors had no room for was not looked at: an all-clear must know.
  void report_missed() {
    if (line_.missed() > 0)
      issues_.issue({Cause::truncated, "audit: a part with more values than are searched for keystroke timing", 0, 0});
    if (sampler_.missed() > 0)
      issues_.issue({Cause::truncated, "audit: a part with more texts than are searched for drafts", 0, 0});
  }

 private:
  void begin_part(const Exchange& exchange, const Part& part) override { collector_.begin_part(exchange, part); }
  void field(const Field& field) override {
    sampler_.take(field, line_.extractor().patterns(), position_, output_->drafts);
    collector_.field(field);
  }
  void end_part(const Exchange& exchange, const Part& part) override { collector_.end_part(exchange, part); }

  IssueLog& issues_;
  FlowCollector collector_;
  FieldLine line_;
  DraftSampler sampler_;
  OutputPosition position_;
  std::unique_ptr<DraftOutput> output_ = std::make_unique<DraftOutput>();
};

// A step that a field rule had typed as a draft already is in the flow; the
// detector only makes it surer.
struct Raise {
  OwnedDraftSample step;
  TypeId type;
  Observation to;
  std::string decided_by;
};

FlowCollector::LateValue late_value(const OwnedDraftSample& step, TypeId type, Observation observation,
                                    std::string_view decided_by) {
  FlowCollector::LateValue value;
  value.time = step.time;
  value.packet = step.packet;
  value.origin = step.origin.node;
  value.path = step.path;
  value.location = step.location;
  value.value = step.value;
  value.type = type;
  value.observation = observation;
  value.decided_by = decided_by;
  return value;
}

void book_draft(FlowCollector& collector, std::vector<Raise>& raises, const DraftObservation& draft,
                std::span<const OwnedDraftSample* const> steps) {
  for (const OwnedDraftSample* step : steps) {
    if (step->type == draft.type) {
      raises.push_back({*step, draft.type, draft.observation, draft.decided_by});
      continue;
    }
    collector.late_value(*step->exchange, late_value(*step, draft.type, draft.observation, draft.decided_by));
  }
}

}  // namespace

Result<Context> load_context(const std::string& path) {
  if (path.empty()) return Context();
  Result<std::string> text = read_file(path, 1 << 20);
  if (!text) return tl::unexpected(text.error());
  return parse_context(*text, path);
}

Status choose_texts(const std::vector<std::string>& names, AuditInputs& inputs) {
  for (const std::string& name : names) {
    std::vector<std::string> matches;
    for (const Policy& policy : inputs.policies) {
      if (policy.file == name || policy.file == name + ".yaml") matches.push_back(policy.file);
    }
    if (matches.empty())
      return fail(ErrorCode::usage, "no policy file of this name; `vitrine policy list` shows them", name);
    inputs.chosen_policies.insert(inputs.chosen_policies.end(), matches.begin(), matches.end());
  }
  return {};
}

Status AuditRun::read(const std::string& path, InputOptions options, IssueLog& own, const Input::Progress& progress) {
  options.digest = true;
  const Status status = collect(path, options, own, progress);
  issues_.merge(own);
  return status;
}

AuditResult AuditRun::evaluate() {
  std::vector<IssueCount> counted;
  for (const CountedIssue& row : issues_.rows()) counted.push_back({row.first, row.count});
  return vitrine::evaluate(policies_.inputs, std::move(collector_), std::move(counted));
}

Status AuditRun::collect(const std::string& path, const InputOptions& options, IssueLog& issues,
                         const Input::Progress& progress) {
  Result<Input> input = Input::open(path, options, issues);
  if (!input) return tl::unexpected(input.error());
  // The case key comes from the first recording, before any value is hashed.
  if (policies_.inputs.case_key.empty()) policies_.inputs.case_key = input->summary().case_key;
  std::vector<std::unique_ptr<IssueLog>> logs;
  // The pipeline owns the consumers and ends before they are merged: they hand
  // their collectors over through this adapter's destructor.
  std::vector<FlowCollector> collected;
  struct Handover : AuditConsumer {
    Handover(const LoadedPolicies& loaded, IssueLog& log, std::vector<FlowCollector>& to)
        : AuditConsumer(loaded, log), to_(to) {}
    ~Handover() override {
      report_missed();
      to_.push_back(std::move(collector()));
    }
    std::vector<FlowCollector>& to_;
  };
  FlowCollector late(policies_.inputs);
  std::vector<Raise> raises;
  DraftStage drafts(*policies_.inputs.taxonomy,
                    [&](const DraftObservation& draft, std::span<const OwnedDraftSample* const> steps) {
                      book_draft(late, raises, draft, steps);
                    });
  const Status status = input->run(
      issues,
      [&](unsigned) {
        logs.push_back(std::make_unique<IssueLog>());
        return std::make_unique<Handover>(policies_, *logs.back(), collected);
      },
      [&](std::span<std::unique_ptr<ShardOutput>> outputs) {
        drafts.batch(outputs);
        return Status();
      },
      progress);
  for (const auto& log : logs) issues.merge(*log);
  if (!status) return status;
  drafts.finish();
  // Sources without packets (HAR, exchange logs) have the times of their requests.
  std::optional<Timestamp> entries_first, entries_last;
  for (const FlowCollector& part : collected) {
    for (const auto& [key, context] : part.contexts()) {
      if (context.requests == 0 || !context.last_request || context.first.ns <= 0) continue;
      if (!entries_first || context.first < *entries_first) entries_first = context.first;
      if (!entries_last || *entries_last < context.last_time) entries_last = context.last_time;
    }
  }
  for (FlowCollector& part : collected) collector_.merge(std::move(part));
  collector_.merge(std::move(late));
  for (const Raise& raise : raises) {
    collector_.raise(*raise.step.exchange, late_value(raise.step, raise.type, raise.to, raise.decided_by),
                     raise.step.observation);
  }
  for (const NameRecord& record : input->summary().names) collector_.resolved(record.ip, record.name);

  const InputSummary& summary = input->summary();
  InputFile file;
  file.name = std::filesystem::path(path).filename().string();
  file.sha256 = summary.sha256;
  file.format = to_string(summary.format);
  file.bytes = summary.bytes;
  file.packets = summary.packets;
  file.simulated = summary.simulated();
  if (summary.packets > 0) {
    file.first = summary.first;
    file.last = summary.last;
  } else {
    file.first = entries_first;
    file.last = entries_last;
  }
  policies_.inputs.files.push_back(std::move(file));
  return {};
}

}  // namespace vitrine::cli
