// Exchanges → the NDJSON lines of `vitrine fields`, for recordings and for logs
// that are being written.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "capture/fields/field_json.h"
#include "cli/commands.h"
#include "cli/draft_stage.h"
#include "cli/field_line.h"

namespace vitrine::cli {

struct FieldsFlags {
  InputFlags input;
  std::string output, data;
  std::vector<std::string> policies;
  bool typed = false;
  bool sent = false;
  bool live = false;
  bool until_closed = false;  // live: ends with the log's end line
};

// One shard's lines. `knowledge`, `flags` and `issues` are borrowed.
class FieldsConsumer : public ShardConsumer, private FieldSink {
 public:
  FieldsConsumer(const Knowledge& knowledge, const FieldsFlags& flags, IssueLog& issues)
      : knowledge_(knowledge), flags_(flags), issues_(issues), line_(knowledge, *this) {
    line_.extractor().set_issues(&issues);
  }

  void position(OutputPosition position) override {
    output_->mark(position_);
    position_ = position;
  }
  std::unique_ptr<ShardOutput> take() override {
    output_->mark(position_);
    return std::exchange(output_, pool_.get());
  }
  void recycle(std::unique_ptr<ShardOutput> output) override { pool_.put(std::move(output)); }
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    line_.extractor().connection(info, event);
  }
  void opened(const Exchange& exchange) override { line_.extractor().opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { line_.extractor().part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override { line_.extractor().closed(exchange, reason); }
  void dns(const ConnectionInfo& info, const DnsName& name) override { line_.extractor().dns(info, name); }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

 private:
  void field(const Field& field) override {
    if (flags_.sent && field.direction != Direction::client_to_server) return;
    sampler_.take(field, line_.extractor().patterns(), position_, output_->drafts);
    if (flags_.typed && field.type == 0) return;
    writer_.append(output_->bytes, field, knowledge_.taxonomy.id(field.type));
    output_->bound_memory();
  }

  const Knowledge& knowledge_;
  const FieldsFlags& flags_;
  IssueLog& issues_;
  FieldLine line_;
  FieldJsonWriter writer_;
  OutputPosition position_;
  DraftSampler sampler_;
  OutputPool<DraftOutput> pool_;
  std::unique_ptr<DraftOutput> output_ = pool_.get();
};

// A draft is known only when the typing has ended: its line stands behind those
// of the recording, under the origin of its last step.
void append_draft_line(const DraftObservation& draft, const OwnedDraftSample& step, const Taxonomy& taxonomy,
                       std::string& out);

// `vitrine fields --live`: follows one exchange log. Gives the exit code.
int run_live(const FieldsFlags& flags, const Knowledge& knowledge, Output& output);

}  // namespace vitrine::cli
