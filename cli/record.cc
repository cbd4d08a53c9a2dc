#include <sys/wait.h>

#include <unistd.h>

#include "capture/record/recorder.h"
#include "cli/commands.h"

namespace vitrine::cli {
namespace {

std::string describe_status(int status) {
  if (WIFEXITED(status)) return "exit code " + std::to_string(WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return std::string("signal ") + strsignal(WTERMSIG(status));
  return "unknown";
}

}  // namespace

void add_record(CLI::App& app, int& exit_code) {
  auto* command = app.add_subcommand("record", "run a command and record what it sends, with its TLS secrets");
  auto options = std::make_shared<RecordOptions>();
  auto quiet = std::make_shared<bool>(false);
  command->add_option("-i,--interface", options->interface, "network interface ('any' = all)")->capture_default_str();
  command->add_option("--seconds", options->seconds,
                      "stop after N seconds (default: when the command ends, or Ctrl-C)");
  command->add_option("-o,--output", options->output, "pcapng file to write (mode 0600)")
      ->required()
      ->type_name("FILE");
  command->add_option("--linger", options->linger_seconds, "seconds to go on recording after the command ended")
      ->capture_default_str();
  command->add_option("--filter", options->filter, "record only packets that match (pcap-filter(7))");
  command->add_option("--comment", options->comments, "comment stored in the file; repeatable");
  command->add_option("--buffer", options->buffer_bytes, "kernel ring buffer in bytes")
      ->transform(CLI::AsSizeValue(false))
      ->default_str("256 MiB");
  command->add_flag("-q,--quiet", *quiet, "print nothing but errors");
  command->add_option("command", options->command, "the command and its arguments, after --");
  command->footer(
      "The command runs with SSLKEYLOGFILE set; programs on NSS, BoringSSL, OpenSSL 3.5+, GnuTLS and curl write their\n"
      "TLS secrets there, and the recording carries them. The flows of its process tree are noted too, so that\n"
      "`vitrine audit` tells its traffic from the machine's.\n"
      "Examples:\n"
      "  vitrine record -o curl.pcapng -- curl https://api.example/v1/models\n"
      "  vitrine record -o visit.pcapng -- chromium --user-data-dir=/tmp/clean https://chat.example/\n"
      "  vitrine record -i eth0 --seconds 60 -o minute.pcapng");
  command->callback([options, quiet, &exit_code] {
    const bool show = !*quiet && isatty(STDERR_FILENO);
    RecordProgress progress = [show](const RecordSummary& now) {
      if (show)
        std::fprintf(stderr, "\r\033[Krecording  %.0f s  %lu packets  %.1f MB", now.seconds, now.packets,
                     static_cast<double>(now.bytes) / 1e6);
    };
    if (!*quiet && options->command.empty() && options->seconds <= 0)
      std::fprintf(stderr, "recording on '%s' until Ctrl-C\n", options->interface.c_str());
    Result<RecordSummary> result = record(*options, progress);
    if (show) std::fprintf(stderr, "\r\033[K");
    if (!result) {
      exit_code = report_error(result.error());
      return;
    }
    const uint64_t dropped = result->dropped_kernel + result->dropped_interface;
    if (!*quiet) {
      std::fprintf(stderr, "%s: %lu packets, %.1f MB in %.1f s, %lu TLS secrets", options->output.c_str(),
                   result->packets, static_cast<double>(result->bytes) / 1e6, result->seconds, result->secrets);
      if (!options->command.empty()) {
        std::fprintf(stderr, "; connections of the command: %lu\nthe command ended with %s", result->flows,
                     describe_status(result->command_status).c_str());
      }
      std::fputc('\n', stderr);
      if (result->packets == 0)
        std::fprintf(stderr, "no packet was seen: is '%s' the right interface?\n", options->interface.c_str());
    }
    if (dropped > 0) {
      std::fprintf(stderr,
                   "vitrine: warning: %lu packets were dropped (%lu by the kernel ring, %lu by the interface); "
                   "the report will show them as gaps. A larger --buffer helps.\n",
                   dropped, result->dropped_kernel, result->dropped_interface);
    }
    if (result->disk_full) {
      std::fprintf(stderr, "vitrine: warning: there was no room for more: %s holds what was recorded until then\n",
                   options->output.c_str());
    }
    exit_code = result->disk_full ? kUnreadable : kOk;
  });
}

}  // namespace vitrine::cli
