#include <algorithm>
#include <clocale>
#include <csignal>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "cli/commands.h"

int main(int argc, char** argv) {
  using namespace vitrine::cli;
  CLI::App app{
      "vitrine: what an AI client transmits, and how that compares with what was declared;\n"
      "and open-weights models on this machine instead.\n"
      "Reads recorded traffic (pcap, pcapng, HAR, exchange log) and opens no connection of its own.\n",
      "vitrine"};
  app.set_version_flag("--version", "vitrine " VITRINE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(36);
  app.footer(
      "Examples:\n"
      "  vitrine record -o visit.pcapng -- chromium https://chat.example/     record a real client\n"
      "  vitrine audit visit.pcapng --service deepseek --html report.html     compare with its policies\n"
      "  vitrine fields visit.pcapng | jq 'select(.type)'                     every typed value, as NDJSON\n"
      "  vitrine policy diff deepseek 2024-12-05 2025-02-14                   what a text stopped saying\n"
      "  vitrine plan --model deepseek-v3 --hardware 8xh200                   can we run it ourselves, how fast\n"
      "  vitrine chat -m model.gguf                                           talk to a local model\n"
      "Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 usage, 3 nothing readable, 4 internal error.\n"
      "Guides: docs/, policies/README.md.");
  std::signal(SIGPIPE, SIG_IGN);  // `vitrine fields … | head` ends with a write error, not a signal
#if defined(__GLIBC__)
  // Bodies come and go by the thousand: their pages stay with the process
  // instead of being mapped, cleared and unmapped for each.
  mallopt(M_MMAP_THRESHOLD, 16 << 20);
  mallopt(M_TRIM_THRESHOLD, 32 << 20);
#endif
  int exit_code = kOk;
  add_record(app, exit_code);
  add_exchanges(app, exit_code);
  add_fields(app, exit_code);
  add_audit(app, exit_code);
  add_origin(app, exit_code);
  add_policy(app, exit_code);
  add_model(app, exit_code);
  add_plan(app, exit_code);
  add_chat(app, exit_code);
  add_generate(app, exit_code);
  add_serve(app, exit_code);
  const auto named = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
  if (argc > 1 && argv[1][0] != '-' && app.get_subcommands(named).empty()) {
    std::fprintf(stderr, "vitrine: no such command: %s (vitrine --help lists them)\n", argv[1]);
    return kUsage;
  }
  try {
    std::vector<std::string> arguments = with_config({argv + 1, argv + argc});
    std::reverse(arguments.begin(), arguments.end());  // as App::parse() takes them
    app.parse(arguments);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vitrine: internal error: %s\n", error.what());
    return kInternal;
  }
  return exit_code;
}
