#include <fmt/format.h>

#include "capture/fields/exchange_json.h"
#include "cli/commands.h"

namespace vitrine::cli {
namespace {

// Percent-escapes what would disturb a terminal or a column.
std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else out.push_back(c);
  }
  return out;
}

class ExchangesConsumer : public ShardConsumer {
 public:
  ExchangesConsumer(bool json, IssueLog& issues) : json_(json), issues_(issues) {}

  void position(OutputPosition position) override {
    output_->mark(position_);
    position_ = position;
  }
  std::unique_ptr<ShardOutput> take() override {
    output_->mark(position_);
    return std::exchange(output_, std::make_unique<ShardOutput>());
  }
  void closed(const Exchange& exchange, CloseReason reason) override {
    std::string& out = output_->bytes;
    if (json_) {
      append_exchange_json(out, exchange, reason);
      if (out.empty() || out.back() != '\n') out.push_back('\n');
      return;
    }
    const Message& request = exchange.message(Direction::client_to_server);
    const Message& response = exchange.message(Direction::server_to_client);
    fmt::format_to(std::back_inserter(out), "{:<12} {:<7} {:>3}  {:>9} {:>9}  {}{}\n", exchange.id.to_string(),
                   exchange.method.empty() ? "?" : printable(exchange.method),
                   exchange.status == 0 ? "-" : std::to_string(exchange.status), request.wire_bytes,
                   response.wire_bytes, printable(exchange.authority.empty() ? exchange.host : exchange.url()),
                   reason == CloseReason::complete ? "" : fmt::format("  ({})", to_string(reason)));
  }
  void issue(Issue issue) override { issues_.issue(std::move(issue)); }

 private:
  bool json_;
  IssueLog& issues_;
  OutputPosition position_;
  std::unique_ptr<ShardOutput> output_ = std::make_unique<ShardOutput>();
};

int run(const InputFlags& flags, bool json, const std::string& path) {
  Result<Output> output = Output::open(path);
  if (!output) return report_error(output.error());
  int worst = kOk;
  size_t readable = 0;
  if (!json) (void)output->write("EXCHANGE     METHOD  STATUS   REQUEST  RESPONSE  URL\n");
  for (const std::string& input_path : flags.paths) {
    IssueLog issues;
    Result<Input> input = Input::open(input_path, flags.options(), issues);
    if (!input) {
      worst = std::max(worst, report_error(input.error()));
      continue;
    }
    // One issue log a shard: they are merged when all are done.
    std::vector<std::unique_ptr<IssueLog>> logs;
    ProgressBar bar(input_path, flags.quiet);
    const Status status = input->run(
        issues,
        [&](unsigned) {
          logs.push_back(std::make_unique<IssueLog>());
          return std::make_unique<ExchangesConsumer>(json, *logs.back());
        },
        [&](std::span<std::unique_ptr<ShardOutput>> outputs) {
          return write_in_order(outputs, [&](std::string_view text) { return output->write(text); });
        },
        [&](uint64_t done, uint64_t total) { bar.update(done, total); });
    for (const auto& log : logs) issues.merge(*log);
    print_issues(issues, input_path, flags.quiet);
    if (!status) worst = std::max(worst, report_error(status.error()));
    else ++readable;
  }
  if (const Status closed = output->close(); !closed) return report_error(closed.error());
  return readable > 0 && worst == kUnreadable ? kOk : worst;
}

}  // namespace

void add_exchanges(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("exchanges", "list the requests and responses of a recording");
  auto flags = std::make_shared<InputFlags>();
  auto json = std::make_shared<bool>(false);
  auto output = std::make_shared<std::string>();
  flags->add_to(*command, true);
  command->add_flag("--json", *json, "one JSON object a line (capture/fields/exchange.schema.json)");
  command->add_option("-o,--output", *output, "file to write (default: standard output)")->type_name("FILE");
  command->footer(
      "Examples:\n"
      "  vitrine exchanges visit.pcapng\n"
      "  vitrine exchanges visit.pcapng --json | jq -r 'select(.method==\"POST\") | [.url,.request_sha256] | @tsv'");
  command->callback([=, &exit_code] { exit_code = run(*flags, *json, *output); });
}

}  // namespace vitrine::cli
