// `vitrine fields --live`: an exchange log as it is written.
#include <chrono>
#include <cstdio>
#include <optional>
#include <set>

#include "capture/input/exchange_log.h"
#include "cli/fields_consumer.h"
#include "cli/follow.h"

namespace vitrine::cli {
namespace {

using Event = FollowedFile::Event;

constexpr std::chrono::milliseconds kWait{1000};

// Defects are said when they are met: nobody waits for the end of a live log.
class SpokenIssues : public IssueSink {
 public:
  SpokenIssues(std::string path, bool quiet) : path_(std::move(path)), quiet_(quiet) {}
  void issue(Issue issue) override {
    if (quiet_ || said_.size() >= IssueLog::kDistinct || !said_.insert(issue.what).second) return;
    const std::string line = issue.packet != 0 ? ", line " + std::to_string(issue.packet) : std::string();
    std::fprintf(stderr, "vitrine: warning: %s%s: %s (%s)\n", path_.c_str(), line.c_str(), issue.what.c_str(),
                 std::string(to_string(issue.cause)).c_str());
  }

 private:
  std::string path_;
  bool quiet_;
  std::set<std::string> said_;
};

// The lines of one log: a file that is cut or replaced begins another one.
class LiveLines : public ExchangeSink {
 public:
  LiveLines(const FieldsFlags& flags, const Knowledge& knowledge, Output& output, SpokenIssues& spoken)
      : knowledge_(knowledge),
        output_(output),
        spoken_(spoken),
        consumer_(knowledge, flags, counted_),
        drafts_(knowledge.taxonomy,
                [this](const DraftObservation& draft, std::span<const OwnedDraftSample* const> steps) {
                  append_draft_line(draft, *steps.back(), knowledge_.taxonomy, draft_lines_);
                }),
        reader_(*this) {}

  Status feed(std::string_view bytes) {
    if (const Status read = reader_.feed(as_bytes(bytes)); !read) return read;
    return print();
  }
  Status finish() {
    if (const Status read = reader_.finish(); !read) return read;
    if (const Status printed = print(); !printed) return printed;
    drafts_.finish();
    return print();
  }
  bool ended() const { return reader_.ended(); }

 private:
  void connection(const ConnectionInfo& info, ConnectionEvent event) override {
    if (event == ConnectionEvent::opened) consumer_.position({info.id, 0});
    consumer_.connection(info, event);
  }
  void opened(const Exchange& exchange) override { consumer_.opened(exchange); }
  void part(const Exchange& exchange, const Part& part) override { consumer_.part(exchange, part); }
  void closed(const Exchange& exchange, CloseReason reason) override { consumer_.closed(exchange, reason); }
  void dns(const ConnectionInfo& info, const DnsName& name) override { consumer_.dns(info, name); }
  void issue(Issue issue) override { spoken_.issue(std::move(issue)); }

  Status print() {
    std::unique_ptr<ShardOutput> text = consumer_.take();
    drafts_.batch(std::span(&text, 1));
    Status written = write_in_order(std::span(&text, 1), [&](std::string_view piece) { return output_.write(piece); });
    consumer_.recycle(std::move(text));
    if (written) written = output_.write(std::exchange(draft_lines_, {}));
    for (const CountedIssue& row : counted_.rows()) spoken_.issue(row.first);
    return written ? output_.flush() : written;
  }

  const Knowledge& knowledge_;
  Output& output_;
  SpokenIssues& spoken_;
  IssueLog counted_;  // of the extractor
  std::string draft_lines_;
  FieldsConsumer consumer_;
  DraftStage drafts_;
  ExchangeLogReader reader_;
};

}  // namespace

int run_live(const FieldsFlags& flags, const Knowledge& knowledge, Output& output) {
  const std::string& path = flags.input.paths.front();
  Result<FollowedFile> file = FollowedFile::open(path);
  if (!file) return report_error(file.error());
  if (!file->there() && !flags.input.quiet) std::fprintf(stderr, "waiting for %s\n", path.c_str());
  SpokenIssues spoken(path, flags.input.quiet);
  const auto report = [&](Error error) {
    if (error.where.empty()) error.where = path;
    return report_error(error);
  };
  std::optional<LiveLines> lines;
  bool readable = false;
  const auto finish = [&]() -> Status {
    if (!lines) return {};
    const Status finished = lines->finish();
    lines.reset();
    return finished;
  };
  std::string bytes;
  for (;;) {
    const Result<Event> event = file->next(bytes, kWait);
    if (!event) return report(event.error());
    if (*event == Event::bytes) {
      if (!lines) lines.emplace(flags, knowledge, output, spoken);
      if (const Status fed = lines->feed(bytes); !fed) return report(fed.error());
      readable = true;
      // The rest of what is there comes first: another head may follow.
      continue;
    }
    if (*event == Event::truncated || *event == Event::replaced) {
      if (const Status finished = finish(); !finished) return report(finished.error());
      spoken.issue({Cause::gap,
                    *event == Event::truncated ? "exchange log: it was cut; what was not read before is lost"
                                               : "exchange log: another file has its name now",
                    0, 0});
      continue;
    }
    const bool closed = flags.until_closed && lines && lines->ended();
    if (*event == Event::idle && !closed) continue;
    if (const Status finished = finish(); !finished) return report(finished.error());
    if (const Status written = output.close(); !written) return report_error(written.error());
    if (*event == Event::end && !readable) return report({ErrorCode::unreadable, "nothing came", path});
    return kOk;
  }
}

}  // namespace vitrine::cli
