#include "cli/fields_consumer.h"

#include <filesystem>
#include <future>
#include <optional>

namespace vitrine::cli {

Result<std::unique_ptr<Knowledge>> load_knowledge(const std::string& data, const std::vector<std::string>& extra) {
  auto knowledge = std::make_unique<Knowledge>();
  Result<Taxonomy> taxonomy = Taxonomy::load(data + "/policies/taxonomy.yaml");
  if (!taxonomy) return tl::unexpected(taxonomy.error());
  knowledge->taxonomy = std::move(*taxonomy);
  std::vector<std::string> folders = {data + "/policies/clients"};
  for (const std::string& folder : extra) {
    if (std::filesystem::is_directory(folder + "/clients")) folders.push_back(folder + "/clients");
  }
  Result<ClientRules> rules = ClientRules::load(folders, knowledge->taxonomy);
  if (!rules) return tl::unexpected(rules.error());
  knowledge->rules = std::move(*rules);
  return knowledge;
}

void append_draft_line(const DraftObservation& draft, const OwnedDraftSample& step, const Taxonomy& taxonomy,
                       std::string& out) {
  ConnectionInfo connection;
  connection.id = step.origin.exchange.connection;
  connection.client = step.client;
  Exchange exchange;
  exchange.id = step.origin.exchange;
  exchange.connection = &connection;
  exchange.host = step.exchange->context.host;
  exchange.process = step.exchange->context.process;
  Field field;
  field.time = step.time;
  field.exchange = &exchange;
  field.location = step.location;
  field.path = step.path;
  field.name = step.name;
  field.value = step.value;
  field.origin = step.origin.node;
  field.packet = step.packet;
  field.type = draft.type;
  field.observation = draft.observation;
  field.decided_by = draft.decided_by;
  field.confidence = 1;
  append_field_json(out, field, taxonomy.id(draft.type));
}

namespace {

// A recording after its first pass.
struct Recording {
  Recording(const std::string& name, const FieldsFlags& flags) : path(name), input(open(name, flags, issues)) {}
  static Result<Input> open(const std::string& path, const FieldsFlags& flags, IssueLog& issues) {
    InputOptions options = flags.input.options();
    options.http.digests = false;  // lines have none
    return Input::open(path, options, issues);
  }
  std::string path;
  IssueLog issues;
  Result<Input> input;
};

Status run_one(Recording& recording, const Knowledge& knowledge, const FieldsFlags& flags, Output& output) {
  Result<Input>& input = recording.input;
  if (!input) return tl::unexpected(input.error());
  const std::string& path = recording.path;
  IssueLog& issues = recording.issues;
  std::vector<std::unique_ptr<IssueLog>> logs;
  ProgressBar bar(path, flags.input.quiet);
  std::string draft_lines;
  DraftStage drafts(knowledge.taxonomy,
                    [&](const DraftObservation& draft, std::span<const OwnedDraftSample* const> steps) {
                      append_draft_line(draft, *steps.back(), knowledge.taxonomy, draft_lines);
                    });
  const Status status = input->run(
      issues,
      [&](unsigned) {
        logs.push_back(std::make_unique<IssueLog>());
        return std::make_unique<FieldsConsumer>(knowledge, flags, *logs.back());
      },
      [&](std::span<std::unique_ptr<ShardOutput>> outputs) -> Status {
        drafts.batch(outputs);
        return write_in_order(outputs, [&](std::string_view text) { return output.write(text); });
      },
      [&](uint64_t done, uint64_t total) { bar.update(done, total); });
  for (const auto& log : logs) issues.merge(*log);
  print_issues(issues, path, flags.input.quiet);
  if (!status) return status;
  drafts.finish();
  return output.write(draft_lines);
}

int follow(const FieldsFlags& flags) {
  if (flags.input.paths.size() != 1) return report_error({ErrorCode::usage, "--live follows one exchange log", ""});
  if (flags.output.ends_with(".zst") || flags.output.ends_with(".gz")) {
    return report_error(
        {ErrorCode::usage, "--live writes plain text, so that each line can be read at once", flags.output});
  }
  const Result<std::string> data = data_folder(flags.data);
  if (!data) return report_error(data.error());
  const auto knowledge = load_knowledge(*data, flags.policies);
  if (!knowledge) return report_error(knowledge.error());
  Result<Output> output = Output::open(flags.output);
  if (!output) return report_error(output.error());
  return run_live(flags, **knowledge, *output);
}

int run(const FieldsFlags& flags) {
  const Result<std::string> data = data_folder(flags.data);
  if (!data) return report_error(data.error());
  // With more than one thread rules are read while the first recording is looked through.
  const auto policy = flags.input.options().threads > 1 ? std::launch::async : std::launch::deferred;
  auto loading = std::async(policy, [&] { return load_knowledge(*data, flags.policies); });
  std::optional<Recording> recording(std::in_place, flags.input.paths.front(), flags);
  const auto knowledge = loading.get();
  if (!knowledge) return report_error(knowledge.error());
  Result<Output> output = Output::open(flags.output);
  if (!output) return report_error(output.error());
  int worst = kOk;
  size_t readable = 0;
  for (const std::string& path : flags.input.paths) {
    if (!recording) recording.emplace(path, flags);
    const Status status = run_one(*recording, **knowledge, flags, *output);
    recording.reset();
    if (!status) worst = std::max(worst, report_error(status.error()));
    else ++readable;
  }
  if (const Status closed = output->close(); !closed) return report_error(closed.error());
  return readable > 0 && worst == kUnreadable ? kOk : worst;
}

}  // namespace

void add_fields(CLI::App& app, int& exit_code) {
  auto* command =
      app.add_subcommand("fields", "every value a client and server exchanged, decoded and typed, as NDJSON");
  auto flags = std::make_shared<FieldsFlags>();
  flags->input.add_to(*command, true);
  command
      ->add_option("-o,--output", flags->output,
                   "file to write, mode 0600; .zst and .gz are compressed (default: standard output)")
      ->type_name("FILE");
  command->add_flag("--typed", flags->typed, "only values whose type is known");
  command->add_flag("--sent", flags->sent, "only what the client sent");
  auto* live = command->add_flag("--live", flags->live,
                                 "follow an exchange log that is being written, from its beginning\n"
                                 "(- reads a pipe; a file may come later): until Ctrl-C, or the pipe's end");
  command->add_flag("--until-closed", flags->until_closed, "with --live: end when the log's writer closes it")
      ->needs(live);
  command->add_option("--policies", flags->policies, "further folder with clients/*.yaml; repeatable")
      ->type_name("DIR");
  command->add_option("--data", flags->data, "folder that holds policies/ (default: the shipped one)")
      ->type_name("DIR");
  command->footer(
      "One JSON object a line (capture/fields/field.schema.json). Values are not masked: keep the output as you keep\n"
      "the recording.\n"
      "Examples:\n"
      "  vitrine fields visit.pcapng --sent --typed | jq -r '[.host,.type,.path] | @tsv' | sort | uniq -c\n"
      "  vitrine fields visit.pcapng | jq 'select(.opaque)'          blobs that nothing opens\n"
      "  vitrine fields old.har --keylog keys.log -o fields.ndjson\n"
      "  vitrine fields --live tap.ndjson --sent --typed             what a tapped server is being sent, as it comes\n"
      "  ssh lab cat tap.ndjson | vitrine fields --live -            a log from elsewhere");
  command->callback([=, &exit_code] { exit_code = flags->live ? follow(*flags) : run(*flags); });
}

}  // namespace vitrine::cli
